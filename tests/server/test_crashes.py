"""A license server that ends in the middle of a change of its keys finds them whole at its start.

At every step there is, between the key file and the database as well: each step that reaches the
disk is one before which a process has ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from licet.issuer import Issuer
from licet.server import audit
from licet.server.running import keyfiles
from tests.server.crashing import CASES, opened
from tests.server.processes import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork for each step")

PATIENCE = 60


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """What was left behind, and the steps before which a process has ended."""
    directory = tmp_path_factory.mktemp("crashes")
    # A process with one thread, which may be forked at any time.
    done = subprocess.run(
        [sys.executable, "-m", "tests.server.crashing", str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
    )
    return directory, json.loads(done.stdout)


def test_a_first_start_is_made_up_for(tried: tuple[Path, dict[str, list[str]]]) -> None:
    """Wherever it ended, the next one has one signing key, and an admin key is in its file."""
    directory, steps = tried[0] / "file begin", tried[1]["file begin"]
    assert steps.count("COMMIT") > 1
    for last, step in enumerate([*steps, "the end"]):
        data = directory / str(last)
        with opened(data, "file") as server:
            assert len(server.signing_keys.listing()) == 1, step
            keyfiles.admin_key(server.api_keys, data)
            key = (data / keyfiles.ADMIN).read_text().strip()
            assert server.api_keys.find(key) is not None, step


@pytest.mark.parametrize("case", [case for case in CASES if "begin" not in case])
def test_a_change_of_keys_is_done_or_not(
    case: str, tried: tuple[Path, dict[str, list[str]]]
) -> None:
    """At the next start no key is lost; a new one is published and recorded, or is not there.

    A retired one is gone and recorded, or published as before. From the commit on it is done, and
    before the private key was kept nothing was. In any case keys can be rotated from there.
    """
    directory, steps = tried[0] / case, tried[1][case]
    place, act = case.split()
    assert {"COMMIT", *(["replace"] if place == "file" else [])} <= {*steps}
    with opened(directory / "origin", place) as server:
        origin = server.signing_keys.issuer.kids
    outcomes = []
    for last, step in enumerate([*steps, "the end"]):
        with opened(directory / str(last), place) as server:
            kids = server.signing_keys.issuer.kids
            listed = {key["kid"]: key for key in server.signing_keys.listing()}
            assert [kid for kid in listed if listed[kid]["retired_at"] is None] == [*kids], step
            lines = server.database.read(lambda connection: audit.page(connection, 0))
            done = [(line["action"], line["subject"]) for line in lines]
            assert sorted(done) == sorted(
                [("keys.rotated", kid) for kid in listed]
                + [("keys.retired", kid) for kid in listed if kid not in kids]
            ), step
            new = server.signing_keys.rotate()
            assert server.signing_keys.issuer.kids == (*kids, new), step
            if place == "file":
                # What was retired and still in it is there no longer.
                assert Issuer.load(server.configuration.key_path).kids == (*kids, new), step
        if act == "rotate":
            assert kids[:2] == origin, step
            # One that was made known and then lost would have signed licenses that nobody takes.
            assert kids == tuple(listed), step
            outcomes.append(len(kids) == 3)
        else:
            assert kids[-1] == origin[1], step
            outcomes.append(len(kids) == 1)
    # Once it is done it is not undone by another step; that is so from the first key or commit on.
    decisive = "replace" if (place, act) == ("file", "rotate") else "COMMIT"
    assert outcomes == [last > steps.index(decisive) for last in range(len(steps) + 1)]
