"""A refusal as an answer: status, header fields and problem details (RFC 9457).

Nothing of the request is reflected, and nothing of this side is told: no reason, no token, no
key id, no address. Two refusals of one code are the same to the byte,
but for the number by which an operator finds what a 503 comes of.
"""

from __future__ import annotations

import json
import math
from ipaddress import ip_address
from typing import Any, NamedTuple

from licet.core.caching import vary
from licet.core.errors import (
    LicenseError,
    LicenseRequired,
    LicenseUnavailable,
    PossessionInvalid,
    PossessionRequired,
)
from licet.core.events.log import escape
from licet.core.possession.dpop import ALGORITHMS
from licet.core.settings import Settings

MEDIA_TYPE = "application/problem+json"

_ALGS = f'algs="{" ".join(ALGORITHMS)}"'
_BEARER = 'Bearer realm="licet"'
_INVALID_TOKEN = f'{_BEARER}, error="invalid_token"'


class Problem(NamedTuple):
    """An answer, ready for any framework.

    Attributes:
        status: the HTTP status code.
        headers: name and value of each header field; ASCII, `Content-Type` included.
        body: the problem document.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def problem(error: LicenseError, settings: Settings, *, tell: bool = False) -> Problem:
    """Return the answer to `error`.

    Args:
        error: the refusal.
        settings: for `upgrade_url`, and for the sources that `Vary` names.
        tell: add `X-Licet-Reason`; only where `may_tell`.
    """
    headers = [
        ("Content-Type", MEDIA_TYPE),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    fields = vary(settings.sources or ())
    if fields:
        headers.append(("Vary", fields))
    if error.status == 401:
        headers.append(("WWW-Authenticate", _challenge(error)))
    if isinstance(error, PossessionInvalid) and error.nonce is not None:
        headers.append(("DPoP-Nonce", error.nonce))
    if isinstance(error, LicenseUnavailable):
        headers.append(("Retry-After", str(max(1, math.ceil(error.retry_after)))))
    if tell:
        headers.append(("X-Licet-Reason", escape(error.reason, 256)))
    body = json.dumps(document(error, settings), default=str).encode()
    headers.append(("Content-Length", str(len(body))))
    return Problem(error.status, tuple(headers), body)


def may_tell(debug: bool, peer: str | None) -> bool:
    """Whether an answer may say why: in a framework's debug mode, to a client on this machine.

    Args:
        debug: whether the framework is in its debug mode.
        peer: the address of the client, if it is known.
    """
    if not debug or peer is None:
        return False
    try:
        return ip_address(peer).is_loopback
    except ValueError:
        return False


def document(error: LicenseError, settings: Settings) -> dict[str, Any]:
    """Return the members of the problem document of `error`."""
    members: dict[str, Any] = {
        "type": f"urn:licet:problem:{error.code.replace('_', '-')}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        **error.members,
    }
    if error.status in (402, 403) and settings.upgrade_url:
        members["upgrade_url"] = settings.upgrade_url
    return members


def _challenge(error: LicenseError) -> str:
    """Return the challenge of a 401 (RFC 6750, section 3; RFC 9449, section 7.1).

    What a proof lacks is told in both schemes: a license bound to a certificate comes as
    `Bearer`, and then has to be called an invalid token (RFC 8705, section 3).
    """
    if isinstance(error, PossessionRequired):
        return f'DPoP realm="licet", {_ALGS}, {_INVALID_TOKEN}'
    if isinstance(error, PossessionInvalid):
        if error.code == "use_dpop_nonce":
            return f'DPoP realm="licet", error="use_dpop_nonce", {_ALGS}'
        return f'DPoP realm="licet", error="invalid_dpop_proof", {_ALGS}, {_INVALID_TOKEN}'
    return _BEARER if isinstance(error, LicenseRequired) else _INVALID_TOKEN
