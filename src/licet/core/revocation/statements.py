"""What an issuer says of a license, and how it stands on the boards that many processes read."""

from __future__ import annotations

import json
from math import isfinite
from typing import Literal, NamedTuple, Protocol, TypeAlias

from licet.core.flow import Effect
from licet.core.stores import Key, key
from licet.core.stores.interface import News
from licet.core.token import strictjson

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


class Said(NamedTuple):
    """A statement, and of whom."""

    subject: Subject
    withdrawal: Withdrawal


def order(withdrawal: Withdrawal) -> tuple[float, bool]:
    """Return by what the latest of several statements is found."""
    # Of the same moment what withdraws counts.
    return withdrawal.said_at, withdrawal.word != "valid"


def place(subject: Subject) -> Key:
    """Return where a statement stands on a board."""
    return key("withdrawn", *subject)


def written(subject: Subject, withdrawal: Withdrawal) -> bytes:
    """Return a statement as it stands on a board."""
    return json.dumps([*subject, *withdrawal]).encode()


def read(value: bytes) -> Said | Hint | None:
    """Return what stands on a board, None where that is neither."""
    try:
        found = strictjson.value(value)
    except ValueError:
        return None
    match found:
        case [
            "license" | "credential" as kind,
            str(issuer),
            str(name),
            "revoked" | "suspended" | "valid" as word,
            int() | float() as said_at,
        ] if isfinite(said_at):
            return Said(Subject(kind, issuer, name), Withdrawal(word, float(said_at)))
        case ["resumed" | "rotated" as kind, str(issuer), str(name), int() | float() as said_at]:
            return Hint(kind, issuer, name, said_at)
    return None


def read_of(subject: Subject, value: bytes) -> Withdrawal | None:
    """Return what a board has of `subject`, None where that is no statement about it."""
    found = read(value)
    return found.withdrawal if isinstance(found, Said) and found.subject == subject else None
