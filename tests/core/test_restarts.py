"""A restart, with the license server stopped in between, brings nothing back (row I09)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.core.hands import Hands
from tests.core.license_server import LicenseServer
from tests.core.loopback import until
from tests.core.restarted import judged
from tests.core.withdrawing import Withdrawing

#: Where a process keeps what it must remember.
PLACES = {"store": "sqlite://{}/licet.db", "license_state": "{}/state"}


def options(server: LicenseServer, place: str, directory: Path, **changes: Any) -> dict[str, Any]:
    kept = {place: PLACES[place].format(directory)}
    return server.options(online_timeout=0.5, **kept, **changes)


@pytest.mark.row("I09")
@pytest.mark.parametrize("place", PLACES)
def test_the_revoked_stay_revoked_and_the_resumed_are_asked_about(
    place: str, tmp_path: Path
) -> None:
    """In new processes: while nobody answers both are refused, and afterwards the one alone."""
    with LicenseServer() as server:
        server.cache_for = 1
        revoked, suspended, good = server.add(), server.add(), server.add()
        server.error(revoked, "revoked")
        server.error(suspended, "suspended")
        here = options(server, place, tmp_path)
        all_three = (revoked, suspended, good)
        assert judged(here, *all_three) == ["online:revoked", "online:suspended", "yes"]
        suspended_at = int(time.time())
        server.serves_jwks = False
        server.trouble = lambda request: b""
        told = judged(here, *all_three)
        assert told[:2] == ["online:revoked", "online:suspended"]
        assert told[2].startswith("online:"), "nothing is known of it in this process"
        server.trouble = None
        server.serves_jwks = True
        server.error(suspended, None)
        # Answers are dated by the second.
        until(lambda: int(time.time()) > suspended_at)
        asked = len(server.questions)
        assert judged(here, revoked, suspended, again=True) == ["online:revoked", "yes"]
        assert len(server.questions) > asked


@pytest.mark.row("I09")
@pytest.mark.parametrize("place", PLACES)
def test_what_a_status_list_said_outlives_both(place: str, tmp_path: Path) -> None:
    """The list is served again as it was before the revocation, to a new process."""
    hands = Hands(wall=time.time())
    with Withdrawing(hands) as vendor:
        kept = {place: PLACES[place].format(tmp_path)}
        here = vendor.options(**kept)
        token = vendor.license()
        vendor.served = vendor.list(issued_at=hands.wall - 60)
        assert judged(here, token) == ["yes"]
        vendor.statuses[7] = "revoked"
        before, vendor.served = vendor.served, None
        assert judged(here, token) == ["status:revoked"]
        vendor.served = before
        assert judged(here, token) == ["online:revoked"]
