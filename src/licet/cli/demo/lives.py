"""Scenes of licenses that are tried, have ended and serve, or serve for less."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from licet.cli.demo.headers import bearer
from licet.cli.demo.licenses import end_of
from licet.cli.demo.play import Play
from licet.cli.demo.process import Server
from licet.cli.demo.stage import Row

#: Seconds that a license lives which is watched in its grace; that is never longer than its life.
LIFE = 5
#: What is left of a license after its end, where something is.
AFTER_END = {"LICET_DOWNGRADE_TO": json.dumps({"plan": "free", "features": ["export"]})}


def brief(play: Play) -> str:
    """Return a license that ends soon, to be watched in its grace."""
    return play.full(expires_in=LIFE, grace=LIFE)


def lives(play: Play, ending: str, hosted: list[Server]) -> Iterator[Row]:
    """Play a trial, and what follows the end of a license.

    Args:
        play: whose applications leave nothing of a license that has ended.
        ending: what `brief` returned.
        hosted: applications that were started with `AFTER_END`.
    """
    ended = bearer(play.full(expires_in=1))
    trial = bearer(play.full(trial=True))
    yield play.scene("trial", trial, 200, "trial", path="/me")
    if time.time() > end_of(ending) + LIFE / 2:  # a slow machine
        ending = brief(play)
    time.sleep(max(0.0, end_of(ending) - time.time()))
    held, fields = bearer(ending), ("License-Status",)
    yield play.scene("in grace", held, 200, "grace", path="/me", fields=fields, within=1)
    left = "downgraded"
    yield play.scene(left, ended, 200, left, path="/me", within=3, at=hosted)
    yield play.scene("downgraded, too far", ended, 403, "feature_not_licensed", at=hosted)
