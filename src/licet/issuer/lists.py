"""What a status list says when it leaves the vendor (draft-ietf-oauth-status-list, section 4).

Decides how statuses are spelt and how large a list is. Each function raises ValueError with a
sentence that names the argument.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from licet.core.errors import LicenseInvalid
from licet.core.revocation.statuslist import (
    BITS,
    MAX_INFLATED,
    WORDS,
    Status,
    pack,
    read_reference,
)
from licet.core.token import base64url

__all__ = ["Status", "payload"]

#: Licenses that a list has room for at least, so that its size tells nothing of their number.
USUAL_SIZE = 2**20


def payload(
    issuer: str,
    uri: str,
    statuses: Mapping[int, Status | int],
    *,
    size: int | None,
    bits: int,
    ttl: int,
    issued_at: int,
    expires_in: int,
) -> dict[str, Any]:
    """Return the claims of a list (section 5.1).

    Raises:
        ValueError: an argument is not as it has to be.
    """
    _check_address(uri)
    if ttl < 1 or expires_in < 1:
        raise ValueError("ttl and expires_in are a second at least")
    if type(bits) is not int or bits not in BITS:
        raise ValueError("bits is 1, 2, 4 or 8")
    if not isinstance(statuses, Mapping) or not all(type(idx) is int for idx in statuses):
        raise ValueError("statuses is a mapping of whole numbers to what is said of each license")
    highest = max(statuses, default=0)
    if size is None:
        size = max(USUAL_SIZE, 1 << highest.bit_length())
    if type(size) is not int or size < 1 or min(statuses, default=0) < 0 or highest >= size:
        raise ValueError("size is a whole number above every index, and no index is below 0")
    if size * bits > MAX_INFLATED * 8:
        raise ValueError(f"a list takes at most {MAX_INFLATED} bytes: its size is too large")
    packed = pack(_numbers(statuses, 1 << bits), size, bits)
    return {
        "iss": issuer,
        "sub": uri,
        "iat": issued_at,
        "exp": issued_at + expires_in,
        "ttl": ttl,
        "status_list": {
            "bits": bits,
            "lst": base64url.encode(zlib.compress(packed, 9)).decode("ascii"),
        },
    }


def _check_address(uri: str) -> None:
    try:
        read_reference({"status_list": {"idx": 0, "uri": uri}})
    except LicenseInvalid:
        raise ValueError(
            "uri is an absolute https URL of at most 1,024 characters, without fragment"
        ) from None


def _numbers(statuses: Mapping[int, Status | int], limit: int) -> Iterator[tuple[int, int]]:
    """Return pairs of an index and a number below `limit`, but for those that are 0."""
    named: dict[object, int] = {word: number for number, word in enumerate(WORDS)}
    for idx, status in statuses.items():
        number = named.get(status) if isinstance(status, str) else status
        # Not isinstance: True is an int.
        if type(number) is not int or not 0 <= number < limit:
            raise ValueError(
                f"statuses are {', '.join(WORDS)} or whole numbers from 0, below {limit} for"
                " these bits"
            )
        if number:
            yield idx, number
