"""What is wrong with a key set, by the core's own reader (RFC 7517).

A served key set is a stranger's document. Of its keys only what the reader left of them is shown:
an escaped id and a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from licet.cli.doctor.finding import Finding, Kind
from licet.core.documents.exchange import media_type
from licet.core.events.log import escape
from licet.core.keys.jwk import KeySet, Rejected, read_jwks
from licet.core.keys.keystore import CONTENT_TYPES, MAX_BYTES, MAX_MEMBERS
from licet.core.token import strictjson
from licet.core.transport import Response

_PUBLISH = "publish the issuer's public keys alone, as `licet keygen --jwks` writes them"
_LEAKED = "publish public keys alone, and replace this one: whoever has read the set can sign"

USABLE = Kind("keys_ok", "ok")
CONTENT_TYPE = Kind(
    "keys_content_type", "fault", f"serve it as {CONTENT_TYPES[0]}, or as {CONTENT_TYPES[1]}"
)
TOO_LARGE = Kind("keys_too_large", "fault", "publish the keys in use alone, without x5c")
UNREADABLE = Kind("keys_unreadable", "fault", _PUBLISH)
NONE_USABLE = Kind("keys_none_usable", "fault", _PUBLISH)
PRIVATE = Kind("keys_private", "fault", _LEAKED)
SYMMETRIC = Kind("keys_symmetric", "fault", f"{_LEAKED}; licenses are signed asymmetrically")
DUPLICATE = Kind("keys_duplicate_kid", "fault", "give each key an id of its own")
WEAK = Kind("keys_weak", "fault", "rotate to a key as `licet keygen` makes it, and retire this one")
MALFORMED = Kind("keys_malformed", "fault", "publish the key as its library writes it")
AMBIGUOUS = Kind(
    "keys_ambiguous", "fault", "give the key its alg, or name one such algorithm in the settings"
)
REVOKED = Kind("keys_revoked", "warning", "take the key out of the set: it was given up")
UNFIT = Kind(
    "keys_unfit",
    "warning",
    "none, if it signs no licenses; else name its algorithm in the settings",
)
DISJOINT = Kind(
    "keys_disjoint",
    "warning",
    "see that this is the right address and that a rotation was meant; keys overlap when they are "
    "rotated, and a bundled set is renewed with every release",
)

#: By the reason, without what stands behind its colon.
_REJECTED = {
    "private_key_in_jwks": PRIVATE,
    "symmetric_in_jwks": SYMMETRIC,
    "duplicate_kid": DUPLICATE,
    "weak_key": WEAK,
    "key_too_large": WEAK,
    "alg_ambiguous": AMBIGUOUS,
    "revoked": REVOKED,
    "unsupported_kty": UNFIT,
    "wrong_use": UNFIT,
    "alg_not_allowed": UNFIT,
    "alg_key_mismatch": UNFIT,
}
_WORDS = {
    "private_key_in_jwks": "has its private part published",
    "symmetric_in_jwks": "is a shared secret, published",
    "duplicate_kid": "is the id of two different keys, so neither is used",
    "weak_key": "is too weak",
    "key_too_large": "is too large",
    "revoked": "says that it was revoked",
    "unsupported_kty": "is of a type that signs no licenses",
    "wrong_use": "is meant for something else",
    "alg_not_allowed": "names an algorithm that is not among those accepted",
    "alg_key_mismatch": "does not fit its algorithm, or none that is accepted",
    "bad_kid": "has no id of 1 to 256 printable ASCII characters",
    "bad_key": "is no point or number that such a key may be",
    "non_canonical_base64": "is not spelt in base64url as it has to be",
    "not_an_object": "is no object",
}


def examine(
    response: Response, algorithms: tuple[str, ...], before: Mapping[str, KeySet]
) -> tuple[list[Finding], KeySet | None]:
    """Find what is wrong with a key set that was served with 200.

    Args:
        response: the answer.
        algorithms: that the settings accept.
        before: sets that were here before, by where they are from.

    Returns:
        What was found, and the set where there is one.
    """
    found: list[Finding] = []
    if media_type(response.headers) not in CONTENT_TYPES:
        served = escape(media_type(response.headers)) or "no type at all"
        found.append(CONTENT_TYPE(f"it is served as {served}"))
    try:
        document = strictjson.loads(response.body, max_members=MAX_MEMBERS)
    except ValueError:
        return [*found, UNREADABLE(_unread(response.body))], None
    try:
        keys = read_jwks(document, algorithms)
    except ValueError as error:
        return [*found, UNREADABLE(f"it is JSON and no key set ({error})")], None
    return [*found, *_judged(keys, document, algorithms), *_compared(keys, before)], keys


def too_large() -> Finding:
    """Return the finding about a set of which the end was not read."""
    return TOO_LARGE(f"it is longer than {MAX_BYTES:,} bytes, and not read")


def _unread(body: bytes) -> str:
    start = body.lstrip()[:1]
    if not body.strip():
        return "what is served is empty"
    if start == b"<":
        return "what is served is a page and no key set"
    if start != b"{":
        return "what is served is no JSON object in UTF-8 without byte order mark"
    return (
        "what is served is cut off, or no JSON of which there is one reading: members stand there "
        "twice, or too many or too deep, or numbers and texts are none"
    )


def _judged(
    keys: KeySet, document: Mapping[str, Any], algorithms: tuple[str, ...]
) -> Iterator[Finding]:
    names = sorted({kid for kid, _ in keys.keys})
    for rejected in dict.fromkeys(keys.rejected):
        yield _rejection(rejected)
    if names:
        count = "one key" if len(names) == 1 else f"{len(names)} keys"
        yield USABLE(f"it has {count} that can be used: {', '.join(map(escape, names))}")
    elif not document["keys"]:
        yield NONE_USABLE("it has no keys")
    else:
        yield NONE_USABLE(f"none of its keys can be used with {', '.join(algorithms)}")


def _rejection(rejected: Rejected) -> Finding:
    word, _, more = rejected.reason.partition(":")
    kind = _REJECTED.get(word, MALFORMED)
    said = _WORDS.get(word, f"fits several algorithms: {more}")
    return kind(f"key {rejected.kid} {said} ({word})")


def _compared(keys: KeySet, before: Mapping[str, KeySet]) -> Iterator[Finding]:
    served = _thumbprints(keys)
    for where, known in before.items():
        if served and _thumbprints(known) and served.isdisjoint(_thumbprints(known)):
            yield DISJOINT(f"none of its keys is among those of {where}")


def _thumbprints(keys: KeySet) -> frozenset[str]:
    return frozenset(key.thumbprint for key in keys.keys.values())
