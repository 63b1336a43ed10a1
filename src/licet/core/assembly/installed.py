"""What keeps the license of an installation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from licet.core.assembly.surroundings import Surroundings
from licet.core.errors import LicenseError
from licet.core.events.event import Event
from licet.core.flow import Flow
from licet.core.grants import Grant
from licet.core.installation.license import Installation
from licet.core.installation.refresh import Refresher
from licet.core.installation.renewals import Renewals
from licet.core.installation.sightings import Sighted
from licet.core.installation.source import LicenseSource
from licet.core.installation.state import State
from licet.core.installation.trusted_time import TrustedTime
from licet.core.revocation.standing import Changed
from licet.core.revocation.sticky import Withdrawals
from licet.core.transport import Transport

if TYPE_CHECKING:
    from licet.core.judge import Judge


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


def refresher(
    around: Surroundings,
    state: State | None,
    judge: Judge,
    withdrawals: Withdrawals,
) -> Refresher | None:
    """Return what keeps the installation's license from ending; None where nothing is kept.

    Args:
        around: who is asked, if anybody.
        state: what the installation remembers.
        judge: verifies what comes.
        withdrawals: what was said of licenses, and what other processes tell.
    """
    settings, clock = around.settings, around.clock
    if state is None or settings.license is None:
        return None
    made = Refresher(
        settings.refresh_url,
        state,
        Renewals(state, judge, clock),
        judge=judge,
        withdrawals=withdrawals,
        transport=Transport(around.tls),
        clock=clock,
        bus=around.bus,
    )
    withdrawals.listen(made.heard)
    # Also where nobody asks for anything until the license has ended.
    withdrawals.on_look(made.look)
    return made


def sighted(around: Surroundings, state: State | None) -> Sighted | None:
    """Return what knows which licenses held before they ended; None where that is not kept.

    Args:
        around: whether there is an installation's license.
        state: what the installation remembers.
    """
    if state is None or around.settings.license is None:
        return None
    return Sighted(state, around.clock)


def trusted_time(around: Surroundings, state: State | None, changed: Changed) -> TrustedTime | None:
    """Return what knows whether the clock can be judged by; None where requests bring licenses.

    Args:
        around: whether there is an installation's license, and whom doubts are told.
        state: what the installation remembers.
        changed: told when it begins or ends that no license holds by the clock.
    """
    if around.settings.license is None or around.settings.mode == "off":
        return None

    def suspicious(reason: str, difference: int) -> None:
        around.bus.emit(Event("clock.suspicious", {"reason": reason, "difference": difference}))

    return TrustedTime(around.clock, state, suspicious, changed)


def installation(
    around: Surroundings,
    *,
    recall: Callable[[bytes], Grant | None],
    judge: Callable[[bytes], Flow[Grant]],
    time: TrustedTime | None,
    refused: Callable[[LicenseError], None],
    refresher: Refresher | None,
) -> Installation | None:
    """Return what keeps the license of an installation; None where requests bring theirs.

    Args:
        around: where it is.
        recall: a remembered grant by credential.
        judge: a remembered grant, or the full verification of a credential.
        time: knows whether the clock can be judged by.
        refused: told of every replacement that does not hold.
        refresher: has it refreshed before it ends.
    """
    if around.settings.license is None or time is None:
        return None
    return Installation(
        LicenseSource(around.settings.license, around.clock),
        recall=recall,
        judge=judge,
        time=time,
        clock=around.clock,
        refused=refused,
        refresher=refresher,
    )
