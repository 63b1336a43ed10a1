"""A clock whose hands a test moves."""

from __future__ import annotations

from licet.core.clock import Clock


class Hands:
    """Two readings in seconds; they move only when told to.

    Args:
        monotonic: where the monotonic clock starts.
        wall: where the wall clock starts.
    """

    def __init__(self, monotonic: float = 1_000.0, wall: float = 1_800_000_000.0) -> None:
        self.monotonic, self.wall = monotonic, wall
        self.clock = Clock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)

    def advance(self, seconds: float) -> None:
        """Let time pass, for both."""
        self.monotonic += seconds
        self.wall += seconds

    def suspend(self, seconds: float) -> None:
        """Let time pass while the machine sleeps: the monotonic clock stands still."""
        self.wall += seconds
