"""What a gate is made of, by its settings: one store of keys for each issuer, and so on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from licet.core.clock import Clock
from licet.core.errors import ConfigError
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.issuers import IssuerSettings
from licet.core.keys.jwk import read_jwks
from licet.core.keys.keystore import KeyStore
from licet.core.online import dialects
from licet.core.online.arbiter import Arbiter
from licet.core.online.asker import Asker
from licet.core.online.keys import AnswerKeys
from licet.core.online.presented import Limits
from licet.core.online.rulings import Rulings
from licet.core.online.server import Server
from licet.core.online.validator import Validator
from licet.core.possession.dpop import Dpop
from licet.core.possession.holder import Possession
from licet.core.possession.mtls import Certificates
from licet.core.possession.nonces import Nonces
from licet.core.proxies import Proxies
from licet.core.revocation.sticky import Withdrawals
from licet.core.settings import Settings
from licet.core.stores import open_store
from licet.core.tls import Contexts, TlsOptions
from licet.core.token.claims import Profile
from licet.core.token.signature import names_of
from licet.core.transport import Transport

if TYPE_CHECKING:
    from licet.core.judge import Judge

logger = logging.getLogger("licet")

#: Connections to a license server that are kept: as many as there are questions at a time.
KEPT_ALIVE = 32


def contexts(settings: Settings, bus: EventBus) -> Contexts:
    """Return what all connections of a gate are made with.

    Args:
        settings: how TLS is spoken.
        bus: where it is told that a new client certificate cannot be used.

    Raises:
        ConfigError: it cannot be spoken so.
    """

    def refused(error: ConfigError) -> None:
        bus.emit(Event("tls.failure", {"kind": "certificate", "problem": error.problem}))

    made = Contexts(
        TlsOptions(
            minimum=settings.tls_minimum,
            ca_file=settings.tls_ca_file,
            ciphers=settings.tls_ciphers,
            pins=settings.tls_pins or (),
            client_cert=settings.tls_client_cert,
            client_key=settings.tls_client_key,
        ),
        refused=refused,
    )
    if any(one.jwks_url or one.validation_url for one in settings.by_issuer.values()):
        # Now, and not in the first request that needs it: it takes a while.
        made.current()
    return made


def key_stores(
    settings: Settings, clock: Clock, bus: EventBus, transport: Transport
) -> Mapping[str, KeyStore]:
    """Return where the keys of each issuer come from.

    Args:
        settings: which issuers, and how their keys are fetched.
        clock: wall and monotonic time.
        bus: where what happens to keys is told.
        transport: what fetches them.
    """
    return {
        issuer: KeyStore(
            issuer,
            jwks_url=one.jwks_url,
            # None at all, where a license server judges every license.
            jwks={"keys": []} if one.keys is None and one.jwks_url is None else one.keys,
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


def arbiter(
    settings: Settings,
    clock: Clock,
    bus: EventBus,
    keys: Mapping[str, KeyStore],
    judge: Judge,
    tls: Contexts,
    forget: Callable[[bytes, str, str | None], None],
) -> Arbiter | None:
    """Return what knows when to ask a license server; None where there is none to ask.

    Args:
        settings: which servers, and how they are asked.
        clock: wall and monotonic time.
        bus: where what comes of questions is told.
        keys: of each issuer.
        judge: holds licenses against their profiles.
        tls: what connections are made with.
        forget: has the gate forget what it granted to a credential's digest, and to a license
            of an issuer.

    Raises:
        ConfigError: a dialect cannot be had, or the store cannot be used.
    """
    asked = {name: one for name, one in settings.by_issuer.items() if one.validation_url}
    if not asked:
        return None
    # Kept in this process in any case; a store in memory would know no more.
    shared = not settings.store.startswith("memory:")
    withdrawals = Withdrawals(open_store(settings.store, clock) if shared else None, clock)
    limits = Limits(settings.outage_limit, settings.grant_max_age)
    validators = {}
    for name, one in asked.items():
        if one.validation_unsigned and not settings.tls_pins:
            logger.warning("validation_unsigned believes whoever TLS lets answer: set tls_pins")
        dialect = dialects.of(one.validation_protocol)
        # One for each server: nothing that is sent to one can reach another.
        transport = Transport(tls, keep_alive=KEPT_ALIVE)
        server = _server(name, one, keys[name])
        rulings = Rulings(
            name,
            asks_domain=dialect.asks_domain,
            limits=limits,
            vouched=partial(judge.answered, name),
            withdrawals=withdrawals,
            forget=forget,
            clock=clock,
            bus=bus,
        )
        validators[name] = Validator(
            Asker(server, dialect, transport, clock, bus),
            rulings,
            audience=one.audiences[0],
            clock=clock,
        )
    return Arbiter(
        judge,
        validators,
        key_pattern=settings.license_key_pattern,
        revalidate_every=settings.revalidate_every,
        timeout=settings.online_timeout,
        clock=clock,
    )


def _server(issuer: str, settings: IssuerSettings, issued: KeyStore) -> Server:
    own = settings.answer_keys
    return Server(
        issuer,
        str(settings.validation_url),
        settings.validation_credentials,
        settings.validation_unsigned,
        AnswerKeys(issued, None if own is None else read_jwks(own, settings.algorithms)),
    )


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
