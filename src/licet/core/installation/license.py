"""The license of an installation: one credential that covers every request of a deployment.

The operator of an installation owns settings, disk and clock; what is found here is judged like
any presented license. A replacement that does not hold never displaces one that does.
"""

from __future__ import annotations

import os
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
from licet.core.lifecycle import AFTER_END, Status

if TYPE_CHECKING:
    from licet.core.installation.refresh import Refresher

#: Seconds between two looks at the file, and between two tries of a replacement that failed.
LOOK_EVERY = 1.0
#: Far above any license; a wrong path must not be read into memory whole.
MAX_FILE = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look found: swapped whole, because threads may look at the same time."""

    text: bytes | None = field(default=None, repr=False)
    stamp: tuple[int, ...] | None = None
    trouble: str | None = None


class LicenseSource:
    """Where the credential stands: text, `file:PATH` or `env:NAME`.

    Args:
        setting: the value of the setting `license`.
        clock: for looking at a file at most once a second.
    """

    def __init__(self, setting: str, clock: Clock) -> None:
        self._kind, _, self._place = setting.partition(":")
        self._clock = clock
        self._seen = _Seen()
        #: Monotonic seconds of the next look.
        self.look_at = -inf
        if self._kind not in ("file", "env"):
            self._seen, self.look_at = _Seen(_stripped(setting.encode())), inf

    @property
    def trouble(self) -> str | None:
        """What kept the file from being read at the last look, for the log."""
        return self._seen.trouble

    def read(self) -> bytes | None:
        """Return the credential as it stands now, None where there is none."""
        now = self._clock.monotonic()
        if now >= self.look_at:
            if self.look_at > -inf:
                # One thread looks and the others serve what is known; at first nothing is.
                self.look_at = now + LOOK_EVERY
            self._seen = self._look_at_file() if self._kind == "file" else self._look_at_variable()
            self.look_at = now + LOOK_EVERY
        return self._seen.text

    def _look_at_variable(self) -> _Seen:
        return _Seen(_stripped(os.fsencode(os.environ.get(self._place, ""))))

    def _look_at_file(self) -> _Seen:
        try:
            # Follows links: mounted secrets are swapped by replacing one.
            status = os.stat(self._place)
            stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp == self._seen.stamp:
                return self._seen
            with open(self._place, "rb") as file:
                return _Seen(_stripped(file.read(MAX_FILE)), stamp)
        except OSError as error:
            return _Seen(trouble=type(error).__name__)


def _stripped(text: bytes) -> bytes | None:
    return text.strip() or None


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
        clock: Clock,
        refused: Callable[[LicenseError], None],
        refresher: Refresher | None = None,
    ) -> None:
        self._source = source
        self._recall = recall
        self._judge = judge
        self._monotonic = clock.monotonic
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
        presented, kept = self._source.read(), self.kept
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
        return grant


def unlicensed(error: LicenseError) -> LicenseError:
    """Return the answer for an installation whose license failed with `error`."""
    if isinstance(error, LicenseUnavailable | ConstraintViolated) or error.status in (400, 429):
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
    return "invalid"
