"""Times that are over for certain, as an installation has seen them; and doubts of its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from licet.core.clock import END_OF_TIME
from licet.core.flow import Flow
from licet.core.stores import key

if TYPE_CHECKING:
    from licet.core.installation.state import State

#: Where the state keeps them.
PLACE = key("time")
#: Seconds that a clock may be behind what was signed, and behind what it said itself.
SIGNED_TOLERANCE, TOLERANCE = 300.0, 86_400.0

#: How a clock stands to what was seen, where they disagree: `set_back` is behind it and believed.
Doubt: TypeAlias = Literal["behind", "behind_signed", "ahead", "set_back"]
#: Those by which no license holds.
BEHIND = frozenset(("behind", "behind_signed"))


class Mark(NamedTuple):
    """Times that are certainly over, in wall seconds.

    Args:
        seen: the latest that a clock has told, and what has passed since.
        signed: the latest that somebody has signed; never after `seen`.
    """

    seen: float
    signed: float = 0.0

    @classmethod
    def of(cls, value: bytes | None) -> Mark | None:
        """Return the one that was written as `value`, None where that is none."""
        try:
            seen, signed = map(float, (value or b"").split(b" "))
        except ValueError:
            return None
        # Of NaN no comparison is true.
        return cls(seen, signed) if 0 <= signed <= seen <= END_OF_TIME else None

    def later(self, other: Mark) -> Mark:
        """Return the later of each."""
        return Mark(max(self.seen, other.seen), max(self.signed, other.signed))

    def added(self, value: bytes | None) -> bytes:
        """Return how the later is written of this one and of the one that was written before."""
        kept = Mark.of(value)
        return b"%r %r" % (self if kept is None else self.later(kept))

    def doubt(self, now: float) -> Doubt | None:
        """Return how a clock stands to it, None where that is as it should be."""
        if now < self.signed - SIGNED_TOLERANCE:
            return "behind_signed"
        if now < self.seen - TOLERANCE:
            return "behind"
        return "ahead" if now > self.seen + TOLERANCE else None


def last_seen(state: State) -> Flow[Mark | None]:
    """Return what a state says was seen of the time, None where it says nothing.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    return Mark.of((yield state.get(PLACE)))
