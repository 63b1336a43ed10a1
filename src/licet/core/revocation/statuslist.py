"""Token Status Lists (draft-ietf-oauth-status-list): what a license names and what a list says.

Decides what a `status` claim may look like, whether a token is a list of this issuer for this
address, and what stands at an index in it. Nothing is believed that a key of the issuer has not
signed, and nothing is inflated before; what is inflated is bounded, whatever it claims to be.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from licet.core.documents.unusable import Unusable
from licet.core.errors import LicenseInvalid
from licet.core.settings.values import origin_of
from licet.core.token import base64url, compact
from licet.core.token.claims import numeric_date
from licet.core.token.signature import ALGORITHMS, Verifier

#: The header's `typ` (section 5.1), which no license and no answer has.
TYPE = "statuslist+jwt"
#: Bytes: the longest list, inflated, and the longest token it may come in. The latter holds 33
#: million licenses of two bits each, one in ten of them revoked.
MAX_INFLATED, MAX_TOKEN = 8 * 1024 * 1024, 4 * 1024 * 1024
MAX_URI = 1_024
#: Seconds that the issuer's clock and this one may differ.
LEEWAY = 30.0

Status: TypeAlias = Literal["valid", "revoked", "suspended"]
#: The registered values (section 7.1) that this application knows what to do about.
WORDS: tuple[Status, ...] = ("valid", "revoked", "suspended")
#: Bits for one license (section 4.1): each lies within one byte.
BITS = (1, 2, 4, 8)

# The letters of RFC 3986 and no others: two readers would not agree on the host of the rest.
_URI = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:[/?][A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?"
)


class StatusReference(NamedTuple):
    """Where the status of one license stands.

    Attributes:
        uri: of the list.
        idx: the place in it.
    """

    uri: str
    idx: int


def read_reference(claim: object) -> StatusReference:
    """Read a `status` claim (sections 6.1 and 6.2).

    Raises:
        LicenseInvalid: it is none, or names another mechanism as well.
    """
    # Another mechanism may withdraw what this one does not, and nobody here would hear of it.
    if not isinstance(claim, dict) or claim.keys() != {"status_list"}:
        raise LicenseInvalid("bad_claim:status")
    # It contains "at least" these two: what else is in it says nothing of the status.
    reference = claim["status_list"]
    if not isinstance(reference, dict):
        raise LicenseInvalid("bad_claim:status")
    uri, idx = reference.get("uri"), reference.get("idx")
    # Not isinstance: True is an int.
    if type(idx) is not int or idx < 0:
        raise LicenseInvalid("bad_claim:status")
    if not isinstance(uri, str) or len(uri) > MAX_URI or not _URI.fullmatch(uri):
        raise LicenseInvalid("bad_claim:status")
    try:
        origin_of(uri)
    except ValueError:
        raise LicenseInvalid("bad_claim:status") from None
    return StatusReference(uri, idx)


@dataclass(frozen=True, slots=True)
class StatusList:
    """What was said of many licenses at one moment; never changed, only replaced.

    Args:
        uri: where it is.
        bits: for one license: 1, 2, 4 or 8.
        packed: all of them, the first in the least significant bits of the first byte.
        issued_at: when it was said, seconds since the epoch.
        expires_at: from when on the issuer does not stand by it; None where it does not say.
        ttl: seconds after which there may be a newer one; None where it does not say.
        stale_until: wall time, in seconds since the epoch, from which on it serves nobody.
    """

    uri: str
    bits: int
    packed: bytes = field(repr=False)
    issued_at: float
    expires_at: float | None = None
    ttl: float | None = None
    stale_until: float = 0.0

    def status(self, idx: int) -> int | None:
        """Return the number that stands at `idx`, None where nothing does."""
        place = idx * self.bits
        if idx < 0:
            return None
        try:
            byte = self.packed[place >> 3]
        except IndexError:
            return None
        return byte >> (place & 7) & (1 << self.bits) - 1

    def word(self, idx: int) -> Status:
        """Return what is said of the license at `idx`.

        Raises:
            LicenseInvalid: nothing is, or nothing that is known here.
        """
        status = self.status(idx)
        if status is None:
            raise LicenseInvalid("status_index")
        try:
            return WORDS[status]
        except IndexError:
            raise LicenseInvalid("status_unknown") from None


def pack(statuses: Iterable[tuple[int, int]], size: int, bits: int) -> bytes:
    """Return numbers as `StatusList.packed` has them, 0 where there is none.

    Args:
        statuses: pairs of an index, none twice, and a number below 2 to the power of `bits`.
        size: for how many licenses there has to be room.
        bits: for one license: 1, 2, 4 or 8.

    Raises:
        IndexError: an index is not below `size`, rounded up to whole bytes.
    """
    packed = bytearray((size * bits + 7) >> 3)
    for idx, status in statuses:
        place = idx * bits
        packed[place >> 3] |= status << (place & 7)
    return bytes(packed)


def read_list(
    token: bytes, uri: str, issuer: str, find: Callable[[str, str], Verifier], now: float
) -> StatusList:
    """Read a Status List Token (sections 5.1 and 8.3).

    Args:
        token: the compact serialization, as it was served.
        uri: where it was served, as licenses spell it.
        issuer: whose licenses they are, and whose key has to have signed it.
        find: returns what checks signatures by the key of an id and an algorithm; raises Unusable
            where there is none.
        now: seconds since the epoch.

    Raises:
        Unusable: it is no such list, or not one to go by now.
    """
    try:
        parts = compact.parse(token, max_size=MAX_TOKEN, headers=compact.HeaderCache())
        payload, header = parts.payload, parts.header
        if header.typ != TYPE:
            raise Unusable("wrong_type")
        if header.alg not in ALGORITHMS:
            raise Unusable("alg_not_allowed")
        if payload.get("sub") != uri:
            raise Unusable("bad_claim:sub")
        if payload.get("iss", issuer) != issuer:
            raise Unusable("bad_issuer")
        # It names somebody, and this reader has no name (RFC 7519, section 4.1.3).
        if "aud" in payload:
            raise Unusable("bad_claim:aud")
        issued_at, expires_at = _times(payload, now)
    except LicenseInvalid as refusal:
        raise Unusable(refusal.reason) from None
    ttl = _positive(payload["ttl"]) if "ttl" in payload else None
    # All that is cheap comes first: looking for a key may cost a fetch.
    if not find(header.kid, header.alg)(parts.signing_input, parts.signature):
        raise Unusable("bad_signature")
    bits, packed = _unpacked(payload.get("status_list"))
    return StatusList(uri, bits, packed, issued_at, expires_at, ttl)


def _positive(ttl: Any) -> float:
    if type(ttl) not in (int, float) or ttl <= 0:
        raise Unusable("bad_claim:ttl")
    return float(ttl)


def _times(payload: Mapping[str, Any], now: float) -> tuple[float, float | None]:
    """Return `iat` and `exp` of a list that holds now.

    Raises:
        LicenseInvalid: one is missing or is no date.
        Unusable: it does not hold now.
    """
    issued_at = numeric_date(payload, "iat")
    begins_at = numeric_date(payload, "nbf") if "nbf" in payload else issued_at
    if max(issued_at, begins_at) > now + LEEWAY:
        raise Unusable("from_the_future")
    expires_at = numeric_date(payload, "exp") if "exp" in payload else None
    if expires_at is not None and now >= expires_at + LEEWAY:
        raise Unusable("expired")
    return issued_at, expires_at


def _unpacked(member: object) -> tuple[int, bytes]:
    """Return bits and bytes of a `status_list` (section 4.2).

    Raises:
        Unusable: it is none, or inflates to too much or to nothing whole.
    """
    if not isinstance(member, dict):
        raise Unusable("bad_claim:status_list")
    bits, lst = member.get("bits"), member.get("lst")
    if type(bits) is not int or bits not in BITS or not isinstance(lst, str):
        raise Unusable("bad_claim:status_list")
    stream = zlib.decompressobj()
    try:
        # One byte more than is read, or whether that was all could not be told.
        packed = stream.decompress(base64url.decode(lst.encode("ascii")), MAX_INFLATED + 1)
    except (ValueError, zlib.error):
        raise Unusable("bad_claim:lst") from None
    if len(packed) > MAX_INFLATED:
        raise Unusable("list_too_large")
    if not stream.eof or stream.unused_data:
        raise Unusable("bad_claim:lst")
    return bits, packed
