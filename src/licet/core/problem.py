"""A refusal as an answer: status, header fields and problem details (RFC 9457).

Nothing of the request is reflected, and nothing of this side is told: no reason, no token, no
key id, no address. Two refusals of one code are the same to the byte,
but for the number by which an operator finds what a 503 comes of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from licet.core.caching import vary
from licet.core.errors import (
    LicenseError,
    LicenseRequired,
    LicenseUnavailable,
    LimitExceeded,
    PossessionInvalid,
    PossessionRequired,
)
from licet.core.events.log import escape
from licet.core.possession.dpop import ALGORITHMS
from licet.core.settings import Settings
from licet.core.usage.rates import rate_fields, seconds

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
    headers: list[tuple[str, str]] = []
    fields = vary(settings.sources or ())
    if fields:
        headers.append(("Vary", fields))
    if error.status == 401:
        headers.append(("WWW-Authenticate", _challenge(error)))
    if isinstance(error, PossessionInvalid) and error.nonce is not None:
        headers.append(("DPoP-Nonce", error.nonce))
    if isinstance(error, LicenseUnavailable):
        headers.append(("Retry-After", str(seconds(error.retry_after))))
    if isinstance(error, LimitExceeded) and error.rate is not None:
        headers.append(("Retry-After", str(seconds(error.rate.resets_in))))
        if settings.rate_limit_headers:
            headers.extend(rate_fields([error.rate]))
    if tell:
        headers.append(("X-Licet-Reason", escape(error.reason, 256)))
    return answer(error.status, document(error, settings), headers)


def answer(
    status: int, described: Mapping[str, Any], headers: Iterable[tuple[str, str]] = ()
) -> Problem:
    """Return a problem document as it is sent.

    Args:
        status: the HTTP status code.
        described: the members of the document.
        headers: more header fields than every such answer has.
    """
    body = json.dumps(described, default=str).encode()
    return Problem(
        status,
        (
            ("Content-Type", MEDIA_TYPE),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
            ("Content-Length", str(len(body))),
        ),
        body,
    )


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
    described = members(error.code, error.status, error.title, error.detail)
    described.update(error.members)
    if error.status in (402, 403) and settings.upgrade_url:
        described["upgrade_url"] = settings.upgrade_url
    return described


def members(code: str, status: int, title: str, detail: str) -> dict[str, Any]:
    """Return the members that every problem document has (RFC 9457, section 3.1), and `code`."""
    return {
        "type": f"urn:licet:problem:{code.replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }


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
