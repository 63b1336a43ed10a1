"""What every scene has at hand: the applications, the license server and its vendor's API."""

from __future__ import annotations

from typing import Any

from licet.cli.demo.licenses import Opaque, Vendor
from licet.cli.demo.process import Server
from licet.cli.demo.servers import Servers
from licet.cli.demo.stage import Stage

#: A license for everything that the applications do.
FULL = {
    "customer": "Example GmbH",
    "plan": "professional",
    "features": ["analytics", "export"],
    "roles": ["admin"],
    "limits": {"seats": 10, "exports": 100},
    "expires_in": 3600,
}


class Play(Stage):
    """A stage on which the license server and the applications can be started and stopped, too.

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

    def start(self, **environ: str) -> list[Server]:
        """Start the applications once more, with other settings."""
        return self.servers.start(*(app.program for app in self.apps), **environ)
