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
from math import isfinite
from typing import Literal, NamedTuple, Protocol, TypeAlias

from cachetools import TTLCache

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.log import FailureLog
from licet.core.flow import Effect, Flow
from licet.core.forks import Locked
from licet.core.revocation.watch import Watch
from licet.core.stores import Key, StoreUnavailable, key
from licet.core.stores.interface import News
from licet.core.token import strictjson

#: Statements kept in a process; the oldest gives way, and is looked for on the boards.
CAPACITY = 100_000
#: Seconds between two looks at a board for what is not known here, where no watch does that; and of
#: how much that is remembered.
LOOK_EVERY, LOOKED = 60.0, 20_000
#: Seconds that a statement is kept on a board: longer than licenses live. And a hint: long enough
#: for every process to hear of it.
KEPT_FOR, HINT_FOR = 2 * 366 * 86_400.0, 60.0

Word: TypeAlias = Literal["revoked", "suspended", "valid"]


class Subject(NamedTuple):
    """What is spoken of.

    Attributes:
        kind: `license` by its id, or `credential` by its digest where no id is known.
        issuer: of whom.
        name: the id or the digest.
    """

    kind: Literal["license", "credential"]
    issuer: str
    name: str


class Withdrawal(NamedTuple):
    """One statement: that something is withdrawn, or that what was withdrawn is given back.

    Attributes:
        word: what was said; `valid` gives back.
        said_at: when, in seconds since the epoch.
    """

    word: Word
    said_at: float


class Hint(NamedTuple):
    """Something that no verdict rests on, and that is a reason to ask.

    Attributes:
        kind: `resumed`, of a license; or `rotated`, of an issuer's keys.
        issuer: of whom.
        name: the license's id; empty for keys.
        said_at: when, in seconds since the epoch.
    """

    kind: Literal["resumed", "rotated"]
    issuer: str
    name: str
    said_at: float


class Board(Protocol):
    """Where statements outlive a process, and are heard of in others: a `Store`, for one."""

    def get(self, key: Key) -> Effect[bytes | None]:
        """See `Store.get`."""
        ...

    def put(self, key: Key, value: bytes, ttl: float) -> Effect[None]:
        """See `Store.put`."""
        ...

    def announce(self, key: Key, value: bytes, ttl: float) -> Effect[int]:
        """See `Store.announce`."""
        ...

    def announced(self, after: int) -> Effect[News]:
        """See `Store.announced`."""
        ...


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
        #: What the boards were asked about a moment ago, whether or not they answered.
        self._looked: TTLCache[Subject, None] = TTLCache(LOOKED, LOOK_EVERY, timer=clock.monotonic)
        self._known: OrderedDict[Subject, Withdrawal] = OrderedDict()
        self._overflown = False
        self._hinted: TTLCache[Hint, None] = TTLCache(LOOKED, HINT_FOR, timer=clock.monotonic)
        self._listeners: tuple[Callable[[bytes], None], ...] = ()
        self._acting: tuple[Callable[[Hint], None], ...] = ()
        self._looking: tuple[Callable[[], None], ...] = ()
        self._watch = Watch(self._boards, self, clock)
        #: Told where a board cannot be asked, or told, about a withdrawal.
        self.unheard = FailureLog(clock, "of withdrawals each worker knows its own alone")

    # -- what is known ---------------------------------------------------------------------------

    def known(self, *subjects: Subject) -> Withdrawal | None:
        """Return the latest that this process knows of any of these; waits for nothing."""
        found = [one for one in map(self._known.get, subjects) if one is not None]
        return max(found, key=order) if found else None

    def withdrawn(self, *subjects: Subject) -> Withdrawal | None:
        """Return that one of these is withdrawn, as far as this process knows."""
        latest = self.known(*subjects)
        return None if latest is None or latest.word == "valid" else latest

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
        if self.known(*subjects) is None and self.due(*subjects):
            try:
                yield from self._read(subjects)
            except StoreUnavailable as lost:
                # All that was said before it fell silent is known here.
                if not self._watch.caught_up or self._overflown:
                    raise
                self.unheard(lost)
        return self.withdrawn(*subjects)

    def _read(self, subjects: Sequence[Subject]) -> Flow[None]:
        with self.lock:
            self._looked.update(dict.fromkeys(subjects))
        for board in self._boards:
            for subject in subjects:
                value = yield board.get(_place(subject))
                if value is not None and not self._learn(value, subject):
                    raise StoreUnavailable("garbage")

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
        # Not what is older than what a board has: that would be heard in place of it.
        if self._boards:
            yield from self._read(subjects)
        for subject in subjects:
            if self._known.get(subject) == withdrawal:
                value = json.dumps([*subject, *withdrawal]).encode()
                yield from self._announce(_place(subject), value, KEPT_FOR)

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
        for subject in given_back:
            value = json.dumps([*subject, "valid", said_at]).encode()
            yield from self._announce(_place(subject), value, KEPT_FOR)
        return self.withdrawn(*subjects) is None

    def hint(self, hint: Hint) -> Flow[None]:
        """Act on a reason to ask, here at once and then in all processes.

        Raises:
            StoreUnavailable: it is acted on in this process only.
        """
        self._act(hint)
        value = json.dumps(hint).encode()
        yield from self._announce(key(hint.kind, hint.issuer, hint.name), value, HINT_FOR)

    def _announce(self, place: Key, value: bytes, ttl: float) -> Flow[None]:
        lost: StoreUnavailable | None = None
        for board in self._boards:
            try:
                yield board.announce(place, value, ttl)
            except StoreUnavailable as error:
                lost = error
        if lost is not None:
            raise lost

    # -- what is heard ---------------------------------------------------------------------------

    def follow(self) -> bool:
        """Have the boards watched; return False where no thread can be started to do it."""
        return self._watch.ensure()

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

    def heard(self, value: bytes) -> None:
        """See `Follower.heard`."""
        for listener in self._listeners:
            listener(value)
        match _loads(value):
            case ["license" | "credential" as kind, str(issuer), str(name), *_]:
                self._learn(value, Subject(kind, issuer, name))
            case ["resumed" | "rotated" as kind, str(issuer), str(name), int() | float() as at]:
                self._act(Hint(kind, issuer, name, at))

    def _act(self, hint: Hint) -> None:
        with self.lock:
            if hint in self._hinted:
                return
            self._hinted[hint] = None
        for act in self._acting:
            act(hint)

    def _learn(self, value: bytes, subject: Subject) -> bool:
        """Keep what a board has; return whether it is a statement about `subject`."""
        match _loads(value):
            case [
                *about,
                "revoked" | "suspended" | "valid" as word,
                int() | float() as said_at,
            ] if tuple(about) == subject and isfinite(said_at):
                self._keep(subject, Withdrawal(word, float(said_at)))
                return True
        return False

    def _keep(self, subject: Subject, withdrawal: Withdrawal) -> None:
        with self.lock:
            known = self._known.get(subject)
            if known is not None and order(known) > order(withdrawal):
                return
            self._known[subject] = withdrawal
            self._known.move_to_end(subject)
            if len(self._known) > CAPACITY:
                self._overflown = True
                self._known.popitem(last=False)
        if known != withdrawal:
            self._changed(subject)


def order(withdrawal: Withdrawal) -> tuple[float, bool]:
    """Return by what the latest of several statements is found."""
    # Of the same moment what withdraws counts.
    return withdrawal.said_at, withdrawal.word != "valid"


def _place(subject: Subject) -> Key:
    return key("withdrawn", *subject)


def _loads(value: bytes) -> object:
    """Return what was announced, None where it cannot be read."""
    try:
        return strictjson.loads(b'{"kept":' + value + b"}")["kept"]
    except ValueError:
        return None
