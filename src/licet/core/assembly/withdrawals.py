"""Who may withdraw a license, and where it is remembered beyond this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from licet.core.assembly.surroundings import Surroundings
from licet.core.events.event import Event
from licet.core.installation.license import unlicensed
from licet.core.installation.state import State
from licet.core.keys.keystore import KeyStore
from licet.core.revocation.lists import StatusDocument, StatusLists
from licet.core.revocation.pushed import Pushed
from licet.core.revocation.standing import Standing
from licet.core.revocation.statements import Board, Hint
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import open_store
from licet.core.tally import Tally
from licet.core.transport import Transport

if TYPE_CHECKING:
    from licet.core.installation.refresh import Refresher
    from licet.core.online.arbiter import Arbiter


def state(around: Surroundings) -> State | None:
    """Return what this installation remembers across restarts; None where it has no place.

    Raises:
        ConfigError: nothing can be kept there.
    """
    directory = around.settings.license_state
    if directory is None or around.settings.mode == "off":
        return None

    def troubled(kind: str) -> None:
        around.bus.emit(Event("license.suspicious_activity", {"kind": kind}))

    return State(str(directory), around.clock, troubled)


def tally(around: Surroundings) -> Tally:
    """Return what counts refusals that are let pass."""
    settings = around.settings
    shared = settings.mode == "report" and not around.store.startswith("memory:")
    whose = sorted(f"{name} {one.audiences}" for name, one in settings.by_issuer.items())
    store = partial(open_store, around.store, around.clock) if shared else None
    return Tally(store, whose, around.clock)


def boards(around: Surroundings, state: State | None) -> tuple[Board, ...]:
    """Return where it is kept, beyond this process, what was said of licenses.

    Raises:
        ConfigError: the store cannot be used.
    """
    kept: tuple[Board, ...] = () if state is None else (state,)
    # What is kept in memory this process knows in any case.
    if around.store.startswith("memory:"):
        return kept
    return (*kept, open_store(around.store, around.clock))


def standing(
    around: Surroundings,
    keys: Mapping[str, KeyStore],
    transport: Transport,
    places: tuple[Board, ...],
    forget: Callable[[bytes], None],
) -> Standing:
    """Return what knows whether licenses were withdrawn.

    Args:
        around: who may say so, and where that is told.
        keys: of each issuer.
        transport: what fetches status lists.
        places: what outlives this process.
        forget: has the gate forget what it granted to a credential, by its digest.
    """
    settings, clock, bus, _ = around
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
            document=partial(
                StatusDocument,
                issuer=issuer,
                keys=keys[issuer],
                transport=transport,
                clock=clock,
                bus=bus,
                max_stale=settings.status_max_stale,
                changed=made.changed,
            ),
            http_hosts=settings.insecure_http_hosts,
        )
        for issuer, one in settings.by_issuer.items()
        # Who never fetches keys fetches nothing else.
        if one.jwks_url is not None
    }
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
