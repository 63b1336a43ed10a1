"""What boards have not been told yet: a withdrawal must not end with the process that knows of it.

Each board stands alone, and what one cannot be told now it is told once it answers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.revocation.statements import (
    KEPT_FOR,
    Board,
    Subject,
    Withdrawal,
    place,
    read_of,
    written,
)
from licet.core.stores import StoreUnavailable

#: Debts that are remembered, and of how many one payment takes care: it is made once a second.
CAPACITY, AT_ONCE = 100_000, 1_000


class Knowledge(Protocol):
    """What a process knows of licenses."""

    def known(self, *subjects: Subject) -> Withdrawal | None:
        """Return the latest that is known of any of these."""
        ...

    def keep(self, withdrawal: Withdrawal, *subjects: Subject) -> None:
        """Keep a statement, unless a later one is kept."""
        ...


class Debts(Locked):
    """What boards are owed by one process.

    Args:
        knowledge: what it knows.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__()
        self._knowledge = knowledge
        self._owed: OrderedDict[tuple[Board, Subject], None] = OrderedDict()

    def owe(self, boards: Iterable[Board], *subjects: Subject) -> None:
        """Take note that boards do not have what is known here, as far as anybody can tell."""
        with self.lock:
            self._owed.update({(board, one): None for board in boards for one in subjects})
            while len(self._owed) > CAPACITY:
                self._owed.popitem(last=False)

    def tell(self, boards: Iterable[Board], *subjects: Subject) -> Flow[None]:
        """Have boards know what is known here.

        Raises:
            StoreUnavailable: one could not be told, and is told later.
        """
        debts = [(board, one) for board in boards for one in subjects]
        self.owe(boards, *subjects)
        lost: StoreUnavailable | None = None
        for board, subject in debts:
            try:
                yield from self._tell(board, subject)
            except StoreUnavailable as error:
                lost = error
        if lost is not None:
            raise lost

    def pay(self) -> Flow[None]:
        """Tell boards some of what they are owed; one that is silent is left alone.

        Raises:
            StoreUnavailable: one is.
        """
        with self.lock:
            debts = list(islice(self._owed, AT_ONCE))
        lost: StoreUnavailable | None = None
        silent: set[Board] = set()
        for board, subject in debts:
            if board not in silent:
                try:
                    yield from self._tell(board, subject)
                except StoreUnavailable as error:
                    silent.add(board)
                    lost = error
        if lost is not None:
            raise lost

    def _tell(self, board: Board, subject: Subject) -> Flow[None]:
        # Not what is older than what a board has: that would be heard in place of it.
        value = yield board.get(place(subject))
        theirs = None if value is None else read_of(subject, value)
        if theirs is not None:
            self._knowledge.keep(theirs, subject)
        ours = self._knowledge.known(subject)
        if ours is not None and ours != theirs:
            yield board.announce(place(subject), written(subject, ours), KEPT_FOR)
        with self.lock:
            self._owed.pop((board, subject), None)
