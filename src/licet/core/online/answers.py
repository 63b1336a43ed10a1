"""What a license server's no means here, and how its statuses are read.

Only an answer decides. Everything else, whatever its status, is undecided, and says at most
whether asking again could help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from licet.core.documents.exchange import retry_after
from licet.core.errors import (
    ConstraintViolated,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseRejected,
    LimitExceeded,
)
from licet.core.events.log import escape
from licet.core.online.question import Answer, Denied
from licet.core.revocation.standing import withdrawn
from licet.core.revocation.statements import Word
from licet.core.transport import Response, TransportError

#: Seconds: the bounds of a `Retry-After` that is honoured.
LEAST_RETRY_AFTER, MOST_RETRY_AFTER = 1.0, 3_600.0
#: The words of a no that withdraws the license.
WITHDRAWING: Mapping[str, Word] = {
    "revoked": "revoked",
    "cancelled": "revoked",
    "suspended": "suspended",
}


class NoAnswer(Exception):
    """Nothing that decides has come.

    Args:
        reason: a fixed word, for the log.
        retry: whether the next attempt may fare better at once.
        harmless: whether the server is well and only this question is not to its liking.
        retry_after: seconds that the server asks to be left alone, clamped.
        cause: what the transport said.
        asked: whether anybody was asked at all.
        hasty: whether the server was given so little time that its silence says nothing of it.
        until: monotonic seconds until which asking again makes no sense.
        correlation_id: what the event of it carries.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry: bool = False,
        harmless: bool = False,
        retry_after: float | None = None,
        cause: TransportError | None = None,
        asked: bool = True,
        hasty: bool = False,
        until: float = 0.0,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
        self.harmless = harmless
        self.retry_after = retry_after
        self.cause = cause
        self.asked = asked
        self.hasty = hasty
        self.until = until
        self.correlation_id = correlation_id


def check_status(response: Response, wall: float) -> None:
    """See to it that a response has the one status that decides.

    Args:
        response: what came.
        wall: now, in seconds since the epoch.

    Raises:
        NoAnswer: it has another.
    """
    status = response.status
    if status == 200:
        return
    if status in (401, 403, 407):
        # Of this application's credentials: nothing that its callers can mend.
        raise NoAnswer("credentials")
    if status == 429 or status >= 500:
        wait = retry_after(response.headers, wall)
        if wait is not None:
            wait = min(max(wait, LEAST_RETRY_AFTER), MOST_RETRY_AFTER)
        retry = status in (500, 502, 503, 504) and wait is None
        raise NoAnswer(f"status_{status}", retry=retry, retry_after=wait)
    raise NoAnswer(f"status_{status}", harmless=400 <= status < 500)


def lost(error: TransportError) -> NoAnswer:
    """Return what a failure of the transport means."""
    return NoAnswer(error.reason, retry=error.reason in ("connect", "protocol"), cause=error)


def unquoted(answer: Answer, *secrets: str | None) -> Answer:
    """Return an answer whose word can be logged: a server may repeat what it was sent."""
    if isinstance(answer, Denied) and any(one and one in answer.error for one in secrets):
        return replace(answer, error="rejected")
    return answer


def refusal(word: str) -> LicenseError:
    """Return the refusal that the word of a server's no stands for."""
    match word:
        case "unknown":
            return LicenseInvalid("online:unknown")
        case "expired":
            return LicenseExpired("online:expired")
        case _ if word in WITHDRAWING:
            return withdrawn(WITHDRAWING[word])
        case "domain_mismatch":
            return ConstraintViolated("online:domain_mismatch", code="license_domain")
        case "over_limit":
            return LimitExceeded("online:over_limit")
    return LicenseRejected(f"online:{escape(word)}")
