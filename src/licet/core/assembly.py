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
from licet.core.installation.license import unlicensed
from licet.core.installation.refresh import Refresher
from licet.core.installation.renewals import Renewals
from licet.core.installation.state import State
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
from licet.core.revocation.lists import StatusLists
from licet.core.revocation.pushed import Pushed
from licet.core.revocation.standing import Standing
from licet.core.revocation.sticky import Board, Withdrawals
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
    asked = (one.jwks_url or one.validation_url for one in settings.by_issuer.values())
    if settings.refresh_url or any(asked):
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


def state(settings: Settings, clock: Clock, bus: EventBus) -> State | None:
    """Return what this installation remembers across restarts; None where it has no place.

    Raises:
        ConfigError: nothing can be kept there.
    """
    if settings.license_state is None:
        return None

    def troubled(kind: str) -> None:
        bus.emit(Event("license.suspicious_activity", {"kind": kind}))

    return State(str(settings.license_state), clock, troubled)


def boards(settings: Settings, clock: Clock, state: State | None) -> tuple[Board, ...]:
    """Return where it is kept, beyond this process, what was said of licenses.

    Raises:
        ConfigError: the store cannot be used.
    """
    kept: tuple[Board, ...] = () if state is None else (state,)
    # What is kept in memory this process knows in any case.
    if settings.store.startswith("memory:"):
        return kept
    return (*kept, open_store(settings.store, clock))


def refresher(
    settings: Settings,
    clock: Clock,
    bus: EventBus,
    state: State | None,
    judge: Judge,
    withdrawals: Withdrawals,
    tls: Contexts,
) -> Refresher | None:
    """Return what keeps the installation's license from ending; None where nothing is kept.

    Args:
        settings: who is asked, if anybody.
        clock: wall and monotonic time.
        bus: where it is told that nothing comes.
        state: what the installation remembers.
        judge: verifies what comes.
        withdrawals: what was said of licenses, and what other processes tell.
        tls: what connections are made with.
    """
    if state is None or settings.license is None:
        return None
    made = Refresher(
        settings.refresh_url,
        state,
        Renewals(state, judge, clock),
        judge=judge,
        withdrawals=withdrawals,
        transport=Transport(tls),
        clock=clock,
        bus=bus,
    )
    withdrawals.listen(made.heard)
    # Also where nobody asks for anything until the license has ended.
    withdrawals.on_look(made.look)
    return made


def standing(
    settings: Settings,
    clock: Clock,
    bus: EventBus,
    keys: Mapping[str, KeyStore],
    transport: Transport,
    places: tuple[Board, ...],
    forget: Callable[[bytes], None],
) -> Standing:
    """Return what knows whether licenses were withdrawn.

    Args:
        settings: who may say so.
        clock: wall and monotonic time.
        bus: where that is told.
        keys: of each issuer.
        transport: what fetches status lists.
        places: what outlives this process.
        forget: has the gate forget what it granted to a credential, by its digest.
    """
    told = settings.webhook_receive_secret or any(
        one.validation_url for one in settings.by_issuer.values()
    )
    made = Standing(
        clock,
        bus,
        forget,
        strict=bool(told),
        refusal=(lambda error: error) if settings.license is None else unlicensed,
    )
    made.withdrawals = Withdrawals(places, clock, made.said)
    made.lists = {
        issuer: StatusLists(
            issuer,
            origins=settings.status_origins,
            keys=keys[issuer],
            transport=transport,
            clock=clock,
            bus=bus,
            max_stale=settings.status_max_stale,
            changed=made.changed,
        )
        for issuer, one in settings.by_issuer.items()
        # Who never fetches keys fetches nothing else.
        if one.jwks_url is not None
    }
    return made


def pushed(
    settings: Settings,
    clock: Clock,
    bus: EventBus,
    withdrawals: Withdrawals,
    places: tuple[Board, ...],
) -> Pushed | None:
    """Return what puts pushed events into force; None where nobody may push any.

    Args:
        settings: whose events are received.
        clock: wall and monotonic time.
        bus: where it is told what they withdraw.
        withdrawals: what was withdrawn.
        places: what outlives this process.
    """
    if settings.webhook_receive_secret is None:
        return None
    return Pushed(settings.by_issuer, withdrawals, places, bus, clock)


def arbiter(
    settings: Settings,
    clock: Clock,
    bus: EventBus,
    keys: Mapping[str, KeyStore],
    judge: Judge,
    standing: Standing,
    tls: Contexts,
    forget: Callable[[bytes], None],
) -> Arbiter | None:
    """Return what knows when to ask a license server; None where there is none to ask.

    Args:
        settings: which servers, and how they are asked.
        clock: wall and monotonic time.
        bus: where what comes of questions is told.
        keys: of each issuer.
        judge: holds licenses against their profiles.
        standing: knows what was withdrawn.
        tls: what connections are made with.
        forget: has the gate forget what it granted to a credential, by its digest.

    Raises:
        ConfigError: a dialect cannot be had.
    """
    asked = {name: one for name, one in settings.by_issuer.items() if one.validation_url}
    if not asked:
        return None
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
            withdrawals=standing.withdrawals,
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
        standing,
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
