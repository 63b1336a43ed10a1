"""What a pushed event changes. It can only narrow, and make somebody ask.

A withdrawal that the license server pushes is in force at once. That a license is given back, or
that keys have changed, is a reason to ask and restores nothing by itself. All else in an event is
ignored: no event tells where to fetch anything from.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from cachetools import LRUCache, TTLCache

from licet.core.clock import Clock
from licet.core.errors import LicenseError
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.revocation.receiver import TOLERANCE, Delivery, DeliveryUnreadable
from licet.core.revocation.statements import Board, Hint, Subject, Withdrawal
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import Key, StoreUnavailable, key
from licet.core.token.claims import identifier

logger = logging.getLogger("licet")

#: Deliveries, and last sequences, that a process remembers.
DELIVERIES, SEQUENCES = 10_000, 100_000
#: Seconds that a delivery is remembered: longer than senders repeat one that was not acknowledged.
SEEN_FOR = 7 * 86_400.0
#: Seconds that the last sequence of a license is kept on a board: longer than licenses live.
KEPT_FOR = 2 * 366 * 86_400.0

WITHDRAWING: Final[Mapping[str, Literal["revoked", "suspended"]]] = {
    "license.revoked": "revoked",
    "license.suspended": "suspended",
}
HINTING: Final[Mapping[str, Literal["resumed", "rotated"]]] = {
    "license.resumed": "resumed",
    "keys.rotated": "rotated",
}

# RFC 3339, section 5.6; a leap second is no moment that Python knows.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class Notice(NamedTuple):
    """An event that concerns this application.

    Attributes:
        type: of the event.
        issuers: whose licenses or keys it is about.
        name: the license id; empty for keys.
        sequence: its place among the events about the same license or keys; None where it has none.
        said_at: when it happened, in seconds since the epoch.
    """

    type: str
    issuers: Sequence[str]
    name: str
    sequence: int | None
    said_at: float


class Pushed(Locked):
    """Puts the events of one license server into force.

    Args:
        issuers: whose licenses are judged here.
        withdrawals: what was withdrawn.
        boards: where it is remembered what was delivered.
        bus: hears of withdrawals.
        clock: both clocks.
    """

    def __init__(
        self,
        issuers: Collection[str],
        withdrawals: Withdrawals,
        boards: Sequence[Board],
        bus: EventBus,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._issuers = tuple(sorted(issuers))
        self._withdrawals, self._bus = withdrawals, bus
        self._boards = tuple(boards)
        self._wall = clock.wall
        self._seen: TTLCache[str, None] = TTLCache(DELIVERIES, SEEN_FOR, timer=clock.monotonic)
        self._last: LRUCache[tuple[str, str], int] = LRUCache(SEQUENCES)

    def take(self, delivery: Delivery) -> Flow[None]:
        """Put an event into force, unless it is known, older than what is known, or none of ours.

        Args:
            delivery: an authentic one.

        Raises:
            DeliveryUnreadable: it does not say what an event of its type has to.
            StoreUnavailable: it is in force in this process, and not everybody could be told; it
                takes effect again when it is delivered again.
        """
        notice = self._read(delivery)
        with self.lock:
            seen = delivery.id in self._seen
        if notice is None or seen:
            return
        # Nothing that a board keeps from us may keep a withdrawal from coming into force here.
        lost: list[StoreUnavailable] = []
        # By issuers: another application may be told the same, and judge fewer licenses by it.
        place = key("delivery", *self._issuers, delivery.id)
        if (yield from self._kept(place, lost)):
            return
        for issuer in notice.issuers:
            yield from self._apply(notice, issuer, lost)
        if lost:
            raise lost[0]
        # Not before all of it has happened: else a repeated delivery could not mend what failed.
        yield from self._keep(place, b"1", SEEN_FOR)
        with self.lock:
            self._seen[delivery.id] = None

    def _apply(self, notice: Notice, issuer: str, lost: list[StoreUnavailable]) -> Flow[None]:
        place, whose = key("pushed", issuer, notice.name), (issuer, notice.name)
        if notice.sequence is not None:
            kept = yield from self._kept(place, lost)
            with self.lock:
                last = max([self._last.get(whose, -1), *kept])
            if notice.sequence <= last:
                logger.info("%s has no effect: %d came before it", notice.type, last)
                return
        try:
            yield from self._enforce(notice, issuer)
            if notice.sequence is None or lost:
                return
            yield from self._keep(place, b"%d" % notice.sequence, KEPT_FOR)
            with self.lock:
                self._last[whose] = max(self._last.get(whose, -1), notice.sequence)
        except StoreUnavailable as error:
            lost.append(error)

    def _enforce(self, notice: Notice, issuer: str) -> Flow[None]:
        hint = HINTING.get(notice.type)
        if hint is not None:
            yield from self._withdrawals.hint(Hint(hint, issuer, notice.name, notice.said_at))
            return
        subject = Subject("license", issuer, notice.name)
        withdrawal = Withdrawal(WITHDRAWING[notice.type], notice.said_at)
        before = self._withdrawals.known(subject)
        try:
            yield from self._withdrawals.record(withdrawal, subject)
        finally:
            # In force here also where nobody else could be told. A repetition is no news.
            if before != withdrawal == self._withdrawals.known(subject):
                told = {"issuer": issuer, "word": withdrawal.word, "license_id": notice.name}
                self._bus.emit(Event("license.revoked", told))

    # -- what was delivered before ---------------------------------------------------------------

    def _kept(self, place: Key, lost: list[StoreUnavailable]) -> Flow[list[int]]:
        """Return the numbers that the boards have; of one that does not answer, that."""
        found = []
        for board in self._boards:
            try:
                value = yield board.get(place)
            except StoreUnavailable as error:
                lost.append(error)
            else:
                if value is not None and re.fullmatch(rb"[0-9]{1,16}", value):
                    found.append(int(value))
        return found

    def _keep(self, place: Key, value: bytes, ttl: float) -> Flow[None]:
        for board in self._boards:
            yield board.put(place, value, ttl)

    # -- what an event says ----------------------------------------------------------------------

    def _read(self, delivery: Delivery) -> Notice | None:
        """Return what is said, None where it concerns nobody here."""
        message = delivery.message
        kind, data = message.get("type"), message.get("data")
        if not isinstance(kind, str):
            raise DeliveryUnreadable("type")
        if kind not in WITHDRAWING and kind not in HINTING:
            return None
        if not isinstance(data, dict):
            raise DeliveryUnreadable("data")
        try:
            name = "" if kind == "keys.rotated" else identifier(data, "license_id")
            issuer = identifier(data, "issuer") if "issuer" in data else None
        except LicenseError as error:
            raise DeliveryUnreadable(error.reason.rpartition(":")[2]) from None
        sequence = data.get("sequence")
        # A boolean is an integer in Python.
        if "sequence" in data and (type(sequence) is not int or sequence < 0):
            raise DeliveryUnreadable("sequence")
        if issuer is None:
            issuers = self._issuers
        elif issuer in self._issuers:
            issuers = (issuer,)
        else:
            return None
        said_at = _moment(message.get("timestamp"))
        if said_at is None:
            said_at = delivery.sent_at
        now = self._wall()
        # What came from far ahead could never be answered by a later word.
        return Notice(kind, issuers, name, sequence, said_at if said_at <= now + TOLERANCE else now)


def _moment(value: Any) -> float | None:
    """Return seconds since the epoch, None where `value` is no moment after it."""
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            value = datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    if type(value) in (int, float) and value >= 0:
        return float(value)
    return None
