"""Tells the vendor what was used, without any request waiting for it.

What is charged is added up in memory. Once a second it is put into the spool, and what is there is
sent. A process that is killed loses at most what it has added up since, if its spool is in a
file; one that is stopped loses nothing that can be sent in a moment. Everything is bounded, and
what there is no room for is counted and said.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

from licet.core.clock import Clock
from licet.core.documents.flight import start
from licet.core.events.log import FailureLog, Ration
from licet.core.forks import Locked
from licet.core.shutdown import tell_of_end
from licet.core.stores import StoreUnavailable
from licet.core.usage.account import Account
from licet.core.usage.charge import Charge
from licet.core.usage.metering.courier import Courier
from licet.core.usage.metering.spool import Spool
from licet.core.usage.metering.sums import Pending, Place, Sums, hour_of

logger = logging.getLogger("licet")

#: Seconds between two rounds, and that one of sending may take.
EVERY, ROUND = 1.0, 30.0
#: Sums in memory, each of a license, a name and an hour.
ROOM = 10_000


class Meter(Locked):
    """Adds up what licenses use, and has the vendor told of it.

    Args:
        spool: where sums wait.
        courier: brings them to the vendor.
        clock: both clocks.

    Attributes:
        dropped: how much was used that the vendor is not told of.
    """

    def __init__(self, spool: Spool, courier: Courier, clock: Clock) -> None:
        super().__init__()
        self.dropped = 0
        self.courier = courier
        self._spool = spool
        self._wall = clock.wall
        self._losses = Ration(clock)
        self._failed = FailureLog(clock, "usage is reported later")
        self._begin()
        tell_of_end(self)

    def _begin(self) -> None:
        self._pending = Pending(ROOM)
        self._thread: object = None
        #: Held by who sends: the thread, or the end of the process.
        self._turn = threading.Lock()

    def after_fork(self) -> None:
        """Begin with nothing: what was added up is the parent's to tell."""
        super().after_fork()
        self._begin()

    # -- for requests ----------------------------------------------------------------------------

    def metered(self, charge: Charge, account: Account) -> Charge:
        """Count a charge, and have what is given back of it counted back."""
        if charge.amount:
            self._add(account, charge.limit, charge.amount)
            charge.on_refund(partial(self._add, account, charge.limit, -charge.amount))
        return charge

    def _add(self, account: Account, name: str, amount: int) -> None:
        now = self._wall()
        place = Place(account.issuer, account.license_id, name, hour_of(now))
        with self.lock:
            has_room = self._pending.add(place, now, amount)
        if not has_room:
            self._drop(amount)
        if self._thread is None:
            self._ensure()

    def _ensure(self) -> None:
        with self.lock:
            if self._thread is None:
                sign = self._thread = object()
                itself = weakref.ref(self)
                # Two, because a vendor's server may take its time and a disk may not wait.
                for work in (Meter.keep, Meter.send):
                    if not start(partial(_serve, itself, sign, work), "licet-meter"):
                        # The next charge tries again.
                        self._thread = None

    def _drop(self, amount: int) -> None:
        with self.lock:
            self.dropped += amount
        if self._losses.withheld("full") is not None:
            logger.warning("too much usage waits to be reported: %d dropped so far", self.dropped)

    # -- for the vendor --------------------------------------------------------------------------

    def is_served_by(self, sign: object) -> bool:
        """Return whether the thread with this sign is the one to tell."""
        return self._thread is sign

    def leave(self, sign: object) -> None:
        """Have no thread any more, if this was the one."""
        with self.lock:
            if self._thread is sign:
                self._thread = None

    def keep(self) -> None:
        """Put what was added up into the spool."""
        with self.lock:
            taken = self._pending.take()
        if taken:
            self._trying(lambda: self._keep(taken))

    def send(self) -> None:
        """Send what is in the spool, unless the end of the process does it."""
        turn = self._turn
        if turn.acquire(blocking=False):
            try:
                self._trying(lambda: self.courier.go(ROUND))
            finally:
                turn.release()

    def finish(self, seconds: float) -> None:
        """Tell what there is, for `seconds` at most: the process ends."""
        until = time.monotonic() + seconds
        self.keep()
        if self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
            left, told = max(0.0, until - time.monotonic()), threading.Event()
            work = partial(self._send_at_last, left, self._turn, told)
            # In a thread where there is one: nobody can bound how long a name is looked up for.
            if start(work, "licet-meter"):
                told.wait(left)
            else:
                work()
        lost = self._spool.mortal()
        if lost:
            logger.warning("the process ends with %d counts of usage that nobody took", lost)

    def _send_at_last(self, seconds: float, turn: threading.Lock, told: threading.Event) -> None:
        try:
            self._trying(lambda: self.courier.go(seconds, at_last=True))
        finally:
            turn.release()
            told.set()

    def _trying(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            # Whatever it was: a meter that ends would be a vendor that hears nothing more.
            self._failed(error)

    def _keep(self, taken: Sums) -> None:
        try:
            dropped = self._spool.add(taken)
        except StoreUnavailable:
            self._take_back(taken)
            raise
        if dropped:
            self._drop(dropped)

    def _take_back(self, taken: Sums) -> None:
        for place, used in taken.items():
            with self.lock:
                # With both its ends, and not as if all of it were used now.
                has_room = self._pending.add(place, used.began, used.amount)
                self._pending.add(place, used.ended, 0)
            if not has_room:
                self._drop(used.amount)


def _serve(reference: weakref.ref[Meter], sign: object, work: Callable[[Meter], None]) -> None:
    pause = threading.Event()
    try:
        # Held only while it works: it ends with its gate, which nobody has to close.
        while (meter := reference()) is not None and meter.is_served_by(sign):
            work(meter)
            del meter
            pause.wait(EVERY)
    finally:
        # Also where it is ended by what is no Exception: the next charge begins another.
        if (left := reference()) is not None:
            left.leave(sign)
