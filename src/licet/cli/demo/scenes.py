"""What is played before each application, and what each must answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from licet.cli.demo.headers import HOST, bearer, dpop, forwarded
from licet.cli.demo.licenses import Opaque, Vendor, forged, tampered
from licet.cli.demo.questions import questions
from licet.cli.demo.servers import Server, Servers
from licet.cli.demo.stage import Row, Stage
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
    "DJANGO_ALLOWED_HOSTS": f"{HOST} 127.0.0.1",
}
#: A license for everything that the applications do.
FULL = {
    "customer": "Example GmbH",
    "plan": "professional",
    "features": ["analytics", "export"],
    "roles": ["admin"],
    "limits": {"seats": 10},
    "expires_in": 3600,
}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Play(Stage):
    """All scenes, in order, before all applications.

    Args:
        servers: starts and stops.
        license_server: runs; is killed on the way, and started again.
        apps: the applications, which know its keys' address.
        vendor: makes licenses.
        settings: with which an application is started.
        asking: with which one is that asks the license server.
    """

    def __init__(
        self,
        servers: Servers,
        license_server: Server,
        apps: list[Server],
        vendor: Vendor,
        settings: dict[str, str],
        asking: dict[str, str],
    ) -> None:
        super().__init__(apps)
        self.servers, self.license_server = servers, license_server
        self.vendor, self.settings, self.asking = vendor, settings, asking

    def full(self, **changes: Any) -> str:
        """Return a license for everything that the applications do, but for the changes."""
        return self.vendor.license(**{**FULL, **changes})

    def opaque(self, **changes: Any) -> Opaque:
        """Return such a license by its opaque key."""
        return self.vendor.opaque(**{**FULL, **changes})

    def scenes(self) -> Iterator[Row]:
        """Play; each row comes as soon as it is known."""
        yield from self._licenses()
        yield from self._places()
        yield from self._pages()
        yield from self._holders()
        yield from withdrawals(self, self.settings["LICET_WEBHOOK_RECEIVE_SECRET"])
        yield from self._keys()
        yield from questions(self, young=JWKS_MAX_AGE)

    def _licenses(self) -> Iterator[Row]:
        """What a license must be, and what it must grant."""
        ends_soon = self.full(expires_in=1)
        good = self.full()
        invalid = "license_invalid"
        yield self.scene("valid license", bearer(good), 200)
        yield self.scene("no license", [], 401, "license_required")
        yield self.scene("forged", bearer(forged(good)), 401, invalid)
        yield self.scene("tampered payload", bearer(tampered(good)), 401, invalid)
        yield self.scene("wrong audience", bearer(self.full(audience="acme-mail")), 401, invalid)
        yield self.scene("expired", bearer(ends_soon), 401, "license_expired", within=3)
        small = bearer(self.full(features=["export"], roles=["guest"]))
        yield self.scene("feature missing", small, 403, "feature_not_licensed")
        yield self.scene("role missing", small, 403, "role_not_granted", path="/admin-report")
        both = [*bearer(good), ("X-License-Token", good)]
        yield self.scene("two credentials", both, 400, "license_ambiguous")

    def _places(self) -> Iterator[Row]:
        """One license, and one thing at a time that is not as it says."""
        narrow = {"domains": [HOST], "ip_ranges": ["203.0.113.0/24"], "regions": ["DE"]}
        held = bearer(self.full(**narrow, time_windows=whole_days(-1, 0, 1)))
        yield self.scene("where it holds", [*held, *forwarded()], 200)
        elsewhere = [*held, *forwarded(Host="127.0.0.1")]
        yield self.scene("wrong domain", elsewhere, 403, "license_domain")
        # The first address is what the stranger wrote, the last one what the proxy saw.
        stranger = forwarded(**{"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
        yield self.scene("wrong network", [*held, *stranger], 403, "license_ip")
        abroad = [*held, *forwarded(**{"X-Country": "FR"})]
        yield self.scene("wrong region", abroad, 403, "license_region")
        closed = bearer(self.full(**narrow, time_windows=whole_days(3)))
        late = [*closed, *forwarded()]
        yield self.scene("outside the window", late, 403, "license_time_window")

    def _pages(self) -> Iterator[Row]:
        """The same applications as hosted APIs, whose licenses hold for the pages that call."""
        hosted = self.start(**self.settings, LICET_DOMAIN_FROM="origin")
        shop = bearer(self.full(domains=["shop.example"]))
        own = [*shop, ("Origin", "https://shop.example")]
        yield self.scene("origin licensed", own, 200, at=hosted)
        other = [*shop, ("Origin", "https://thief.example")]
        yield self.scene("wrong origin", other, 403, "license_domain", at=hosted)
        self.servers.stop(*hosted)

    def _holders(self) -> Iterator[Row]:
        """A license that names its holder's key, in the right hands and in others'."""
        key, thief = ProofKey.generate(), ProofKey.generate()
        bound = self.full(cnf={"jkt": key.jkt})
        proven = dpop(bound, key)
        yield self.scene("holder with its key", proven, 200)
        yield self.scene("stolen, with proof", proven, 401, "pop_invalid")
        yield self.scene("stolen, another key", dpop(bound, thief), 401, "pop_invalid")
        yield self.scene("stolen, without key", bearer(bound), 401, "pop_required")

    def _keys(self) -> Iterator[Row]:
        """Keys that come and go."""
        good = self.full()
        self.vendor.rotate()
        yield self.scene("key rotated", bearer(self.full()), 200)
        self.vendor.withdraw(good)
        gone = JWKS_MAX_AGE + FETCH
        yield self.scene("key withdrawn", bearer(good), 401, "license_invalid", within=gone)

    def start(self, **environ: str) -> list[Server]:
        """Start the applications once more, with other settings."""
        return self.servers.start(*(app.program for app in self.apps), **environ)


def whole_days(*offsets: int) -> list[dict[str, object]]:
    """Return a window of whole days counted from today; no midnight of the run makes two of one.

    Yesterday to tomorrow is now for a day at least, and three days off is not for two.
    """
    today = datetime.now(UTC).weekday()
    days = [DAYS[(today + offset) % 7] for offset in offsets]
    return [{"days": days, "from": "00:00", "to": "24:00", "tz": "UTC"}]
