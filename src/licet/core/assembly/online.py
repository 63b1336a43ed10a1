"""Who is asked where a license cannot be judged here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from licet.core.assembly.surroundings import Surroundings
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
from licet.core.revocation.standing import Standing
from licet.core.settings.issuers import IssuerSettings
from licet.core.transport import Transport

if TYPE_CHECKING:
    from licet.core.judge import Judge

logger = logging.getLogger("licet")

#: Connections to a license server that are kept: as many as there are questions at a time.
KEPT_ALIVE = 32


def arbiter(
    around: Surroundings,
    keys: Mapping[str, KeyStore],
    judge: Judge,
    standing: Standing,
    forget: Callable[[bytes], None],
) -> Arbiter | None:
    """Return what knows when to ask a license server; None where there is none to ask.

    Args:
        around: which servers, how they are asked, and where what comes of it is told.
        keys: of each issuer.
        judge: holds licenses against their profiles.
        standing: knows what was withdrawn.
        forget: has the gate forget what it granted to a credential, by its digest.

    Raises:
        ConfigError: a dialect cannot be had.
    """
    settings, clock, bus, tls = around
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
            Asker(server, dialect, transport, clock, bus, standing.confirm),
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
