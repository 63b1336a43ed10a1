"""Scenes of licenses that limit in number: how much is used, and how many use it."""

from __future__ import annotations

from collections.abc import Iterator

from licet.cli.demo.headers import bearer
from licet.cli.demo.play import Play
from licet.cli.demo.stage import Row

#: What tells a caller how a limit stands.
RATES = ("RateLimit-Policy", "RateLimit")


def limits(play: Play) -> Iterator[Row]:
    """Play limits that are used up; each application counts by itself."""
    once = bearer(play.full(limits={"exports": {"max": 1, "per": "term"}}))
    yield play.scene("the last export", once, 200, path="/export", fields=RATES)
    again = ("Retry-After", *RATES)
    used_up = "limit_exceeded"
    yield play.scene("limit used up", once, 429, used_up, path="/export", fields=again)
    single = bearer(play.full(limits={"seats": 1}))
    ann, bob = [*single, ("X-User", "ann")], [*single, ("X-User", "bob")]
    yield play.scene("the last seat", ann, 200, path="/workspace")
    full = "seat_limit_exceeded"
    yield play.scene("seats full", bob, 429, full, path="/workspace", fields=("Retry-After",))
    yield play.scene("a seat that is kept", ann, 200, path="/workspace")
