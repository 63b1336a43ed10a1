"""Scenes of licenses that are taken back, or end, while somebody uses them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from licet.cli.demo.headers import bearer
from licet.cli.demo.licenses import end_of, id_of
from licet.cli.demo.play import Play
from licet.cli.demo.stage import Row

#: Seconds that a copy of the status list is fresh; short, so that it can be watched.
STATUS_TTL = 1
#: Seconds between two looks at the license of what stays open.
RECHECK_EVERY = 0.5
#: Seconds that a license lives which is watched as it ends.
LIFE = 4
#: Seconds that something may take which is a matter of a moment.
MOMENT = 5


def withdrawals(play: Play, secret: str) -> Iterator[Row]:
    """Play licenses that are revoked, suspended and resumed, and connections that end with them.

    Args:
        play: whose applications take webhooks.
        secret: by which these are signed.
    """
    vendor, revoked = play.vendor, "license_revoked"
    short = play.full(expires_in=LIFE)
    ending = play.open(bearer(short))
    # It names no list and nobody is asked about it: that it is revoked can only be pushed.
    pushed = play.full()
    open_ = play.open(bearer(pushed))

    listed, paused = play.full(status=True), play.full(status=True)
    yield play.scene("on a status list", bearer(listed), 200)
    vendor.revoke(id_of(listed))
    due = STATUS_TTL + MOMENT
    yield play.scene("revoked by list", bearer(listed), 403, revoked, within=due)

    for app in play.apps:
        vendor.tell(f"{app.url}/licet/webhooks", secret)
    revoked_at = time.time()
    vendor.revoke(id_of(pushed))
    yield play.scene("revoked by push", bearer(pushed), 403, revoked, within=MOMENT)
    yield play.ending("open, then revoked", open_, revoked, revoked_at, within=MOMENT)
    vendor.suspend(id_of(paused))
    yield play.scene("suspended", bearer(paused), 403, "license_suspended", within=MOMENT)
    # A push restores nothing: it has the list asked for again.
    vendor.resume(id_of(paused))
    yield play.scene("resumed, asked again", bearer(paused), 200, within=due)
    due = LIFE + MOMENT
    yield play.ending("open, then expired", ending, "license_expired", end_of(short), within=due)
