"""Who may withdraw a license, and where it is remembered beyond this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from licet.core.assembly.surroundings import Surroundings
from licet.core.installation.license import unlicensed
from licet.core.installation.state import State
from licet.core.keys.keystore import KeyStore
from licet.core.revocation.lists import StatusDocument, StatusLists
from licet.core.revocation.pushed import Pushed
from licet.core.revocation.standing import Changed, Standing
from licet.core.revocation.statements import Board, Hint
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import open_store
from licet.core.transport import Transport

if TYPE_CHECKING:
    from licet.core.errors import LicenseError
    from licet.core.installation.refresh import Refresher
    from licet.core.installation.trusted_time import TrustedTime
    from licet.core.online.arbiter import Arbiter
    from licet.core.usage.ledger import Ledger


def boards(around: Surroundings, state: State | None) -> tuple[Board, ...]:
    """Return where it is kept, beyond this process, what was said of licenses.

    Raises:
        ConfigError: the store cannot be used.
    """
    kept: tuple[Board, ...] = () if state is None else (state,)
    return (*kept, open_store(around.store, around.clock)) if around.is_shared else kept


def standing(
    around: Surroundings,
    keys: Mapping[str, KeyStore],
    transport: Transport,
    places: tuple[Board, ...],
    forget: Callable[[bytes], None],
    *,
    time: Callable[[Changed], TrustedTime | None],
    refuse: Callable[[LicenseError], None],
    usage: Ledger,
) -> Standing:
    """Return what knows whether licenses were withdrawn.

    Args:
        around: who may say so, and where that is told.
        keys: of each issuer.
        transport: what fetches status lists.
        places: what outlives this process.
        forget: has the gate forget what it granted to a credential, by its digest.
        time: makes what knows whether the clock can be judged by.
        refuse: what becomes of what a license does not allow.
        usage: what counts what licenses use.
    """
    settings, clock, bus, _ = around
    told = settings.webhook_receive_secret or any(
        one.validation_url for one in settings.by_issuer.values()
    )

    def lists(changed: Changed) -> Mapping[str, StatusLists]:
        return {
            issuer: StatusLists(
                issuer,
                origins=settings.status_origins,
                document=partial(
                    StatusDocument,
                    issuer=issuer,
                    keys=keys[issuer],
                    transport=transport,
                    clock=clock,
                    bus=bus,
                    max_stale=settings.status_max_stale,
                    changed=changed,
                ),
                http_hosts=settings.insecure_http_hosts,
            )
            for issuer, one in settings.by_issuer.items()
            # Who never fetches keys fetches nothing else.
            if one.jwks_url is not None
        }

    made = Standing(
        clock,
        bus,
        forget,
        strict=bool(told),
        boards=places,
        lists=lists,
        time=time,
        refusal=(lambda error: error) if settings.license is None else unlicensed,
        refuse=refuse,
        usage=usage,
    )
    if made.time is not None and settings.license_state is not None:
        # Also where nobody asks for anything; and no request waits for the disk.
        made.withdrawals.on_look(made.time.keep)
    return made


def pushed(
    around: Surroundings,
    withdrawals: Withdrawals,
    places: tuple[Board, ...],
) -> Pushed | None:
    """Return what puts pushed events into force; None where nobody may push any.

    Args:
        around: whose events are received, and where it is told what they withdraw.
        withdrawals: what was withdrawn.
        places: what outlives this process.
    """
    settings = around.settings
    if settings.webhook_receive_secret is None:
        return None
    return Pushed(settings.by_issuer, withdrawals, places, around.bus, around.clock)


def follow_hints(
    keys: Mapping[str, KeyStore],
    standing: Standing,
    arbiter: Arbiter | None,
    refresher: Refresher | None,
) -> None:
    """Have it asked anew where something is said to have changed.

    Args:
        keys: of each issuer.
        standing: has the status lists.
        arbiter: asks license servers, if any are asked.
        refresher: has the installation's license refreshed, if anything does.
    """

    def hinted(hint: Hint) -> None:
        if hint.kind == "rotated":
            if (rotated := keys.get(hint.issuer)) is not None:
                rotated.hasten()
            return
        if (lists := standing.lists.get(hint.issuer)) is not None:
            lists.hasten()
        if arbiter is not None:
            arbiter.resumed(hint.issuer, hint.name)
        if refresher is not None:
            refresher.hasten(hint.issuer, hint.name)

    standing.withdrawals.on_hint(hinted)
