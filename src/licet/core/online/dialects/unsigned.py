"""Answers without a signature: plain JSON, as other vendors' servers give it.

Nobody vouches for them but TLS, so they are believed only where the settings say so. They are
read as leniently as they are written, in what they are called alone: what they grant and demand
passes the same checks as any license's claims.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from licet.core.online.dialects.signed import MAX_ANSWER, license_id
from licet.core.online.question import LicenseServer, Question, Undecided
from licet.core.token import strictjson
from licet.core.token.claims import LATEST
from licet.core.transport import Response

#: Seconds for which an answer holds that tells no end, and for which it does at the most: it is
#: a statement of today, made again with each question, where a vendor's license may be for ever.
DEFAULT_LIFETIME, MAX_LIFETIME = 86_400, 365 * 86_400

_IDS = ("license_id", "licenseId", "id")
_ENDS = ("exp", "expiresAt", "expires_at", "expiry")


def read(response: Response, server: LicenseServer) -> dict[str, Any]:
    """Return the members of a plain JSON answer.

    Raises:
        Undecided: it is none, or such answers are not believed.
    """
    if not server.unsigned:
        raise Undecided("unsigned")
    if len(response.body) > MAX_ANSWER:
        raise Undecided("malformed")
    try:
        return strictjson.loads(response.body)
    except ValueError:
        raise Undecided("malformed") from None


def claims(members: dict[str, Any], question: Question) -> dict[str, Any]:
    """Return the claims of a license (`protocol.md`, section 1) that a plain answer amounts to.

    What it says of itself stays; what every license has and it does not say is filled in.

    Raises:
        Undecided: its id or its end cannot be read.
    """
    if license_id(members, question) is None:
        members = {"sub": _identifier(members, question), **members}
    if isinstance(members.get("status"), str):
        # A word such as `active`, where a license has the place of its status list.
        members = {name: value for name, value in members.items() if name != "status"}
    end = min(_end(members, question.asked_at), question.asked_at + MAX_LIFETIME)
    return {
        "iss": question.issuer,
        "aud": question.audience,
        **{name: value for name, value in members.items() if name not in _ENDS},
        "iat": min(question.asked_at, end),
        "exp": end,
    }


def timestamp(text: str) -> float:
    """Return an ISO 8601 date and time in seconds since the epoch; UTC where it names no zone.

    Raises:
        Undecided: it is none, or before 1970.
    """
    try:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Undecided("expiry") from None
    return _bounded(seconds)


def _identifier(members: dict[str, Any], question: Question) -> str:
    if question.license_id is not None:
        return question.license_id
    told = (members.get(name) for name in _IDS)
    return next((each for each in told if isinstance(each, str)), f"key_{question.digest}")


def _end(members: dict[str, Any], asked_at: float) -> float:
    """Return the earliest end that is told; a null tells none."""
    told = [members[name] for name in _ENDS if members.get(name) is not None]
    return min(map(_moment, told), default=asked_at + DEFAULT_LIFETIME)


def _moment(value: object) -> float:
    if isinstance(value, str):
        return timestamp(value)
    if type(value) is not int and type(value) is not float:
        raise Undecided("expiry")
    return _bounded(value)


def _bounded(seconds: float) -> float:
    # Beyond it are, above all, milliseconds.
    if not 0 <= seconds <= LATEST:
        raise Undecided("expiry")
    return seconds
