"""The license of an installation: one credential that covers every request of a deployment.

The operator of an installation owns settings, disk and clock; what is found here is judged like
any presented license. A replacement that does not hold never displaces one that does.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from licet.core.clock import Clock
from licet.core.errors import (
    InstallationUnlicensed,
    LicenseError,
    LicenseExpired,
    LicenseNotActive,
    LicenseRejected,
    LicenseRevoked,
    LicenseUnavailable,
)
from licet.core.flow import Flow
from licet.core.grants import Grant

#: Seconds between two looks at the file, and between two tries of a replacement that failed.
LOOK_EVERY = 1.0
#: Far above any license; a wrong path must not be read into memory whole.
MAX_FILE = 128 * 1024


class LicenseSource:
    """Where the credential stands: text, `file:PATH` or `env:NAME`.

    Args:
        setting: the value of the setting `license`.
        clock: for looking at a file at most once a second.
    """

    def __init__(self, setting: str, clock: Clock) -> None:
        kind, _, rest = setting.partition(":")
        self._path = rest if kind == "file" else None
        self._variable = rest if kind == "env" else None
        self._clock = clock
        self._stamp: tuple[int, ...] | None = None
        self._text = None if self._path or self._variable else _stripped(setting.encode())
        #: Monotonic seconds of the next look.
        self.look_at = float("inf") if self._text else 0.0

    def read(self) -> bytes | None:
        """Return the credential as it stands now, None where there is none."""
        now = self._clock.monotonic()
        if now >= self.look_at:
            self.look_at = now + LOOK_EVERY
            if self._variable is not None:
                self._text = _stripped(os.fsencode(os.environ.get(self._variable, "")))
            elif self._path is not None:
                self._read_file(self._path)
        return self._text

    def _read_file(self, path: str) -> None:
        try:
            # Follows links: mounted secrets are swapped by replacing one.
            status = os.stat(path)
            stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp == self._stamp:
                return
            with open(path, "rb") as file:
                self._text = _stripped(file.read(MAX_FILE))
            self._stamp = stamp
        except OSError:
            self._text, self._stamp = None, None


def _stripped(text: bytes) -> bytes | None:
    return text.strip() or None


class Installation:
    """Keeps the installation's license that was last seen to hold.

    Args:
        source: where the credential stands.
        recall: a remembered grant by credential.
        judge: the full verification of a credential.
        clock: for trying a failed replacement at most once a second.
        refused: told of every replacement that does not hold.
    """

    def __init__(
        self,
        source: LicenseSource,
        *,
        recall: Callable[[bytes], Grant | None],
        judge: Callable[[bytes], Flow[Grant]],
        clock: Clock,
        refused: Callable[[LicenseError], None],
    ) -> None:
        self._source = source
        self._recall = recall
        self._judge = judge
        self._clock = clock
        self._refused = refused
        self._retry_at = 0.0
        #: The credential that was last seen to hold.
        self.kept: bytes | None = None

    def recall(self) -> Grant | None:
        """Return the grant where nothing has to be looked at, else None."""
        kept = self.kept
        if kept is None or self._clock.monotonic() >= self._source.look_at:
            return None
        return self._recall(kept)

    def grant(self) -> Flow[Grant]:
        """Return the grant of the installation's license.

        Raises:
            InstallationUnlicensed: it does not hold; member `error` says why.
            LicenseUnavailable: undecided.
        """
        presented, kept = self._source.read(), self.kept
        failure: LicenseError | None = None
        if presented is not None and presented != kept:
            now = self._clock.monotonic()
            if kept is None or now >= self._retry_at:
                try:
                    grant = yield from self._judged(presented)
                except LicenseError as error:
                    failure = error
                    self._retry_at = now + LOOK_EVERY
                else:
                    self.kept = presented
                    return grant
        if kept is None:
            raise unlicensed(failure)
        if failure is not None:
            self._refused(failure)
        try:
            return (yield from self._judged(kept))
        except LicenseError as error:
            raise unlicensed(failure or error) from None

    def _judged(self, credential: bytes) -> Flow[Grant]:
        return self._recall(credential) or (yield from self._judge(credential))


def unlicensed(error: LicenseError | None) -> LicenseError:
    """Return the answer for an installation whose license failed with `error`."""
    if error is None:
        return InstallationUnlicensed("missing", members={"error": "missing"})
    if isinstance(error, LicenseUnavailable) or error.status in (400, 429):
        return error
    return InstallationUnlicensed(error.reason, members={"error": _word(error)})


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
