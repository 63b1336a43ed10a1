"""The license of an installation: one credential that covers every request of a deployment.

The operator of an installation owns settings, disk and clock; what is found here is judged like
any presented license. A replacement that does not hold never displaces one that does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from licet.core.clock import Clock
from licet.core.errors import (
    ConstraintViolated,
    InstallationUnlicensed,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseNotActive,
    LicenseRejected,
    LicenseRevoked,
    LicenseUnavailable,
)
from licet.core.flow import Flow
from licet.core.grants import Grant
from licet.core.installation.source import LOOK_EVERY, LicenseSource
from licet.core.lifecycle import AFTER_END, FROM_THE_FUTURE, Status

if TYPE_CHECKING:
    from licet.core.installation.refresh import Refresher
    from licet.core.installation.trusted_time import TrustedTime


@dataclass(frozen=True, slots=True)
class _Held:
    grant: Grant
    credential: bytes = field(repr=False)

    @property
    def lateness(self) -> int:
        """How far beyond its end the license is: 0 for not at all."""
        return _LATE.get(self.grant.stage.status, 0)


#: The stages that follow the end of a license, the better one first.
_LATE = {Status.GRACE: 1, Status.DOWNGRADED: 2}


@dataclass(frozen=True, slots=True)
class _Failed:
    error: LicenseError
    credential: bytes = field(repr=False)


class Installation:
    """Keeps the installation's license that was last seen to hold.

    Args:
        source: where the credential stands.
        recall: a remembered grant by credential.
        judge: a remembered grant, or the full verification of a credential.
        time: knows whether the clock can be judged by.
        clock: for trying a failed replacement at most once a second.
        refused: told of every replacement that does not hold.
        refresher: has the license refreshed before it ends; None where nobody can be asked.
    """

    def __init__(
        self,
        source: LicenseSource,
        *,
        recall: Callable[[bytes], Grant | None],
        judge: Callable[[bytes], Flow[Grant]],
        time: TrustedTime,
        clock: Clock,
        refused: Callable[[LicenseError], None],
        refresher: Refresher | None = None,
    ) -> None:
        self._source = source
        self._recall = recall
        self._judge = judge
        self._time = time
        self._clock, self._monotonic = clock, clock.bare()
        self._refused = refused
        self._refresher = refresher
        if refresher is not None:
            refresher.take = self._take
        self._retry_at = -inf
        self._failed: _Failed | None = None
        #: The credential that was last seen to hold.
        self.kept: bytes | None = None

    def recall(self) -> tuple[Grant, bytes] | None:
        """Return the license and its credential where nothing has to be looked at, else None."""
        kept, now = self.kept, self._monotonic()
        if kept is None or now >= self._source.look_at:
            return None
        refresher = self._refresher
        if refresher is not None and now >= refresher.look_at:
            refresher.look()
        grant = self._recall(kept)
        return None if grant is None else (grant, kept)

    def held(self) -> Flow[tuple[Grant, bytes] | None]:
        """Return the installation's license and its credential; None where there never was one.

        Raises:
            InstallationUnlicensed: it does not hold; member `error` says why.
            LicenseUnavailable: undecided.
        """
        self._monotonic = self._clock.bare()
        presented, kept = self._source.read(), self.kept
        if presented is not None or kept is not None:
            yield from self._time.check()
        failed: _Failed | None = None
        if presented is not None and presented != kept:
            now = self._monotonic()
            failed = self._failed
            if kept is None or failed is None or now >= self._retry_at:
                found = yield from self._latest(presented)
                if isinstance(found, _Held) and kept is not None and found.lateness:
                    found = yield from self._unless_later(found, kept)
                if isinstance(found, _Held):
                    self._failed = None
                    return self._serving(found)
                failed = self._failed = found
                self._retry_at = now + LOOK_EVERY
                if kept is not None:
                    self._refused(failed.error)
        if kept is not None:
            found = yield from self._latest(kept)
            if isinstance(found, _Held):
                return self._serving(found)
            # Undecided is not a no, whatever became of the replacement.
            if failed is None or isinstance(found.error, LicenseUnavailable):
                failed = found
        if failed is None:
            return None
        word = _word(failed.error)
        if word in ("expired", "suspended"):
            # Only its issuer can mend that, and may have done so.
            self._have_refreshed(failed.credential, wanting=True)
        raise unlicensed(failed.error)

    def _serving(self, found: _Held) -> tuple[Grant, bytes]:
        self.kept = found.credential
        if not found.lateness:
            self._time.held()
        self._have_refreshed(found.credential, wanting=found.lateness > 0)
        return found.grant, found.credential

    def _have_refreshed(self, credential: bytes, *, wanting: bool = False) -> None:
        refresher = self._refresher
        if refresher is not None:
            refresher.follow(credential, wanting=wanting)
            if self._monotonic() >= refresher.look_at:
                refresher.look()

    def _latest(self, credential: bytes) -> Flow[_Held | _Failed]:
        """Judge a credential and what its license was refreshed to; the later that holds wins."""
        failures: list[_Failed] = []
        candidates: tuple[bytes, ...] = (credential,)
        if self._refresher is not None:
            try:
                candidates = yield from self._refresher.renewals.candidates(credential)
            except LicenseUnavailable as error:
                failures.append(_Failed(error.again(), credential))
        best: _Held | None = None
        for each in candidates:
            try:
                found = _Held((yield from self._judged(each)), each)
            except LicenseError as error:
                # Kept without its trace, whose frames hold the credential.
                failures.append(_Failed(error.again(), each))
                continue
            if not found.lateness:
                return found
            if best is None or found.lateness < best.lateness:
                best = found
        if best is not None:
            return best
        undecided = [each for each in failures if isinstance(each.error, LicenseUnavailable)]
        return (undecided or failures)[0]

    def _unless_later(self, found: _Held, kept: bytes) -> Flow[_Held | _Failed]:
        """Return a replacement, or why it does not displace what is kept."""
        current = yield from self._latest(kept)
        if isinstance(current, _Held) and current.lateness < found.lateness:
            return _Failed(LicenseExpired("expired"), found.credential)
        return found

    def _take(self, credential: bytes) -> Flow[None]:
        """Put a refreshed token into force, if nothing stands against it.

        Raises:
            LicenseError: something does.
        """
        grant = yield from self._judged(credential)
        if grant.stage.status in AFTER_END:
            raise LicenseExpired("expired")
        self.kept = credential

    def missing(self) -> InstallationUnlicensed:
        """Return the answer for an installation without any license."""
        trouble = self._source.trouble
        return InstallationUnlicensed.because("missing", trouble and f"missing:{trouble}")

    def _judged(self, credential: bytes) -> Flow[Grant]:
        grant = yield from self._judge(credential)
        conditions = grant.terms.conditions
        if conditions is not None and conditions.binding is not None:
            # Nobody presents this license, so nobody can prove to be its holder.
            raise LicenseInvalid("bound")
        if grant.verified_by == "local":
            self._time.confirm(grant.issued_at)
        return grant


def unlicensed(error: LicenseError) -> LicenseError:
    """Return the answer for an installation whose license failed with `error`."""
    decided = LicenseUnavailable | ConstraintViolated | InstallationUnlicensed
    if isinstance(error, decided) or error.status in (400, 429):
        return error.again()
    return InstallationUnlicensed.because(_word(error), error.reason)


def _word(error: LicenseError) -> str:
    if isinstance(error, LicenseExpired):
        return "expired"
    if isinstance(error, LicenseNotActive):
        return "not_active"
    if isinstance(error, LicenseRevoked):
        return "suspended" if error.code == "license_suspended" else "revoked"
    if isinstance(error, LicenseRejected):
        return "rejected"
    # The signature holds: it is the clock that is behind.
    return "clock" if error.reason == FROM_THE_FUTURE else "invalid"
