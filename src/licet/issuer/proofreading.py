"""A license read as a gate would read it, before it leaves the vendor.

Decides nothing of its own: it asks the core's readers, whose word a gate will take, and turns
their refusal into a sentence for the person who wrote the license.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from licet.core.constraints.custom import TAKEN
from licet.core.documents.unusable import Unusable
from licet.core.errors import LicenseInvalid
from licet.core.grants.reading import read_terms
from licet.core.revocation.statuslist import MAX_TOKEN, read_list
from licet.core.token import claims, compact

#: The most that `Settings.max_token_size` can be set to, in bytes.
LARGEST = 65536

_NAMES = "a list of at most 1,000 texts, each 1 to 128 of A-Za-z0-9._:-"
_TEXTS = "a list of at most 1,000 printable texts of 1 to 128 characters"
_DATE = "a time between 1970 and the end of 9999"
RULES = {
    "bad_audience": "audience is a text, or a list of 1 to 1,000 texts",
    "bad_claim:sub": "subject is the license id, 1 to 256 printable characters",
    "bad_claim:jti": "jti is 1 to 256 printable characters",
    "bad_claim:iat": f"issued_at is {_DATE}",
    "bad_claim:exp": f"the end, issued_at and expires_in together, is {_DATE}",
    "bad_claim:nbf": f"not_before is {_DATE}, and not after the end",
    "bad_claim:customer": "customer is a text",
    "bad_claim:plan": "plan is a text",
    "bad_claim:features": f"features is {_NAMES}",
    "bad_claim:limits": "each limit has a name like a feature and is a whole number from 0 to 2^53,"
    ' "unlimited" or {"max": …, "per": "minute", "hour", "day", "month" or "term"}',
    "bad_claim:scope": "scope is a text of words, or a list of them",
    "bad_claim:roles": f"roles is {_TEXTS}",
    "bad_claim:role": f"role is one printable text, or {_TEXTS}, and never stands beside roles",
    "bad_claim:trial": "trial is true or false",
    "bad_claim:grace": "grace is whole seconds, from 0 to 90 days",
    "malformed": "no number is beyond 2^53, and there are at most 32 levels and 1,000 members",
    "bad_claim:domains": "domains is a list of 1 to 1,000 hosts, without scheme, port or path; `*.`"
    " may stand in front of a name, and no name is a public suffix",
    "bad_claim:ip_ranges": "ip_ranges is a list of 1 to 1,000 networks without host bits, as"
    " 203.0.113.0/24, and not of all addresses",
    "bad_claim:regions": "regions is a list of 1 to 1,000 codes of ISO 3166, as DE or US-CA",
    "bad_claim:time_windows": 'time_windows is a list of {"from": "07:00", "to": "19:00", "tz": an'
    ' IANA zone} with or without "days" as "mon-fri"',
    "bad_claim:cnf": 'cnf is {"jkt": …} or {"x5t#S256": …} or both, each a SHA-256 in base64url',
    "bad_claim:status": 'status is {"status_list": {"idx": a whole number from 0, "uri": the https'
    " URL of the list}} and nothing else",
    "must_understand": "must_understand names claims of this license that narrow where it holds",
    "bad_claim:must_understand": "must_understand is a list of names of claims",
    "token_too_large": f"a license takes at most {LARGEST} bytes",
}
_LIST_RULES = {
    "bad_claim:iat": f"issued_at is {_DATE}",
    "bad_claim:exp": f"the end, issued_at and expires_in together, is {_DATE}",
    "token_too_large": f"it takes at most {MAX_TOKEN} bytes; divide the licenses among several",
}


def proofread(token: str) -> None:
    """Refuse a license that no gate would accept, whatever its settings.

    What another gate may know better is not judged: claims of an application's own, and wildcards
    where the list of public suffixes is not installed.

    Raises:
        ValueError: says what the claim at fault has to be; never what it is.
    """
    try:
        parts = compact.parse(
            token.encode("ascii"), max_size=LARGEST, headers=compact.HeaderCache()
        )
        payload, header = parts.payload, parts.header
        profile = own_profile(payload, (header.alg,), (header.typ,), claims.LATEST)
        claims.screen(parts, {profile.issuer: profile})
        claims.read(payload, profile)
        read_terms(_without_others(payload))
    except LicenseInvalid as refusal:
        if refusal.reason == "missing_extra:domains":
            return
        rule = RULES.get(refusal.reason, refusal.reason)
        raise ValueError(f"no gate would accept this license: {rule}") from None


def own_profile(
    payload: Mapping[str, Any],
    algorithms: Collection[str],
    types: Collection[str | None],
    max_lifetime: float,
) -> claims.Profile:
    """Return the profile of a gate for whom just this license is: of its issuer and its product.

    Args:
        payload: its claims, whatever they are.
        algorithms: that gate accepts.
        types: likewise, as `media_type` writes them.
        max_lifetime: the longest license it accepts, in seconds.
    """
    issuer, audience = payload.get("iss"), payload.get("aud")
    return claims.Profile(
        issuer=issuer if isinstance(issuer, str) and issuer else "nobody",
        audiences=[audience] if isinstance(audience, str) else audience or (),
        algorithms=algorithms,
        types=types,
        max_lifetime=max_lifetime,
    )


def _without_others(payload: dict[str, Any]) -> dict[str, Any]:
    """Return `payload` without what the gate that judges it may know, and nothing here does."""
    insisted = payload.get("must_understand")
    if not isinstance(insisted, list):
        return payload
    others = payload.keys() - TAKEN
    known = [name for name in insisted if not (isinstance(name, str) and name in others)]
    return {**payload, "must_understand": known}


def proofread_list(token: str, uri: str, issuer: str, issued_at: float) -> None:
    """Refuse a status list that no gate would accept.

    Raises:
        ValueError: says what is wrong with it.
    """
    try:
        read_list(token.encode("ascii"), uri, issuer, lambda kid, alg: _trusting, issued_at)
    except Unusable as unusable:
        rule = _LIST_RULES.get(unusable.word, unusable.word)
        raise ValueError(f"no gate would accept this list: {rule}") from None


def _trusting(signing_input: bytes, signature: bytes) -> bool:
    # Signed a moment ago, by a key that is here.
    return True
