"""Who hears of what happens at a gate."""

from __future__ import annotations

from licet.core.assembly.surroundings import Surroundings
from licet.core.clock import Clock
from licet.core.events.bus import EVERY_GATE, GateBus
from licet.core.events.incidents import Incidents
from licet.core.events.log import LogSink
from licet.core.events.observations import Observations
from licet.core.events.outbox import MemoryOutbox, Outbox
from licet.core.events.webhook import Webhook
from licet.core.stores import Store, key, open_store
from licet.core.tls import TlsOptions
from licet.core.transport import Transport


def bus(clock: Clock) -> GateBus:
    """Return where it is told: to the log, and to whoever hears of all gates."""
    return GateBus(clock, LogSink(clock), EVERY_GATE.emit)


def observations(around: Surroundings) -> Observations:
    """Return what notices ends, and strange use."""
    return Observations(around.bus, around.clock, personal=around.settings.license is None)


def tell(around: Surroundings) -> None:
    """Have workers that share a store tell of a thing once, and the receiver of webhooks told.

    Raises:
        ConfigError: TLS cannot be spoken as the settings have it, or the store cannot be used.
    """
    settings, clock = around.settings, around.clock
    store = open_store(around.store, clock) if around.is_shared else None
    if store is not None:
        around.bus.share(store)
    if settings.webhook_url is None or settings.webhook_secret is None:
        return
    # Pins and client certificates are between us and the license server.
    tls = TlsOptions(
        minimum=settings.tls_minimum, ca_file=settings.tls_ca_file, ciphers=settings.tls_ciphers
    )
    incidents = Incidents(clock, store, settings.webhook_url)
    outbox = _outbox(around, store, incidents, settings.webhook_url)
    tells = Webhook(
        settings.webhook_url,
        settings.webhook_secret,
        transport=Transport(tls),
        incidents=incidents,
        outbox=outbox,
        clock=clock,
    )
    around.bus.subscribe(tells)
    if not isinstance(outbox, MemoryOutbox):
        # What the processes before this one have left.
        tells.resume()


def _outbox(around: Surroundings, store: Store | None, incidents: Incidents, url: str) -> Outbox:
    """Return where messages wait: where there is a file, there."""
    # Here, because most stores need no SQLite.
    if around.store.startswith("sqlite:"):
        from licet.core.events.filed import FiledOutbox
        from licet.core.stores.sqlite import SQLiteStore

        if isinstance(store, SQLiteStore):
            return FiledOutbox(store, incidents, key("webhook", url), around.clock)
    return MemoryOutbox(incidents, around.clock)
