"""Brings reports to the vendor's server, one after the other, and later what it does not take.

The server is trusted with what it is told, and with nothing it answers but its status and how
long it wants to be left alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from math import inf
from random import uniform

from licet.core.clock import Clock, reading
from licet.core.documents.exchange import media_type, retry_after
from licet.core.events.log import Ration
from licet.core.problem import MEDIA_TYPE
from licet.core.stores import StoreUnavailable
from licet.core.transport import Request, Transport, TransportError
from licet.core.usage.metering.spool import Report, Spool

logger = logging.getLogger("licet")

#: Seconds that one report may take; bytes of an answer that are read.
DEADLINE, MAX_ANSWER = 5.0, 64 * 1024
#: Seconds before the second try, and before any later one at most.
FIRST, LAST = 1.0, 300.0
#: The longest that `Retry-After` is honoured, seconds.
LONGEST_WISH = 3600.0
#: What a server says of a report that it will never take; 404 too, if it is said by one that
#: knows licenses and not by one that knows no such address.
REFUSALS = frozenset({400, 409, 413, 422})


class Courier:
    """Sends what is in a spool. For one thread at a time.

    Args:
        url: where reports go.
        credentials: by issuer, what the server knows this application by.
        spool: what there is to send.
        transport: sends it.
        clock: both clocks.

    Attributes:
        sent: how many reports were taken.
        refused: how many never will be.
        dropped: how much use those told of.
    """

    def __init__(
        self,
        url: str,
        credentials: Mapping[str, str | None],
        spool: Spool,
        transport: Transport,
        clock: Clock,
    ) -> None:
        self.sent = self.refused = self.dropped = 0
        self._url, self._credentials = url, credentials
        self._spool, self._transport = spool, transport
        self._wall, self._monotonic = clock.wall, clock.monotonic
        self._failures, self._not_before = 0, -inf
        self._said = Ration(clock)

    def go(self, seconds: float, *, at_last: bool = False) -> None:
        """Send what there is, for about `seconds` at most; not while backing off.

        Args:
            seconds: how long it may take.
            at_last: whether there is no later: then it is tried also while backing off.

        Raises:
            StoreUnavailable: the spool cannot be had.
        """
        until = self._monotonic() + seconds
        while (now := self._monotonic()) < until:
            if now < self._not_before and not at_last:
                return
            report = self._spool.next()
            if report is None or not self._bring(report, min(DEADLINE, until - now)):
                return

    def _bring(self, report: Report, deadline: float) -> bool:
        """Send one report; return whether it need not be sent again."""
        headers = {"content-type": "application/json"}
        credentials = self._credentials.get(report.issuer)
        if credentials is not None:
            headers["authorization"] = f"Bearer {credentials}"
        request = Request("POST", self._url, headers, report.body)
        wait = 0.0
        try:
            response = self._transport.send(request, deadline=deadline, max_bytes=MAX_ANSWER)
        except TransportError as error:
            problem: str = error.reason
        else:
            problem = f"status {response.status}"
            if 200 <= response.status < 300:
                self._settle(report)
                self.sent += 1
                return True
            is_described = media_type(response.headers) == MEDIA_TYPE
            if response.status in REFUSALS or (response.status == 404 and is_described):
                self._settle(report)
                self._drop(report, problem)
                return True
            # By a clock that says nothing no date is ahead.
            wall = reading(self._wall) or inf
            wait = min(retry_after(response.headers, wall) or 0.0, LONGEST_WISH)
        self._fail(report, max(wait, min(FIRST * 2.0**self._failures, LAST)))
        if self._said.withheld("usage.unsent") is not None:
            logger.warning("usage is reported later: %s", problem)
        return False

    def _settle(self, report: Report) -> None:
        self._failures, self._not_before = 0, -inf
        self._spool.done(report)

    def _fail(self, report: Report, wait: float) -> None:
        self._failures = min(self._failures + 1, 20)
        # Spread, so that all applications do not come back at once.
        wait *= uniform(0.8, 1.2)  # noqa: S311 - nothing to guess
        self._not_before = self._monotonic() + wait
        try:
            self._spool.later(report)
        except StoreUnavailable:
            # It is there still, and free again after its lease.
            logger.debug("a report of usage is sent again once its lease is over")

    def _drop(self, report: Report, problem: str) -> None:
        self.refused += 1
        self.dropped += sum(each["count"] for each in json.loads(report.body)["counters"])
        if self._said.withheld("usage.refused") is not None:
            text = "a report of usage is refused for good: %s, %d dropped so far"
            logger.warning(text, problem, self.dropped)
