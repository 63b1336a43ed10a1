"""Tells receivers what the outbox holds for them, until each has taken it (Standard Webhooks).

At least once, and in order: the next event about a license goes out when the receiver has taken the
one before, or that was given up after three days. Licenses, and receivers, do not wait for each
other. An event leaves the database when its receiver has said yes, so neither a restart nor the
loss of the process loses one. Of an answer nothing is believed but its status.
"""

from __future__ import annotations

import logging
import random as chance
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from licet.core import standard_webhooks
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.documents.exchange import retry_after
from licet.core.latch import Latch
from licet.core.transport import Request, Transport, TransportError
from licet.server import audit
from licet.server.failures import report
from licet.server.signing.vault import UnsealError
from licet.server.storage.database import Database
from licet.server.webhooks.lanes import Lane, Lanes, Line
from licet.server.webhooks.receivers import Receiver, Receivers

logger = logging.getLogger("licet")

#: Seconds before each further attempt, and for how long one event is tried.
PAUSES = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
TRIED_FOR = sum(PAUSES)
#: Seconds for an answer, and bytes of it that are read.
PATIENCE, MAX_ANSWER = 10.0, 64 * 1024
#: The longest that `Retry-After` is honoured, seconds.
LONGEST_WISH = 3600.0
#: Events read at once, and seconds after which it is looked again in any case.
AT_ONCE, LOOK = 1_000, 60.0
#: What a receiver says, or those before it, that is not there at the moment.
_ABSENT = frozenset((429, 502, 503, 504))
_GONE = 410


class _Head(NamedTuple):
    """The event that is first in its lane."""

    id: int
    message_id: str
    body: bytes
    created_at: float
    attempts: int
    due_at: float


class _Outcome(NamedTuple):
    """What came of an attempt.

    Attributes:
        problem: why the event was not taken, empty where it was.
        status: of the answer, 0 where there is none.
        wish: seconds that the receiver wants to be left alone.
    """

    problem: str
    status: int = 0
    wish: float = 0.0

    @property
    def absent(self) -> bool:
        """Whether there was nobody to take anything."""
        return bool(self.problem) and (not self.status or self.status in _ABSENT)


class Deliveries:
    """Delivers; for the tasks of one event loop.

    Args:
        database: with the outbox.
        receivers: who is told.
        clock: both clocks; only what is kept in the database goes by the wall's.
        transport: sends; one that trusts the usual authorities where not given.
        random: returns a number in [0, 1).
    """

    def __init__(
        self,
        database: Database,
        receivers: Receivers,
        clock: Clock = SYSTEM_CLOCK,
        *,
        transport: Transport | None = None,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._database, self._receivers, self._clock = database, receivers, clock
        self._transport = Transport() if transport is None else transport
        self._random, self._woken = random, Latch()
        self._lanes, self._seen = Lanes(clock, PAUSES[-1]), 0
        database.listen(self._heard)

    async def run(self) -> None:
        """Deliver, until cancelled; what is not acknowledged by then is delivered again."""
        self._lanes, self._seen = Lanes(self._clock, PAUSES[-1]), 0
        async with anyio.create_task_group() as tasks:
            while True:
                self._woken = woken = Latch()
                try:
                    pause = self._look(tasks)
                except sqlite3.Error as error:
                    logger.error("webhooks cannot be read: %s", error)
                    pause = LOOK
                await woken.wait_in_task(pause)

    def wake(self) -> None:
        """Look at once for what is due; from any thread."""
        self._woken.set()

    def _heard(self) -> None:
        """Wake if the outbox grew. In the writer's thread, after each commit."""
        try:
            last = self._database.read(_last)
        except sqlite3.Error:
            # The task that is woken says so.
            last = self._seen + 1
        if last > self._seen:
            self.wake()

    def _look(self, tasks: TaskGroup) -> float:
        """Begin what is due; return how many seconds that may be enough for."""
        more = self._read()
        for lane, line in self._lanes.turns():
            tasks.start_soon(self._deliver, lane, line)
        if more:
            return 0.0
        return min(self._lanes.pause(), LOOK)

    def _read(self) -> bool:
        """Take note of what was added to the outbox; return whether there may be more."""
        rows = self._database.read(
            lambda connection: connection.execute(
                "SELECT id, webhook, lane, due_at FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
                (self._seen, AT_ONCE),
            ).fetchall()
        )
        for number, receiver, name, due_at in rows:
            self._seen = number
            lane = Lane(receiver, name)
            if lane not in self._lanes:
                self._lanes.wait(lane, number, due_at)
        return len(rows) == AT_ONCE

    async def _deliver(self, lane: Lane, line: Line) -> None:
        """Try the first event of a lane, and have the lane go on."""
        try:
            await self._attempt(lane, line)
            head = self._head(lane)
        except Exception as error:
            # It may be told again: nobody knows any more whether it was.
            report(error)
            self._lanes.wait(lane, self._seen, self._clock.wall() + LOOK)
        else:
            # Without a break since the lane was read: what comes from now on is read as new.
            if head is None:
                self._lanes.leave(lane)
            else:
                self._lanes.wait(lane, head.id, head.due_at)
        finally:
            line.sending -= 1
            self.wake()

    async def _attempt(self, lane: Lane, line: Line) -> None:
        """Try the first event of a lane once, and write down what came of it."""
        head = self._head(lane)
        if head is None:
            # The receiver was removed, and its events with it.
            return
        outcome = await self._send(lane.receiver, head)
        if outcome.status == _GONE:
            logger.warning("webhook removed, as it is gone: receiver=%s", lane.receiver)
            reason = "410 Gone"
            await self._receivers.remove(
                self._clock.wall(), audit.SERVER, lane.receiver, reason=reason
            )
        elif outcome.problem:
            self._lanes.failed(line, silent=outcome.absent, wish=outcome.wish)
            await self._failed(lane, head, outcome, self._clock.wall())
        else:
            await self._database.write(lambda connection: _taken(connection, lane, head))
            self._lanes.answered(line, lane.receiver)

    async def _send(self, name: str, head: _Head) -> _Outcome:
        try:
            receiver = self._receivers.find(name)
        except UnsealError:
            return _Outcome("secret")
        if receiver is None:
            return _Outcome("removed")
        request = signed(receiver, head.message_id, int(self._clock.wall()), head.body)
        try:
            answer = await self._transport.asend(request, deadline=PATIENCE, max_bytes=MAX_ANSWER)
        except TransportError as error:
            return _Outcome(error.reason)
        if 200 <= answer.status < 300:
            return _Outcome("", answer.status)
        wish = retry_after(answer.headers, self._clock.wall()) or 0.0
        return _Outcome(f"status {answer.status}", answer.status, min(wish, LONGEST_WISH))

    async def _failed(self, lane: Lane, head: _Head, outcome: _Outcome, now: float) -> None:
        """Have an event tried again, or give it up."""
        give_up_at = head.created_at + TRIED_FOR
        if now >= give_up_at:
            logger.error(
                "webhook given up: receiver=%s message=%s problem=%s",
                lane.receiver,
                head.message_id,
                outcome.problem,
            )
            due_at = None
        else:
            pause = PAUSES[min(head.attempts, len(PAUSES) - 1)] * (0.8 + 0.4 * self._random())
            due_at = min(now + max(pause, outcome.wish), give_up_at)
        await self._database.write(
            lambda connection: _refused(connection, lane, head, outcome.problem, now, due_at)
        )

    def _head(self, lane: Lane) -> _Head | None:
        row = self._database.read(
            lambda connection: connection.execute(
                "SELECT id, message_id, body, created_at, attempts, due_at FROM outbox"
                " WHERE webhook = ? AND lane = ? ORDER BY id LIMIT 1",
                lane,
            ).fetchone()
        )
        return None if row is None else _Head(*row)


def signed(receiver: Receiver, message_id: str, moment: int, body: bytes) -> Request:
    """Return a delivery as Standard Webhooks writes it, signed symmetrically.

    Args:
        receiver: whom it is for.
        message_id: of the event; the same at each attempt.
        moment: of this attempt, seconds since the epoch.
        body: what is said.
    """
    fields = standard_webhooks.fields(receiver.secret, message_id, moment, body)
    return Request("POST", receiver.url, fields, body)


def _last(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT max(id) FROM outbox").fetchone()[0] or 0


def _taken(connection: sqlite3.Connection, lane: Lane, head: _Head) -> None:
    connection.execute("DELETE FROM outbox WHERE id = ?", (head.id,))
    connection.execute(
        "UPDATE webhooks SET problem = NULL, failed_at = NULL WHERE id = ? AND problem IS NOT NULL",
        (lane.receiver,),
    )


def _refused(
    connection: sqlite3.Connection,
    lane: Lane,
    head: _Head,
    problem: str,
    now: float,
    due_at: float | None,
) -> None:
    if due_at is None:
        connection.execute("DELETE FROM outbox WHERE id = ?", (head.id,))
    else:
        connection.execute(
            "UPDATE outbox SET attempts = attempts + 1, due_at = ? WHERE id = ?", (due_at, head.id)
        )
    connection.execute(
        "UPDATE webhooks SET problem = ?, failed_at = ? WHERE id = ?", (problem, now, lane.receiver)
    )
