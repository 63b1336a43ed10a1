"""Text to parts: a compact JWS (RFC 7515, section 7.1) taken apart, and nothing of it believed.

Decides whether a credential has the shape of a license token. What passes is still a stranger's
word; all that may be done with it before the signature held is refuse it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from licet.core.errors import LicenseInvalid
from licet.core.token import base64url, strictjson

MAX_HEADER = 2048
_MAX_HEADER_SEGMENT = (MAX_HEADER * 4 + 2) // 3

#: A header with one of these is no license token, whatever its value: it would name another
#: key, another reading of the payload, or belongs to JWE (RFC 7516) or a nested JWT.
FORBIDDEN = frozenset("jku x5u jwk x5c crit b64 cty zip enc epk apu apv iv tag p2s p2c".split())
_KID = frozenset(range(0x20, 0x7F))


@dataclass(frozen=True, slots=True)
class Header:
    """A JOSE header whose members are well-formed; whether they fit is policy."""

    alg: str
    kid: str
    typ: str | None


class CompactToken:
    """A compact JWS in parts. Slots rather than a frozen dataclass: one is made on every miss."""

    __slots__ = ("header", "header_segment", "payload", "signature", "signing_input")

    def __init__(
        self,
        header: Header,
        header_segment: bytes,
        payload: dict[str, Any],
        signing_input: bytes,
        signature: bytes,
    ) -> None:
        self.header = header
        self.header_segment = header_segment
        self.payload = payload
        self.signing_input = signing_input
        self.signature = signature


class HeaderCache(dict[bytes, Header]):
    """Headers by their encoded segment, of tokens whose signature held: a handful per issuer.

    `parse` only looks; `remember` is for whoever has verified. A cached header saves its
    decoding, never the look-up of its key.
    """

    CAPACITY = 64

    def remember(self, token: CompactToken) -> None:
        """Keep the header of a token whose signature held."""
        if token.header_segment not in self:
            if len(self) >= self.CAPACITY:
                self.clear()
            self[token.header_segment] = token.header


def parse(credential: bytes, *, max_size: int, headers: HeaderCache) -> CompactToken:
    """Take `credential` apart.

    Args:
        credential: the compact serialization, as it was presented.
        max_size: the longest accepted, in bytes.
        headers: what is already known of header segments.

    Raises:
        LicenseInvalid: it is too large, not a compact JWS, not canonical, or has a header or
            payload that can be read in more than one way.
    """
    if len(credential) > max_size:
        raise LicenseInvalid("token_too_large")
    signing_input, _, signature_segment = credential.rpartition(b".")
    header_segment, dot, payload_segment = signing_input.partition(b".")
    if not dot or b"." in payload_segment:
        raise LicenseInvalid("not_a_jws")
    try:
        # In the order of what junk fails soonest; every failure has the same answer.
        header = headers.get(header_segment) or _header(header_segment)
        payload = strictjson.loads(base64url.decode(payload_segment))
        signature = base64url.decode(signature_segment)
    except ValueError:
        # Without its cause: the message of a decoder quotes what it could not read.
        raise LicenseInvalid("malformed") from None
    return CompactToken(header, header_segment, payload, signing_input, signature)


def _header(segment: bytes) -> Header:
    if len(segment) > _MAX_HEADER_SEGMENT:
        raise LicenseInvalid("header_too_large")
    members = strictjson.loads(base64url.decode(segment))
    forbidden = FORBIDDEN.intersection(members)
    if forbidden:
        raise LicenseInvalid(f"header_param_forbidden:{min(forbidden)}")
    alg, kid, typ = members.get("alg"), members.get("kid"), members.get("typ")
    if not isinstance(alg, str):
        raise LicenseInvalid("alg_not_allowed")
    if kid is None and "kid" not in members:
        raise LicenseInvalid("kid_required")
    if not isinstance(kid, str) or not 1 <= len(kid) <= 256 or not _KID.issuperset(map(ord, kid)):
        raise LicenseInvalid("bad_kid")
    if typ is None and "typ" not in members:
        return Header(alg, kid, None)
    if not isinstance(typ, str):
        raise LicenseInvalid("wrong_type")
    return Header(alg, kid, media_type(typ))


def media_type(typ: str) -> str:
    """Return a `typ` in the one form that is compared (RFC 7515, section 4.1.9)."""
    # ASCII only: `lower` maps the Kelvin sign to `k`.
    if not typ.isascii():
        return typ
    return typ.lower().removeprefix("application/")
