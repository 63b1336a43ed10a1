"""Answers that are signed: a compact JWS (RFC 7515) that says for which question it was made.

Nothing of it is believed before the signature of a key of the license server holds; after that
it may still be a true answer to another question. What cannot be read, and what the wrong key
signed, is no answer; what was said to somebody else, or once before, is reported as a replay.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Any

from licet.core.errors import LicenseInvalid
from licet.core.online.question import LicenseServer, Question, Undecided
from licet.core.token.claims import check_audience, identifier, numeric_date
from licet.core.token.compact import CompactToken, HeaderCache, media_type, parse
from licet.core.token.signature import ALGORITHMS

MAX_ANSWER = 65_536
#: Seconds by which an answer may have expired, as clocks differ.
LEEWAY = 30
#: Seconds that the server's clock may be off; what makes an answer fresh is its nonce.
MAX_DRIFT = 86_400


def read(
    token: bytes, typ: str, question: Question, server: LicenseServer, *, expires: bool = True
) -> dict[str, Any]:
    """Return the claims of an answer that is signed, fresh, and about this very question.

    Args:
        token: the compact serialization.
        typ: what its header must name it (RFC 8725, section 3.11), as `media_type` writes it.
        question: what was asked.
        server: has the keys.
        expires: whether `exp` is required; where it is there it counts.

    Raises:
        Undecided: it is no such answer.
        KeyMissing: from `server.key`.
    """
    try:
        answer = parse(token, max_size=MAX_ANSWER, headers=HeaderCache())
    except LicenseInvalid:
        raise Undecided("malformed") from None
    _check_signature(answer, typ, server)
    claims = answer.payload
    if claims.get("iss") != question.issuer:
        raise Undecided("issuer")
    # Before the times: an old answer that comes again is to be reported as what it is.
    if not same(claims.get("nonce"), question.nonce):
        raise Undecided("nonce", "replay")
    _check_audience(claims.get("aud"), question.audience)
    if abs(_date(claims, "iat") - question.asked_at) > MAX_DRIFT:
        raise Undecided("iat")
    if (expires or "exp" in claims) and question.asked_at >= _date(claims, "exp") + LEEWAY:
        raise Undecided("expired")
    return claims


def same(told: object, asked: str) -> bool:
    """Whether an answer repeats what was asked, in constant time; another type never does."""
    return isinstance(told, str) and compare_digest(told.encode(), asked.encode())


def license_id(members: dict[str, Any], question: Question) -> str | None:
    """Return the `sub` of an answer, which is that of the token asked about, if it was a token.

    Raises:
        Undecided: it is no identifier, or another license's.
    """
    if "sub" not in members:
        return None
    try:
        told = identifier(members, "sub")
    except LicenseInvalid:
        raise Undecided("license") from None
    if question.license_id is not None and told != question.license_id:
        raise Undecided("license", "replay")
    return told


def _check_signature(answer: CompactToken, typ: str, server: LicenseServer) -> None:
    header = answer.header
    if header.typ != media_type(typ):
        raise Undecided("type")
    # Before the key is looked for: nobody is sent to the network for a key that cannot be.
    if header.alg not in ALGORITHMS:
        raise Undecided("algorithm")
    if not server.key(header.kid, header.alg).verify(answer.signing_input, answer.signature):
        raise Undecided("signature")


def _check_audience(told: object, asked: str) -> None:
    try:
        check_audience(told, (asked,))
    except LicenseInvalid:
        raise Undecided("audience", "replay") from None


def _date(claims: dict[str, Any], name: str) -> float:
    try:
        return numeric_date(claims, name)
    except LicenseInvalid:
        raise Undecided(name) from None
