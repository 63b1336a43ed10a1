"""What is played before each application, and what each must answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from licet.cli.demo.headers import HOST, bearer, dpop, forwarded
from licet.cli.demo.licenses import forged, tampered
from licet.cli.demo.limits import limits
from licet.cli.demo.lives import AFTER_END, brief, lives
from licet.cli.demo.play import Play
from licet.cli.demo.questions import questions
from licet.cli.demo.reporting import reporting
from licet.cli.demo.stage import Row
from licet.cli.demo.withdrawals import RECHECK_EVERY, withdrawals
from licet.possession import ProofKey

AUDIENCE = "acme-reports"
#: Seconds that keys live here; short, so that a withdrawal can be watched.
JWKS_MAX_AGE = 1
#: Seconds that one fetch of the keys may take at most.
FETCH = 5
#: What every application is started with.
SETTINGS = {
    "LICET_AUDIENCE": AUDIENCE,
    "LICET_JWKS_MAX_AGE": str(JWKS_MAX_AGE),
    "LICET_LEEWAY": "0",  # one machine has one clock
    "LICET_RECHECK_EVERY": str(RECHECK_EVERY),
    # The demo speaks as the proxy of a deployment does.
    "LICET_TRUSTED_PROXIES": "127.0.0.1/32",
    "LICET_REGION_HEADER": "X-Country",
    "LICET_EXTERNAL_URL": f"https://{HOST}",
    "LICET_RATE_LIMIT_HEADERS": "true",
    "DJANGO_ALLOWED_HOSTS": f"{HOST} 127.0.0.1",
}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def scenes(play: Play) -> Iterator[Row]:
    """Play all scenes, in order, before all applications; each row comes as soon as it is known."""
    ending = brief(play)
    yield from _licenses(play)
    yield from _places(play)
    yield from limits(play)
    yield from _pages(play, ending)
    yield from _holders(play)
    yield from reporting(play)
    yield from withdrawals(play, play.settings["LICET_WEBHOOK_RECEIVE_SECRET"])
    yield from _keys(play)
    yield from questions(play, young=JWKS_MAX_AGE)


def _licenses(play: Play) -> Iterator[Row]:
    """What a license must be, and what it must grant."""
    ends_soon = play.full(expires_in=1)
    good = play.full()
    invalid = "license_invalid"
    yield play.scene("valid license", bearer(good), 200)
    yield play.scene("no license", [], 401, "license_required")
    yield play.scene("forged", bearer(forged(good)), 401, invalid)
    yield play.scene("tampered payload", bearer(tampered(good)), 401, invalid)
    yield play.scene("wrong audience", bearer(play.full(audience="acme-mail")), 401, invalid)
    yield play.scene("expired", bearer(ends_soon), 401, "license_expired", within=3)
    small = bearer(play.full(features=["export"], roles=["guest"]))
    yield play.scene("feature missing", small, 403, "feature_not_licensed")
    yield play.scene("role missing", small, 403, "role_not_granted", path="/admin-report")
    both = [*bearer(good), ("X-License-Token", good)]
    yield play.scene("two credentials", both, 400, "license_ambiguous")


def _places(play: Play) -> Iterator[Row]:
    """One license, and one thing at a time that is not as it says."""
    narrow = {"domains": [HOST], "ip_ranges": ["203.0.113.0/24"], "regions": ["DE"]}
    held = bearer(play.full(**narrow, time_windows=whole_days(-1, 0, 1)))
    yield play.scene("where it holds", [*held, *forwarded()], 200)
    elsewhere = [*held, *forwarded(Host="127.0.0.1")]
    yield play.scene("wrong domain", elsewhere, 403, "license_domain")
    # The first address is what the stranger wrote, the last one what the proxy saw.
    stranger = forwarded(**{"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
    yield play.scene("wrong network", [*held, *stranger], 403, "license_ip")
    abroad = [*held, *forwarded(**{"X-Country": "FR"})]
    yield play.scene("wrong region", abroad, 403, "license_region")
    closed = bearer(play.full(**narrow, time_windows=whole_days(3)))
    late = [*closed, *forwarded()]
    yield play.scene("outside the window", late, 403, "license_time_window")


def _pages(play: Play, ending: str) -> Iterator[Row]:
    """The same applications as hosted APIs, whose licenses hold for the pages that call.

    Their start is time in which a license ends.
    """
    hosted = play.start(**play.settings, **AFTER_END, LICET_DOMAIN_FROM="origin")
    shop = bearer(play.full(domains=["shop.example"]))
    own = [*shop, ("Origin", "https://shop.example")]
    yield play.scene("origin licensed", own, 200, at=hosted)
    other = [*shop, ("Origin", "https://thief.example")]
    yield play.scene("wrong origin", other, 403, "license_domain", at=hosted)
    yield from lives(play, ending, hosted)
    play.servers.stop(*hosted)


def _holders(play: Play) -> Iterator[Row]:
    """A license that names its holder's key, in the right hands and in others'."""
    key, thief = ProofKey.generate(), ProofKey.generate()
    bound = play.full(cnf={"jkt": key.jkt})
    proven = dpop(bound, key)
    yield play.scene("holder with its key", proven, 200)
    yield play.scene("stolen, with proof", proven, 401, "pop_invalid")
    yield play.scene("stolen, another key", dpop(bound, thief), 401, "pop_invalid")
    yield play.scene("stolen, without key", bearer(bound), 401, "pop_required")


def _keys(play: Play) -> Iterator[Row]:
    """Keys that come and go."""
    good = play.full()
    play.vendor.rotate()
    yield play.scene("key rotated", bearer(play.full()), 200)
    play.vendor.withdraw(good)
    gone = JWKS_MAX_AGE + FETCH
    yield play.scene("key withdrawn", bearer(good), 401, "license_invalid", within=gone)


def whole_days(*offsets: int) -> list[dict[str, object]]:
    """Return a window of whole days counted from today; no midnight of the run makes two of one.

    Yesterday to tomorrow is now for a day at least, and three days off is not for two.
    """
    today = datetime.now(UTC).weekday()
    days = [DAYS[(today + offset) % 7] for offset in offsets]
    return [{"days": days, "from": "00:00", "to": "24:00", "tz": "UTC"}]
