"""What a gate with the usual settings would find wrong with a license, without its signature.

The rules are the core's: each part of a license is put into one that is otherwise good, and the
core's readers are asked. So everything is found at once, where a gate stops at the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from licet.cli import damaged
from licet.cli.remedies import explain
from licet.core.constraints.registry import narrowing
from licet.core.errors import LicenseError
from licet.core.grants.reading import read_terms
from licet.core.lifecycle import check_times
from licet.core.revocation.statuslist import read_reference
from licet.core.settings.issuers import DAY, DEFAULT_ALGORITHMS
from licet.core.settings.values import origin_of
from licet.core.token import base64url, claims, compact, strictjson
from licet.issuer import COMFORTABLE_SIZE
from licet.issuer.proofreading import LARGEST, RULES, own_profile

#: What gates accept unless they are told otherwise.
LEEWAY, MAX_LIFETIME, TYPE = 30.0, 400 * DAY, "license+jwt"
#: Bytes of a header field that common servers take.
COMMON_SERVERS = 8192

#: What `explain` says of these holds for a gate that expects another.
_MALFORMED = {
    "bad_issuer": ("iss is a text that is not empty", explain("bad_claim:iss")[1]),
    "bad_audience": (RULES["bad_audience"], explain("bad_claim:aud")[1]),
}
_HEADER = {"alg": "EdDSA", "kid": "1", "typ": TYPE}
_CLAIMS = {"iss": "https://issuer", "aud": "product", "sub": "id", "iat": 0, "exp": claims.LATEST}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        reason: the word that a gate would log.
        at: the claim or the member of the header, `header`, `payload`, `signature`, or nothing.
        problem: what is wrong.
        remedy: what to do.
    """

    reason: str
    at: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a license says, unverified.

    Attributes:
        size: in bytes.
        header: None where it cannot be read at all.
        claims: None where they cannot be read at all.
        findings: what is wrong.
    """

    size: int
    header: dict[str, Any] | None
    claims: dict[str, Any] | None
    findings: list[Finding]


def read(credential: bytes, now: float) -> Reading:
    """Take a license apart, whatever it is, and find what is wrong with it.

    Args:
        credential: the license, or any bytes.
        now: wall time to judge by, in seconds since the epoch.
    """
    segments = credential.split(b".")
    header = payload = None
    found = list(_size(len(credential)))
    if len(segments) == 3:
        header, payload = damaged.members(segments[0]), damaged.members(segments[1])
        found += [_finding("malformed", at, said) for at, said in damaged.problems(segments)]
        found += _header(header, now) if header is not None else ()
        found += _payload(payload, now) if payload is not None else ()
    # Whatever the parts did not show, the whole does.
    reason = _refusal(credential, now, max_lifetime=MAX_LIFETIME, max_size=LARGEST)
    if reason is not None and reason not in {finding.reason for finding in found}:
        found.append(_finding(reason))
    return Reading(len(credential), header, payload, found)


def _finding(reason: str, at: str = "", problem: str = "", remedy: str = "") -> Finding:
    explained = explain(reason)
    return Finding(reason, at, problem or explained[0], remedy or explained[1])


def _size(size: int) -> Iterator[Finding]:
    if size <= COMFORTABLE_SIZE:
        return
    beyond = "than gates accept unless LICET_MAX_TOKEN_SIZE says otherwise"
    if size > LARGEST:
        beyond = "than any setting allows"
    elif size > COMMON_SERVERS:
        beyond = "than common servers take in a header field"
    yield _finding("token_too_large", problem=f"{size:,} bytes are more {beyond}")


def _header(header: Mapping[str, Any], now: float) -> Iterator[Finding]:
    for name, tried in _tries(header, _HEADER):
        reason = _refusal(_token(tried, _CLAIMS), now)
        if reason is not None:
            yield _finding(reason, name)


def _payload(payload: Mapping[str, Any], now: float) -> Iterator[Finding]:
    good = {}
    for name, tried in _tries(payload, _CLAIMS):
        reason = _refusal(_token(_HEADER, tried), now)
        if reason == "must_understand":
            yield from _insisted(payload)
        elif reason is not None and name not in payload:
            yield _finding(reason, name, *explain(f"missing_claim:{name}"))
        elif reason is not None:
            yield _finding(reason, name, *_MALFORMED.get(reason, ()))
        elif name in payload:
            good[name] = payload[name]
    yield from _together(good, payload, now)


def _tries(
    part: Mapping[str, Any], good: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return, for each member that is there or should be, a good part with it or without it."""
    if len(part) <= strictjson.MAX_MEMBERS:
        for name in (*part, *(good.keys() - part.keys())):
            others = {other: value for other, value in good.items() if other != name}
            yield name, {**others, **({name: part[name]} if name in part else {})}


def _insisted(payload: Mapping[str, Any]) -> Iterator[Finding]:
    known = narrowing(payload)
    insisted = payload["must_understand"]
    unknown = [name for name in insisted if isinstance(name, str) and name not in known]
    if unknown:
        names = ", ".join(unknown)
        yield _finding(
            "must_understand", "must_understand", f"it insists on what Licet does not know: {names}"
        )


def _together(good: Mapping[str, Any], payload: Mapping[str, Any], now: float) -> Iterator[Finding]:
    """Find what is wrong between claims each of which is good by itself."""
    reason = _refusal(_token(_HEADER, {**_CLAIMS, **_without_times(good)}), now)
    if reason is not None:
        at = reason.partition(":")[2]
        yield _finding(reason, at, "it is there in two spellings" if at else "")
    if "status" in good and isinstance(payload.get("iss"), str):
        uri = read_reference(good["status"]).uri
        if _origin(uri) != _origin(payload["iss"]):
            yield _finding("status_origin", "status")
    times = {name: payload[name] for name in ("iat", "exp", "nbf") if _is_time(payload, name)}
    if not {"iat", "exp"} <= times.keys():
        return
    if times["exp"] < times["iat"]:
        yield _finding("bad_claim:exp", "exp", "exp lies before iat")
    elif times["exp"] - times["iat"] > MAX_LIFETIME:
        days = int((times["exp"] - times["iat"]) // DAY)
        yield _finding(
            "lifetime_too_long", "exp", f"it lasts {days:,} days; gates accept 400 by default"
        )
    if times.get("nbf", 0) > times["exp"]:
        yield _finding("bad_claim:nbf", "nbf", "nbf lies after exp")


def _origin(url: str) -> str | None:
    try:
        return origin_of(url)
    except ValueError:
        return None


def _without_times(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in ("iat", "exp", "nbf")}


def _is_time(payload: Mapping[str, Any], name: str) -> bool:
    try:
        claims.numeric_date(payload, name)
    except LicenseError:
        return False
    return True


def _token(header: Mapping[str, Any], payload: Mapping[str, Any]) -> bytes:
    parts = (json.dumps(part).encode("ascii") for part in (header, payload))
    return b".".join((*map(base64url.encode, parts), b"AA"))


def _refusal(
    token: bytes, now: float, *, max_lifetime: float = claims.LATEST, max_size: int = 2**24
) -> str | None:
    """Return why a gate would refuse a token even if its signature held; None if it would not."""
    try:
        parts = compact.parse(token, max_size=max_size, headers=compact.HeaderCache())
        payload = parts.payload
        profile = own_profile(payload, DEFAULT_ALGORITHMS, (TYPE,), max_lifetime)
        claims.screen(parts, {profile.issuer: profile})
        verified = claims.read(payload, profile)
        read_terms(payload)
        check_times(verified, now, LEEWAY)
    except LicenseError as refusal:
        # That is about this machine, and not about the license.
        return None if refusal.reason == "missing_extra:domains" else refusal.reason
    return None
