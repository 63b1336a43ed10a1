"""How many questions are under way at a time, in the whole process.

Strangers, credentials that nothing vouches for yet, get a part of the slots only: whoever sends
made-up ones cannot keep back the questions of known customers. Who finds no slot waits in line.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import count

from licet.core.forks import Locked
from licet.core.latch import Latch


class Ticket:
    """A place in line, then a slot; comes from `Slots.take` and goes to `Slots.give_back`."""

    __slots__ = ("held", "latch", "number", "stranger")

    def __init__(self, number: int, stranger: bool) -> None:
        self.number = number
        self.stranger = stranger
        #: Whether it has a slot. After a wait look here; the latch only tells when to look.
        self.held = False
        #: Set once a slot was handed over.
        self.latch = Latch()


class Slots(Locked):
    """So many slots, handed over in the order of asking; a child of a fork begins with all free.

    Whenever somebody waits, no slot is free that they may have: who comes later overtakes nobody
    but strangers that must wait for other strangers.

    Args:
        capacity: how many may be held at a time.
        strangers: how many of these by strangers.
    """

    def __init__(self, capacity: int = 32, strangers: int = 24) -> None:
        super().__init__()
        self._capacity = capacity
        self._strangers = strangers
        self._begin()

    def _begin(self) -> None:
        self._numbers = count()
        self._held: set[Ticket] = set()
        self._strangers_held = 0
        #: Who waits, by whether they are strangers.
        self._lines = {stranger: OrderedDict[Ticket, None]() for stranger in (False, True)}
        #: Tickets that came back and are not seen to yet.
        self._returned: deque[Ticket] = deque()

    def after_fork(self) -> None:
        """Begin with no slot held: whoever held or awaited one is not here."""
        super().after_fork()
        self._begin()

    @property
    def in_use(self) -> int:
        """How many slots are held."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return sum(map(len, self._lines.values()))

    def take(self, stranger: bool) -> Ticket:
        """Return a ticket, with a slot if there is one, else with a place in line.

        Whoever takes one gives it back, held or not, whatever happens meanwhile.

        Args:
            stranger: whether nothing vouches yet for what is asked about.
        """
        with self.lock:
            ticket = Ticket(next(self._numbers), stranger)
            if self._may_have_one(stranger):
                self._hand_to(ticket)
            else:
                self._lines[stranger][ticket] = None
        if ticket.held:
            ticket.latch.set()
        self._see_to_returned()
        return ticket

    def give_back(self, ticket: Ticket) -> None:
        """Release its slot to the next in line, or leave the line; once and for all.

        Never blocks, and may interrupt any other call: a task of a dead loop gives its ticket
        back when it is collected as garbage, in whatever thread, in the middle of whatever.
        """
        self._returned.append(ticket)
        self._see_to_returned()

    def _see_to_returned(self) -> None:
        # Who finds the lock taken leaves the ticket to its holder, who looks again afterwards.
        lock = self.lock
        while self._returned and lock.acquire(blocking=False):
            handed: list[Ticket] = []
            try:
                while self._returned:
                    self._release(self._returned.popleft())
                    if (heir := self._next_in_line()) is not None:
                        handed.append(heir)
            finally:
                lock.release()
            # Outside of the lock: waking means system calls.
            for ticket in handed:
                ticket.latch.set()

    def _release(self, ticket: Ticket) -> None:
        ticket.held = False
        if ticket in self._held:
            self._held.remove(ticket)
            self._strangers_held -= ticket.stranger
        else:
            self._lines[ticket.stranger].pop(ticket, None)

    def _may_have_one(self, stranger: bool) -> bool:
        return len(self._held) < self._capacity and (
            not stranger or self._strangers_held < self._strangers
        )

    def _hand_to(self, ticket: Ticket) -> None:
        self._held.add(ticket)
        self._strangers_held += ticket.stranger
        ticket.held = True

    def _next_in_line(self) -> Ticket | None:
        """Hand a slot to the first that may have it; one came back, so there is one at most."""
        first = [
            next(iter(line))
            for stranger, line in self._lines.items()
            if line and self._may_have_one(stranger)
        ]
        if not first:
            return None
        ticket = min(first, key=lambda ticket: ticket.number)
        del self._lines[ticket.stranger][ticket]
        self._hand_to(ticket)
        return ticket


#: Those of this process, whatever the number of its gates.
PROCESS_SLOTS = Slots()
