"""What a page may tell its users of the license: how long it lasts, and what is nearly used up.

For people, and for nothing else: it asks no store and decides nothing. How much is used is what
this process saw when it last counted; of what others counted since it does not know. All values are
the license's, and text: templates escape them like any other.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from licet.core.entitlements.entitlements import UNLIMITED, Entitlements
from licet.core.lifecycle import Status

#: Percent of a limit from which on there is something to tell.
NEARLY = 80
_DAY = 86_400


class Used(NamedTuple):
    """A limit that is nearly used up.

    Attributes:
        limit: its name, as in the license.
        percent: how much is used; 100 where nothing is left.
    """

    limit: str
    percent: int


class Banner(NamedTuple):
    """What there is to tell of a license.

    Attributes:
        status: where it stands, as in `Status`: `active`, `trial`, `grace`, `downgraded`, or
            `unlicensed`.
        days_left: until it ends or, in grace, until that is over: begun days count; None where it
            has ended, or there is none.
        nearly_used: limits of which four fifths are used, or more.
    """

    status: str
    days_left: int | None = None
    nearly_used: tuple[Used, ...] = ()

    @property
    def in_grace(self) -> bool:
        """Whether the license has ended and serves still."""
        return self.status == Status.GRACE.value

    @property
    def on_trial(self) -> bool:
        """Whether it is a license to try."""
        return self.status == Status.TRIAL.value


def banner(entitlements: Entitlements | None) -> Banner:
    """Return what there is to tell of the license of a request; None is a request without one."""
    status = Status.UNLICENSED if entitlements is None else entitlements.status
    if entitlements is None or status is Status.UNLICENSED:
        return Banner(Status.UNLICENSED.value)
    ends = entitlements.grace_until if status is Status.GRACE else entitlements.expires_at
    days: int | None = None
    if ends is not None:
        left = ends.timestamp() - entitlements.grant.wall()
        # Between its end and that of the leeway there is no day left, and the license serves.
        days = None if status is Status.DOWNGRADED else max(0, ceil(left / _DAY))
    return Banner(status.value, days, _nearly_used(entitlements))


def _nearly_used(entitlements: Entitlements) -> tuple[Used, ...]:
    grant = entitlements.grant
    ledger = grant.standing.usage
    if ledger is None:
        return ()
    found = []
    for name, maximum in grant.terms.limits.items():
        used = ledger.latest.used(grant.issuer, grant.license_id, name)
        if used is None or maximum == UNLIMITED:
            continue
        percent = min(100 * used // maximum, 100) if maximum else 100
        if percent >= NEARLY:
            found.append(Used(name, percent))
    return tuple(found)
