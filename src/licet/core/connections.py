"""Connections that stay open: their license is looked at again, every so often.

A websocket or an event stream may outlive the license it was opened with. What an adapter does
about that begins here: which answers stay open, when their license is due, and what is the
matter with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import uniform
from typing import TYPE_CHECKING, TypeVar

from licet.core.flow import Flow, run

if TYPE_CHECKING:
    from licet.core.entitlements import Entitlements
    from licet.core.errors import LicenseError
    from licet.core.gate import Gate
    from licet.core.request.facts import RequestFacts

T = TypeVar("T")

#: The media type of server-sent events (HTML Living Standard, section 9.2).
EVENT_STREAM = "text/event-stream"


def is_event_stream(content_type: str | None) -> bool:
    """Whether an answer of this `Content-Type` stays open for events to come."""
    return (content_type or "").partition(";")[0].strip().lower() == EVENT_STREAM


def ends_with_license(gate: Gate, entitlements: Entitlements, path: str) -> bool:
    """Whether a connection ends with its license: not where it needs none, or has none.

    Args:
        gate: what judged it.
        entitlements: what it was given.
        path: of its request, relative to where the application is.
    """
    return bool(entitlements.license_id) and path not in gate.exempt_paths


class Recheck:
    """The license of one open connection, to be looked at again.

    Args:
        gate: what judged it.
        entitlements: what the connection was given; they keep the credential while it is open.
        facts: of the request that opened it.
        every: seconds between two looks, at most.
    """

    __slots__ = ("_entitlements", "_every", "_facts", "_gate", "_is_told")

    def __init__(
        self, gate: Gate, entitlements: Entitlements, facts: RequestFacts, every: float
    ) -> None:
        self._gate = gate
        self._entitlements = entitlements
        self._facts = facts
        self._every = every
        #: Whether it was told that this one would have been ended, which is so once.
        self._is_told = False

    def pause(self) -> float:
        """Return the seconds until the next look: spread, for connections opened all at once."""
        return uniform(0.8, 1.0) * self._every  # noqa: S311  # no secret hangs on it

    def objection(self) -> Flow[LicenseError | None]:
        """Return why the connection may not stay open; None while it may.

        Waits only where a request with this license would.
        """
        if self._is_told:
            return None
        try:
            self._is_told = not (yield from self._gate.recheck(self._entitlements, self._facts))
        except Exception as error:
            return self._gate.as_refusal(error)
        return None

    def pieces(
        self, body: Iterable[T], is_stream: Callable[[], bool] = lambda: True
    ) -> Iterator[T]:
        """Hand on the pieces of `body` until the license no longer holds; for threads.

        Looks when a piece is there and a look is due: nothing interrupts an iterator that waits
        for its next piece. Whoever made `body` closes it.

        Args:
            body: of the answer.
            is_stream: whether the answer is an event stream, where its first piece tells.
        """
        monotonic = self._gate.clock.monotonic
        due_at = monotonic() + self.pause()
        for piece in body:
            if monotonic() >= due_at and is_stream():
                if run(self.objection()) is not None:
                    return
                due_at = monotonic() + self.pause()
            yield piece
