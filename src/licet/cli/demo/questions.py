"""Scenes of a license server that is asked, is killed, and is there again."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from licet.cli import welcome
from licet.cli.demo import programs
from licet.cli.demo.headers import HOST, bearer, forwarded
from licet.cli.demo.licenses import Opaque
from licet.cli.demo.play import Play
from licet.cli.demo.process import Server
from licet.cli.demo.stage import Row

#: Seconds that a yes of the license server is enough; short, so that an outage can be watched.
CACHE_FOR = 1
#: What those are started with that ask it, beside what all are.
ONLINE = {
    "LICET_LICENSE_KEY_PATTERN": welcome.KEYS,
    "LICET_OUTAGE_LIMIT": "3600",
}


def questions(play: Play, young: float) -> Iterator[Row]:
    """Play applications that ask the license server because they never have the key set.

    Args:
        play: whose license server is asked.
        young: seconds that keys live there.
    """
    path = Path(play.asking["LICET_VALIDATION_JWKS"])
    path.write_text(json.dumps(play.vendor.published()), encoding="ascii")
    seen, unseen = play.opaque(), play.opaque()
    with out_of_reach() as jwks_url:
        online = play.start(**{**play.asking, "LICET_JWKS_URL": jwks_url})
        yield from _answered(play, online, seen)
        yield from _unanswered(play, young, online, seen, unseen)
        play.servers.stop(*online)


def _answered(play: Play, online: list[Server], seen: Opaque) -> Iterator[Row]:
    """What only the license server can judge."""
    yield play.scene("opaque key", bearer(seen.key), 200, at=online)
    unknown = bearer(f"lic_{'0' * 43}")
    yield play.scene("opaque, unknown", unknown, 401, "license_invalid", at=online)
    revoked = play.opaque()
    play.vendor.revoke(revoked.id)
    gone = bearer(revoked.key)
    yield play.scene("opaque, revoked", gone, 403, "license_revoked", at=online)
    elsewhere = [*bearer(play.opaque(domains=[HOST]).key), *forwarded(Host="127.0.0.1")]
    yield play.scene("opaque, wrong domain", elsewhere, 403, "license_domain", at=online)
    yield play.scene("key set out of reach", bearer(play.full()), 200, at=online)


def _unanswered(
    play: Play, young: float, online: list[Server], seen: Opaque, unseen: Opaque
) -> Iterator[Row]:
    """Nobody there, neither for who needs keys nor for who asks; and then somebody again."""
    token, kept, revoked = bearer(play.full()), play.opaque(), play.opaque()
    play.vendor.revoke(revoked.id)
    play.servers.kill(play.license_server)
    killed = time.monotonic()
    with reserved(play.license_server.port):
        cold = play.start(**play.settings)
        # Warm is more than young: the keys at hand are past their lifetime, and serve; so does
        # what was answered.
        time.sleep(max(0.0, killed + max(young, CACHE_FOR) - time.monotonic()))
        yield play.scene("server killed, warm", token, 200)
        unavailable = "license_unavailable"
        yield play.scene("server killed, cold", token, 503, unavailable, at=cold)
        yield play.scene("no answer, seen", bearer(seen.key), 200, at=online)
        yield play.scene("no answer, unseen", bearer(unseen.key), 503, unavailable, at=online)
        play.servers.stop(*cold)
        # With the very keys, and all that it has acknowledged.
        (play.license_server,) = play.servers.start(programs.at_its_address(play.license_server))
    yield play.scene("back, issued before", bearer(kept.key), 200, at=online)
    gone = bearer(revoked.key)
    yield play.scene("back, revoked before", gone, 403, "license_revoked", at=online)


@contextmanager
def out_of_reach() -> Iterator[str]:
    """Give the URL of a key set that nobody serves, at a port that nobody else can take."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}/jwks.json"


@contextmanager
def reserved(port: int) -> Iterator[None]:
    """Keep a port from everybody who takes any, and not from who wants this one."""
    with socket.socket() as kept:
        if os.name == "posix":  # elsewhere nobody else could have it
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind(("127.0.0.1", port))
        yield
