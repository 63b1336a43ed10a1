"""What every part of a gate is made with."""

from __future__ import annotations

from typing import NamedTuple

from licet.core.clock import Clock
from licet.core.errors import ConfigError
from licet.core.events.bus import GateBus
from licet.core.events.event import Event
from licet.core.settings import Settings
from licet.core.tls import Contexts, TlsOptions


class Surroundings(NamedTuple):
    """What every part of a gate is made with.

    Attributes:
        settings: what counts as a valid license.
        clock: wall and monotonic time.
        bus: where what happens is told.
        tls: what all connections are made with.
    """

    settings: Settings
    clock: Clock
    bus: GateBus
    tls: Contexts

    @property
    def store(self) -> str:
        """The address of what processes share; nothing is, where nothing is judged."""
        return "memory://" if self.settings.mode == "off" else self.settings.store

    @property
    def is_shared(self) -> bool:
        """Whether processes share a store: what is kept in memory, this one knows in any case."""
        return not self.store.startswith("memory:")

    @classmethod
    def of(cls, settings: Settings, clock: Clock, bus: GateBus) -> Surroundings:
        """Return them.

        Raises:
            ConfigError: TLS cannot be spoken as the settings have it.
        """
        return cls(settings, clock, bus, _contexts(settings, bus))


def tls_options(settings: Settings) -> TlsOptions:
    """Return how TLS is spoken by the settings."""
    return TlsOptions(
        minimum=settings.tls_minimum,
        ca_file=settings.tls_ca_file,
        ciphers=settings.tls_ciphers,
        pins=settings.tls_pins or (),
        client_cert=settings.tls_client_cert,
        client_key=settings.tls_client_key,
    )


def _contexts(settings: Settings, bus: GateBus) -> Contexts:
    """Return what all connections of a gate are made with.

    Args:
        settings: how TLS is spoken.
        bus: where it is told that a new client certificate cannot be used.

    Raises:
        ConfigError: it cannot be spoken so.
    """

    def refused(error: ConfigError) -> None:
        bus.emit(Event("tls.failure", {"kind": "certificate", "problem": error.problem}))

    made = Contexts(tls_options(settings), refused=refused)
    asked = (one.jwks_url or one.validation_url for one in settings.by_issuer.values())
    if settings.refresh_url or any(asked):
        # Now, and not in the first request that needs it: it takes a while.
        made.current()
    return made
