"""What a gate is made of, by its settings: one store of keys for each issuer, and so on."""

from __future__ import annotations

from collections.abc import Mapping

from licet.core.clock import Clock
from licet.core.events.bus import EventBus
from licet.core.issuers import IssuerSettings
from licet.core.keys.keystore import KeyStore
from licet.core.possession.dpop import Dpop
from licet.core.possession.holder import Possession
from licet.core.possession.mtls import Certificates
from licet.core.possession.nonces import Nonces
from licet.core.proxies import Proxies
from licet.core.settings import Settings
from licet.core.stores import open_store
from licet.core.tls import client_context
from licet.core.token.claims import Profile
from licet.core.token.signature import names_of
from licet.core.transport import Transport


def key_stores(
    settings: Settings, clock: Clock, bus: EventBus, transport: Transport | None = None
) -> Mapping[str, KeyStore]:
    """Return where the keys of each issuer come from.

    Args:
        settings: which issuers, and how their keys are fetched.
        clock: wall and monotonic time.
        bus: where what happens to keys is told.
        transport: what fetches them; one of its own by default.
    """
    transport = transport or Transport(client_context(settings.tls_minimum, settings.tls_ca_file))
    return {
        issuer: KeyStore(
            issuer,
            jwks_url=one.jwks_url,
            jwks=one.keys,
            algorithms=one.algorithms,
            max_age=settings.jwks_max_age,
            max_stale=settings.jwks_max_stale,
            cooldown=settings.jwks_cooldown,
            transport=transport,
            clock=clock,
            bus=bus,
            path=one.snapshot_path,
        )
        for issuer, one in settings.by_issuer.items()
    }


def profiles(settings: Settings) -> Mapping[str, Profile]:
    """Return what the licenses of each issuer have to look like."""
    return {issuer: _profile(issuer, one) for issuer, one in settings.by_issuer.items()}


def _profile(issuer: str, settings: IssuerSettings) -> Profile:
    types: set[str | None] = {settings.token_type}
    if settings.token_type is None:
        types |= {"license+jwt", "jwt"}
    return Profile(
        issuer=issuer,
        audiences=frozenset(settings.audiences),
        algorithms=names_of(settings.algorithms),
        types=frozenset(types),
        max_lifetime=settings.max_lifetime,
    )


def possession(settings: Settings, clock: Clock, proxies: Proxies) -> Possession:
    """Return what licenses that are bound to their holder demand.

    Args:
        settings: where certificates are, whether nonces are wanted, and the store of proofs.
        clock: wall time.
        proxies: whose word is taken for a certificate.

    Raises:
        ConfigError: the store cannot be used.
    """
    secret = settings.dpop_nonce_secret
    return Possession(
        Dpop(clock, None if secret is None else Nonces(secret.encode(), clock)),
        Certificates(settings.client_certificate, proxies),
        open_store(settings.store, clock),
        settings.external_url,
    )
