"""What an issuer has withdrawn, and has not given back since.

A signed revocation or suspension holds until a later signed statement says otherwise: no outage,
no restart and no older answer lifts it. Only what was signed enters. It is kept in this process
and, where there is a shared store, there as well, for the other processes and for the time after.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from cachetools import TTLCache

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.stores import Store, StoreUnavailable, key
from licet.core.token import strictjson

#: Withdrawals kept in a process; the oldest gives way.
CAPACITY = 100_000
#: Seconds between two looks at a store for what holds here, and of how much that is remembered.
LOOK_EVERY, LOOKED = 60.0, 20_000
#: Seconds that one is kept in a store: longer than licenses live.
KEPT_FOR = 2 * 366 * 86_400.0

Word: TypeAlias = Literal["revoked", "suspended"]


class Subject(NamedTuple):
    """What is withdrawn.

    Attributes:
        kind: `license` by its id, or `credential` by its digest where no id is known.
        issuer: of whom.
        name: the id or the digest.
    """

    kind: Literal["license", "credential"]
    issuer: str
    name: str


class Withdrawal(NamedTuple):
    """One statement.

    Attributes:
        word: what was said.
        said_at: when, in seconds since the epoch.
    """

    word: Word
    said_at: float


class Withdrawals(Locked):
    """The withdrawals that this process knows, and the store knows.

    Args:
        store: outlives this process; None for none.
        clock: monotonic time.
    """

    def __init__(self, store: Store | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._store = store
        #: What the store was asked about a moment ago, whether or not it answered.
        self._looked: TTLCache[Subject, None] = TTLCache(LOOKED, LOOK_EVERY, timer=clock.monotonic)
        self._known: OrderedDict[Subject, Withdrawal] = OrderedDict()

    def known(self, *subjects: Subject) -> Withdrawal | None:
        """Return what this process knows of any of these; waits for nothing."""
        found = [one for one in map(self._known.get, subjects) if one is not None]
        return max(found, key=lambda one: one.said_at) if found else None

    def due(self, *subjects: Subject) -> bool:
        """Return whether the store may have heard of what this process has not."""
        if self._store is None:
            return False
        with self.lock:
            return not all(subject in self._looked for subject in subjects)

    def look(self, *subjects: Subject) -> Flow[Withdrawal | None]:
        """Return what this process or the store knows of any of these.

        Raises:
            StoreUnavailable: the store does not tell, and this process knows nothing.
        """
        known = self.known(*subjects)
        if known is not None or self._store is None:
            return known
        return (yield from self._latest(self._store, subjects))

    def _latest(self, store: Store, subjects: Sequence[Subject]) -> Flow[Withdrawal | None]:
        with self.lock:
            self._looked.update(dict.fromkeys(subjects))
        for subject in subjects:
            found = _read((yield store.get(key("withdrawn", *subject))))
            if found is not None:
                self._keep(subject, found)
        # Also what this process was told while it waited for the store.
        return self.known(*subjects)

    def keep(self, withdrawal: Withdrawal, *subjects: Subject) -> None:
        """Keep a signed withdrawal in this process, unless a later one is kept."""
        for subject in subjects:
            self._keep(subject, withdrawal)

    def record(self, withdrawal: Withdrawal, *subjects: Subject) -> Flow[None]:
        """Keep a signed withdrawal, unless a later one is kept.

        Raises:
            StoreUnavailable: it is kept in this process only.
        """
        self.keep(withdrawal, *subjects)
        if self._store is not None:
            text = json.dumps([withdrawal.word, withdrawal.said_at]).encode()
            for subject in subjects:
                yield self._store.put(key("withdrawn", *subject), text, KEPT_FOR)

    def lift(self, said_at: float, *subjects: Subject) -> Flow[bool]:
        """Take a signed statement that a license holds; return whether it does by now.

        Args:
            said_at: when that was said, in seconds since the epoch.
            subjects: of whom.

        Raises:
            StoreUnavailable: it cannot be told whether something later was said.
        """
        if self._store is None:
            withdrawal = self.known(*subjects)
        else:
            # Even where this process knows of one: another may have been told of a later one.
            withdrawal = yield from self._latest(self._store, subjects)
        if withdrawal is None:
            return True
        if said_at <= withdrawal.said_at:
            return False
        with self.lock:
            for subject in subjects:
                known = self._known.get(subject)
                # Not what another thread was told since.
                if known is not None and known.said_at < said_at:
                    del self._known[subject]
        if self._store is not None:
            for subject in subjects:
                yield self._store.delete(key("withdrawn", *subject))
        return True

    def _keep(self, subject: Subject, withdrawal: Withdrawal) -> None:
        with self.lock:
            known = self._known.get(subject)
            if known is None or known.said_at <= withdrawal.said_at:
                self._known[subject] = withdrawal
                self._known.move_to_end(subject)
            if len(self._known) > CAPACITY:
                self._known.popitem(last=False)


def _read(kept: bytes | None) -> Withdrawal | None:
    """Return what a store has kept.

    Raises:
        StoreUnavailable: it is not what was put there.
    """
    if kept is None:
        return None
    try:
        word, said_at = strictjson.loads(b'{"kept":' + kept + b"}")["kept"]
        if word not in ("revoked", "suspended"):
            raise ValueError
        return Withdrawal(word, float(said_at))
    except (ValueError, TypeError):
        raise StoreUnavailable("garbage") from None
