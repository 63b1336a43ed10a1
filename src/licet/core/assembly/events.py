"""Who hears of what happens at a gate."""

from __future__ import annotations

from licet.core.assembly.surroundings import Surroundings
from licet.core.clock import Clock
from licet.core.events.bus import EVERY_GATE, EventBus, GateBus
from licet.core.events.incidents import Incidents
from licet.core.events.log import LogSink
from licet.core.events.observations import Observations
from licet.core.events.webhook import Webhook
from licet.core.stores import open_store
from licet.core.tls import TlsOptions
from licet.core.transport import Transport


def bus(clock: Clock) -> EventBus:
    """Return where it is told: to the log, and to whoever hears of all gates."""
    return GateBus(clock, LogSink(clock), EVERY_GATE.emit)


def observations(around: Surroundings) -> Observations:
    """Return what notices ends, and strange use."""
    return Observations(around.bus, around.clock, personal=around.settings.license is None)


def tell(around: Surroundings) -> None:
    """Have the receiver of webhooks told, where there is one.

    Raises:
        ConfigError: TLS cannot be spoken as the settings have it, or the store cannot be used.
    """
    settings, clock = around.settings, around.clock
    if settings.webhook_url is None or settings.webhook_secret is None:
        return
    # Pins and client certificates are between us and the license server.
    tls = TlsOptions(
        minimum=settings.tls_minimum, ca_file=settings.tls_ca_file, ciphers=settings.tls_ciphers
    )
    # What is kept in memory this process knows in any case.
    shared = not around.store.startswith("memory:")
    store = open_store(around.store, clock) if shared else None
    around.bus.subscribe(
        Webhook(
            settings.webhook_url,
            settings.webhook_secret,
            transport=Transport(tls),
            incidents=Incidents(clock, store),
            clock=clock,
        )
    )
