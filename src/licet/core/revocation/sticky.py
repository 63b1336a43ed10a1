"""What an issuer has withdrawn, and has not given back since.

A signed revocation or suspension holds until a later signed statement says otherwise: no outage,
no restart and no older answer lifts it. Only what was signed enters. It is kept in this process
and on the boards that outlive it: a shared store, an installation's own state. What was said in
one process is heard in the others by their watch, so that no request has to look there.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cachetools import TTLCache

from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.log import FailureLog
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.revocation.debts import Debts
from licet.core.revocation.statements import (
    HINT_FOR,
    Board,
    Hint,
    Said,
    Subject,
    Withdrawal,
    order,
    place,
    read,
    read_of,
)
from licet.core.revocation.watch import Watch
from licet.core.stores import StoreUnavailable, key

if TYPE_CHECKING:
    from licet.core.grants import Grant

#: Statements kept in a process; the oldest gives way, and is looked for on the boards.
CAPACITY = 100_000
#: Seconds between two looks at a board for what is not known here, where no watch does that; and of
#: how much that is remembered.
LOOK_EVERY, LOOKED = 60.0, 20_000


class Withdrawals(Locked):
    """The statements that this process knows, and its boards know.

    Args:
        boards: where they outlive this process.
        clock: monotonic time.
        changed: called with what something is known of that was not.
    """

    def __init__(
        self,
        boards: Sequence[Board] = (),
        clock: Clock = SYSTEM_CLOCK,
        changed: Callable[[Subject], None] = lambda subject: None,
    ) -> None:
        super().__init__()
        self._boards = tuple(boards)
        self._changed = changed
        #: What the boards were asked about a moment ago, so far as it had to be known.
        self._looked: TTLCache[Subject, None] = TTLCache(LOOKED, LOOK_EVERY, timer=clock.monotonic)
        self._known: OrderedDict[Subject, Withdrawal] = OrderedDict()
        self._overflown = False
        self._debts = Debts(self)
        self._hinted: TTLCache[Hint, None] = TTLCache(LOOKED, HINT_FOR, timer=clock.monotonic)
        self._listeners: tuple[Callable[[bytes], None], ...] = ()
        self._acting: tuple[Callable[[Hint], None], ...] = ()
        self._looking: tuple[Callable[[], None], ...] = ()
        self._watch = Watch(self._boards, self, clock)
        #: Told where a board cannot be asked, or told, about a withdrawal.
        self.unheard = FailureLog(clock, "of withdrawals each worker knows its own alone")

    def after_fork(self) -> None:
        """Look at the boards anew: what was said since the parent looked is not known."""
        super().after_fork()
        self._looked.clear()

    # -- what is known ---------------------------------------------------------------------------

    def known(self, *subjects: Subject) -> Withdrawal | None:
        """Return the latest that this process knows of any of these; waits for nothing."""
        found = [one for one in map(self._known.get, subjects) if one is not None]
        return max(found, key=order) if found else None

    def withdrawn(self, *subjects: Subject) -> Withdrawal | None:
        """Return that one of these is withdrawn, as far as this process knows."""
        latest = self.known(*subjects)
        return None if latest is None or latest.word == "valid" else latest

    def silent_about(self, grant: Grant) -> bool:
        """Return whether nothing was ever said of a license, here or elsewhere."""
        if self._boards and (self._overflown or not self.followed):
            return False
        # As tuples these are equal to subjects, and made in a fraction of the time.
        return not self._known or ("license", grant.issuer, grant.license_id) not in self._known

    @property
    def behind(self) -> bool:
        """Whether the boards are yet to be read in this process, which may be a forked one."""
        return bool(self._boards) and not self._watch.begun

    def due(self, *subjects: Subject) -> bool:
        """Return whether the boards may have heard of what this process has not."""
        if not self._boards:
            return False
        if not self.follow():
            return True
        if self._watch.current and not self._overflown:
            return False
        with self.lock:
            return not all(subject in self._looked for subject in subjects)

    def look(self, *subjects: Subject) -> Flow[Withdrawal | None]:
        """Return that one of these is withdrawn, as far as this process or a board knows.

        Raises:
            StoreUnavailable: a board does not tell, never has, and this process knows nothing.
        """
        # Also of what was given back: it may have been withdrawn once more.
        if self.withdrawn(*subjects) is None and self.due(*subjects):
            try:
                yield from self._read(subjects)
            except StoreUnavailable as lost:
                # All that was said before it fell silent is known here.
                heard = self._watch.caught_up and not self._overflown
                if self.withdrawn(*subjects) is None and not heard:
                    raise
                self.unheard(lost)
            # Not before: who asks meanwhile, or after a look that came to nothing, must not pass.
            with self.lock:
                self._looked.update(dict.fromkeys(subjects))
        return self.withdrawn(*subjects)

    def _read(self, subjects: Sequence[Subject]) -> Flow[None]:
        lost: StoreUnavailable | None = None
        for board in self._boards:
            try:
                for subject in subjects:
                    value = yield board.get(place(subject))
                    found = None if value is None else read_of(subject, value)
                    if found is not None:
                        self._learn(Said(subject, found))
                    elif value is not None:
                        raise StoreUnavailable("garbage")
            except StoreUnavailable as error:
                # The others may know all the same.
                lost = error
        if lost is not None:
            raise lost

    # -- what is said ----------------------------------------------------------------------------

    def keep(self, withdrawal: Withdrawal, *subjects: Subject) -> None:
        """Keep a signed statement in this process, unless a later one is kept."""
        for subject in subjects:
            self._keep(subject, withdrawal)

    def record(self, withdrawal: Withdrawal, *subjects: Subject) -> Flow[None]:
        """Keep a signed statement, here at once and then on the boards.

        Raises:
            StoreUnavailable: it is kept in this process only.
        """
        self.keep(withdrawal, *subjects)
        yield from self._debts.tell(self._boards, *subjects)

    def lift(self, said_at: float, *subjects: Subject) -> Flow[bool]:
        """Take a signed statement that a license holds; return whether it does by now.

        Args:
            said_at: when that was said, in seconds since the epoch.
            subjects: of whom.

        Raises:
            StoreUnavailable: it cannot be told whether something later was said.
        """
        if self._boards and (self.withdrawn(*subjects) is not None or self.due(*subjects)):
            # Even where this process knows of one: another may have been told of a later one.
            yield from self._read(subjects)
        withdrawal = self.withdrawn(*subjects)
        if withdrawal is None:
            return True
        if said_at <= withdrawal.said_at:
            return False
        # Kept as well: what was said before is heard again, and must change nothing.
        given_back = [one for one in subjects if self._known.get(one) is not None]
        self.keep(Withdrawal("valid", said_at), *given_back)
        yield from self._debts.tell(self._boards, *given_back)
        return self.withdrawn(*subjects) is None

    def hint(self, hint: Hint) -> Flow[None]:
        """Act on a reason to ask, here at once and then in all processes.

        Raises:
            StoreUnavailable: it is acted on in this process only.
        """
        self._act(hint)
        where, value = key(hint.kind, hint.issuer, hint.name), json.dumps(hint).encode()
        lost: StoreUnavailable | None = None
        for board in self._boards:
            try:
                yield board.announce(where, value, HINT_FOR)
            except StoreUnavailable as error:
                lost = error
        if lost is not None:
            raise lost

    # -- what is heard ---------------------------------------------------------------------------

    def follow(self) -> bool:
        """Have the boards watched; return False where no thread can be started to do it."""
        return self._watch.ensure()

    @property
    def followed(self) -> bool:
        """Whether what is said elsewhere is heard of within seconds, or there is nowhere else."""
        return not self._boards or (self.follow() and self._watch.current)

    def on_hint(self, act: Callable[[Hint], None]) -> None:
        """Have `act` called with each hint, from whatever process."""
        self._acting = (*self._acting, act)

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Have `listener` called with everything that is announced, whoever it is for."""
        self._listeners = (*self._listeners, listener)

    def on_look(self, act: Callable[[], None]) -> None:
        """Have `act` called once a second, by the thread that watches the boards."""
        self._looking = (*self._looking, act)

    def looked(self) -> None:
        """See `Follower.looked`."""
        for act in self._looking:
            act()
        try:
            flow.run(self._debts.pay())
        except StoreUnavailable as lost:
            self.unheard(lost)

    def emptied(self, board: Board) -> None:
        """See `Follower.emptied`."""
        with self.lock:
            known = tuple(self._known)
        self._debts.owe((board,), *known)

    def heard(self, value: bytes) -> None:
        """See `Follower.heard`."""
        for listener in self._listeners:
            listener(value)
        found = read(value)
        if isinstance(found, Said):
            self._learn(found)
        elif found is not None:
            self._act(found)

    def _act(self, hint: Hint) -> None:
        with self.lock:
            if hint in self._hinted:
                return
            self._hinted[hint] = None
        for act in self._acting:
            act(hint)

    def _learn(self, said: Said) -> None:
        if not self._keep(*said):
            # Said there in place of something later, which must not be lost with this process.
            self._debts.owe(self._boards, said.subject)

    def _keep(self, subject: Subject, withdrawal: Withdrawal) -> bool:
        """Keep a statement, and return True, unless a later one is known."""
        with self.lock:
            known = self._known.get(subject)
            if known is not None and order(known) > order(withdrawal):
                return False
            self._known[subject] = withdrawal
            self._known.move_to_end(subject)
            if len(self._known) > CAPACITY:
                self._overflown = True
                forgotten, _ = self._known.popitem(last=False)
                self._looked.pop(forgotten, None)
        if known != withdrawal:
            self._changed(subject)
        return True
