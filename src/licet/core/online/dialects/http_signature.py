"""Responses signed as Keygen signs them (draft-cavage-http-signatures-08, section 2.3).

Covered are request line, host, date, and the digest of the body, which is reckoned here and not
taken from the field that names it. Beside the key nothing is trusted; nothing else is accepted
than this one form.
"""

from __future__ import annotations

import hashlib
import re
from binascii import a2b_base64, b2a_base64
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import urlsplit

from licet.core.keys.jwk import VerifyKey
from licet.core.online.question import Undecided
from licet.core.transport import Response

_COVERED = "(request-target) host date digest"
_PARAMETER = r'[a-z]+="[^",]*"'
_SIGNATURE = re.compile(rf"{_PARAMETER}(?:, ?{_PARAMETER}){{3}}", re.ASCII)


def verified(key: VerifyKey, method: str, url: str, response: Response) -> float:
    """Return the date of a response whose signature holds, in seconds since the epoch.

    Args:
        key: the account's.
        method: of the request, in lower case.
        url: of the request.
        response: its fields `Keygen-Signature` and `Date` are looked at; what its `Digest` has
            to be is reckoned from the body.

    Raises:
        Undecided: it does not hold, or is not of this form.
    """
    fields = response.headers
    value = fields.get("keygen-signature", "")
    if not _SIGNATURE.fullmatch(value):
        raise Undecided("signature")
    said = dict(each.strip().split("=", 1) for each in value.split(","))
    if said.keys() != {"keyid", "algorithm", "signature", "headers"}:
        raise Undecided("signature")
    if said["algorithm"] != '"ed25519"' or said["headers"] != f'"{_COVERED}"':
        raise Undecided("signature")
    # A proxy may put a date of its own in the place of the one that was signed.
    date = fields.get("keygen-date", fields.get("date", ""))
    place = urlsplit(url)
    target = (place.path or "/") + (f"?{place.query}" if place.query else "")
    digest = b2a_base64(hashlib.sha256(response.body).digest(), newline=False).decode("ascii")
    signing_input = (
        f"(request-target): {method} {target}\nhost: {place.netloc.lower()}\n"
        f"date: {date}\ndigest: sha-256={digest}"
    )
    if not key.verify(signing_input.encode(), _base64(said["signature"][1:-1])):
        raise Undecided("signature")
    return _seconds(date)


def _base64(text: str) -> bytes:
    try:
        value = a2b_base64(text, strict_mode=True)
    except ValueError:
        raise Undecided("signature") from None
    if b2a_base64(value, newline=False).decode("ascii") != text:
        raise Undecided("signature")
    return value


def _seconds(date: str) -> float:
    """Return an HTTP date (RFC 9110, section 5.6.7: IMF-fixdate) in seconds since the epoch."""
    try:
        at = parsedate_to_datetime(date)
        if format_datetime(at, usegmt=True) != date:
            raise ValueError
    except ValueError:
        raise Undecided("date") from None
    return at.timestamp()
