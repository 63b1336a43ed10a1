"""Scenes of `mode="report"`: everything passes, and what would have been refused is counted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from licet.cli.demo import programs
from licet.cli.demo.headers import bearer
from licet.cli.demo.licenses import forged
from licet.cli.demo.play import Play
from licet.cli.demo.process import Server
from licet.cli.demo.servers import SERVER
from licet.cli.demo.stage import Answer, Observed, Row

#: What would have been refused, once by each application.
CODES = ("license_required", "license_invalid", "feature_not_licensed")
#: Seconds in which that is told.
TOLD_WITHIN = 10.0


def reporting(play: Play) -> Iterator[Row]:
    """Play what is let pass, before applications that share a store, and read the summary there."""
    store = play.settings["LICET_STORE"].replace(SERVER, "reported")
    environ = {**play.settings, "LICET_STORE": store, "LICET_MODE": "report"}
    lenient = play.start(**environ)
    good = play.full()
    yield play.scene("report: no license", [], 200, "unlicensed", path="/me", at=lenient)
    yield play.scene("report: forged", bearer(forged(good)), 200, at=lenient)
    small = bearer(play.full(features=[]))
    yield play.scene("report: no feature", small, 200, at=lenient)
    yield _summary(play, lenient, environ)
    play.servers.stop(*lenient)


def _summary(play: Play, lenient: list[Server], environ: dict[str, str]) -> Row:
    """Return what the command says, once all have told what they counted: within a second."""
    expected = Answer(len(CODES) * len(lenient), "would be refused")
    deadline = time.monotonic() + TOLD_WITHIN
    while True:
        began = time.perf_counter()
        counts = json.loads(play.servers.output(programs.summary(), **environ))["would_refuse"]
        milliseconds = (time.perf_counter() - began) * 1000
        answer = Answer(sum(counts.values()), "would be refused")
        if answer == expected or time.monotonic() >= deadline:
            break
    told = tuple(f"{code}: {counts.get(code, 0)}" for code in CODES)
    observed = [Observed(lenient[0], answer, milliseconds, told)]
    return Row("report: the summary", "flask license check", expected, observed)
