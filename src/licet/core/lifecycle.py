"""Where a license stands in its life, by the clock: active, in grace, downgraded, ended.

What follows the end of a license is for licenses that have ended, and for nothing else that may be
wrong with one: signature, conditions, possession and withdrawals count in every stage. Grace is
earned before the end, and no longer than the license itself was issued for; it renews nothing.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

from licet.core.errors import LicenseError, LicenseExpired, LicenseInvalid, LicenseNotActive
from licet.core.token.claims import LATEST

if TYPE_CHECKING:
    from licet.core.grants import Grant, Terms
    from licet.core.token.claims import Claims

#: Seconds for which no license serves after its end, whoever says so.
MAX_GRACE = 90 * 86_400
#: Why a license is refused that was signed at a time that is yet to come.
FROM_THE_FUTURE = "issued_in_the_future"


class Status(Enum):
    """Where a license stands."""

    ACTIVE = "active"
    TRIAL = "trial"
    GRACE = "grace"
    DOWNGRADED = "downgraded"
    UNLICENSED = "unlicensed"


#: The stages that follow the end of a license.
AFTER_END = frozenset((Status.GRACE, Status.DOWNGRADED))


class Sightings(Protocol):
    """What an installation remembers of licenses that held, without waiting."""

    def seen_valid(self, issuer: str, license_id: str) -> float | None:
        """Return when a license was first seen to hold, in wall seconds; None for never."""
        ...


class Stage(Protocol):
    """One stage in the lives of licenses."""

    @property
    def status(self) -> Status:
        """What it is called."""
        ...

    def after(self, grant: Grant, now: float) -> Grant | LicenseError:
        """Return what has become of a license at wall time `now`, when this stage is over."""
        ...

    def grace_until(self, grant: Grant) -> float | None:
        """Return when a license's grace is over, in wall seconds; None where it has none."""
        ...


class Ended:
    """A stage after which nothing comes; also that of no license at all.

    Args:
        error: what is raised of it; `LicenseExpired` by default.
    """

    __slots__ = ("error", "status")

    def __init__(
        self, error: LicenseError | None = None, status: Status = Status.UNLICENSED
    ) -> None:
        self.error, self.status = error, status

    def after(self, grant: Grant, now: float) -> LicenseError:
        """Return why it does not hold."""
        # A new one of the same kind: one exception raised in two threads mixes their traces.
        return LicenseExpired("expired") if self.error is None else self.error.again()

    def grace_until(self, grant: Grant) -> None:
        """Return None: nothing comes after it."""


#: The stage of an active license that has no grace, and of which nothing is left after its end.
PLAIN: Stage = Ended(status=Status.ACTIVE)


class Standpoint(NamedTuple):
    """Where a license stands.

    Attributes:
        stage: in its life.
        terms: what it says may be used in that stage.
        lasts: seconds after its `exp` at which that stage is over.
    """

    stage: Stage
    terms: Terms
    lasts: float


class Course:
    """What licenses go through at one gate: active or trial, then grace, then downgraded, then end.

    Args:
        leeway: how far the clocks of issuer and application may differ, seconds.
        grace_period: seconds of grace for a license that says nothing of it.
        downgraded: what is left of a license after its end and grace; None for nothing.
        ended: what is raised of a license that has ended; `LicenseExpired` by default.
        sightings: knows which licenses were seen to hold before they ended; None where a
            signature that holds is enough.
    """

    def __init__(
        self,
        leeway: float,
        *,
        grace_period: float = 0.0,
        downgraded: Terms | None = None,
        ended: LicenseError | None = None,
        sightings: Sightings | None = None,
    ) -> None:
        self._leeway, self._grace_period = leeway, grace_period
        self._sightings = sightings
        self._downgraded = downgraded
        self._over = Ended(ended)
        self._active, self._trial, self._in_grace, self._left = (
            _OnCourse(status, self)
            for status in (Status.ACTIVE, Status.TRIAL, Status.GRACE, Status.DOWNGRADED)
        )

    def at(self, claims: Claims, terms: Terms, now: float) -> Standpoint:
        """Return where a license stands.

        Args:
            claims: of a license somebody vouched for.
            terms: what it says may be used.
            now: wall time, seconds since the epoch.

        Raises:
            LicenseInvalid: issued in the future.
            LicenseNotActive: `now < nbf - leeway` (RFC 7519, section 4.1.5).
            LicenseExpired: `now >= exp + leeway` (RFC 7519, section 4.1.4), its grace is over, and
                nothing is left of it.
        """
        check_begun(claims, now, self._leeway)
        if now < claims.expires_at + self._leeway:
            stage = self._trial if terms.trial else self._active
            return Standpoint(stage, terms, self._leeway)
        return self._past(claims, terms, now)

    def past(self, claims: Claims, terms: Terms, now: float) -> Standpoint:
        """Return where a license stands of which its issuer says that it has ended.

        The leeway is for clocks that differ, and says nothing against that; but a license may have
        ended in another way than by its time, and after that nothing comes. Else as `at`.
        """
        check_begun(claims, now, self._leeway)
        if now < claims.expires_at - self._leeway:
            raise LicenseExpired("ended_before_its_time")
        return self._past(claims, terms, max(now, claims.expires_at))

    def _past(self, claims: Claims, terms: Terms, now: float) -> Standpoint:
        found = self._after_end(claims, terms, now, was_seen=False)
        if found is None:
            raise LicenseExpired("expired")
        return found

    def after(self, grant: Grant, now: float) -> Grant | LicenseError:
        """Return what has become of a license whose stage is over at wall time `now`."""
        # Whoever was granted something before the end has been seen before it.
        was_seen = grant.since < grant.expires_at
        found = self._after_end(grant, grant.terms, now, was_seen=was_seen)
        return self._over.after(grant, now) if found is None else grant.moved(found)

    def grace(self, claims: Claims | Grant, terms: Terms) -> float:
        """Return the seconds of grace after the `exp` of a license that has earned it."""
        if terms.trial:
            return 0.0
        grace = self._grace_period if terms.grace is None else terms.grace
        return min(grace, claims.expires_at - claims.issued_at, MAX_GRACE)

    def _after_end(
        self, claims: Claims | Grant, terms: Terms, now: float, *, was_seen: bool
    ) -> Standpoint | None:
        grace = self.grace(claims, terms)
        if now < claims.expires_at + grace and (was_seen or self._is_earned(claims)):
            return Standpoint(self._in_grace, terms, grace)
        left = self._downgraded
        if left is None:
            return None
        if terms.conditions is not None:
            left = replace(left, conditions=terms.conditions)
        return Standpoint(self._left, left, inf)

    def _is_earned(self, claims: Claims | Grant) -> bool:
        if self._sightings is None:
            return True
        seen_at = self._sightings.seen_valid(claims.issuer, claims.license_id)
        return seen_at is not None and seen_at < claims.expires_at


class _OnCourse:
    """A stage of a course."""

    __slots__ = ("_course", "status")

    def __init__(self, status: Status, course: Course) -> None:
        self.status, self._course = status, course

    def after(self, grant: Grant, now: float) -> Grant | LicenseError:
        return self._course.after(grant, now)

    def grace_until(self, grant: Grant) -> float | None:
        if self.status is Status.DOWNGRADED:
            return None
        grace = self._course.grace(grant, grant.terms)
        return min(grant.expires_at + grace, LATEST) if grace else None


def check_begun(claims: Claims, now: float, leeway: float) -> None:
    """Hold the beginning of a license against `now`; see `Course.at`."""
    if claims.issued_at > now + leeway:
        raise LicenseInvalid(FROM_THE_FUTURE)
    if now < claims.not_before - leeway:
        raise LicenseNotActive("not_yet_valid")


def check_times(claims: Claims, now: float, leeway: float) -> None:
    """Hold the times of a license against `now`, as if nothing came after its end.

    Args:
        claims: of a license.
        now: wall time, seconds since the epoch.
        leeway: how far the clocks of issuer and application may differ, seconds.

    Raises:
        LicenseInvalid: issued in the future.
        LicenseNotActive: `now < nbf - leeway` (RFC 7519, section 4.1.5).
        LicenseExpired: `now >= exp + leeway` (RFC 7519, section 4.1.4).
    """
    check_begun(claims, now, leeway)
    if now >= claims.expires_at + leeway:
        raise LicenseExpired("expired")
