"""One at a time changes a key file: who comes second waits until the first is done.

An advisory lock on a file beside it, `.NAME.lock`, which is gone afterwards. The system drops it
with the process that holds it, however that ends, so that what a crash leaves behind holds up
nobody.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from licet.core.errors import LicetError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

#: Seconds that one waits for another, and between two looks.
PATIENCE, PAUSE = 10.0, 0.02


class BusyError(LicetError):
    """Somebody else is changing the file, for long."""


@contextmanager
def alone(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep others that ask for the same from changing a file.

    Args:
        path: of the file, which need not be there.

    Raises:
        BusyError: somebody else is at it for long.
        OSError: there can be no lock.
    """
    beside = Path(path).with_name(f".{Path(path).name}.lock")
    try:
        descriptor = _taken(beside)
    except FileNotFoundError:
        # Without its directory there is nothing to change: whoever reads it says so.
        yield
        return
    if descriptor is None:
        raise BusyError("somebody else is changing the key file")
    try:
        yield
    finally:
        _give_back(descriptor, beside)


def _taken(path: Path) -> int | None:
    """Return the file that is locked, open; None where another has it for too long."""
    end = time.monotonic() + PATIENCE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if locked(descriptor) and _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= end:
            return None
        time.sleep(PAUSE)


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file is still what others find: its holder removes it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    #: Far behind what may stand in a file, because what is locked cannot be read.
    _PLACE = 1 << 30

    def locked(descriptor: int) -> bool:
        """Lock an open file until it is closed, and return whether nobody else had.

        Raises:
            OSError: there can be no lock.
        """
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _give_back(descriptor: int, path: Path) -> None:
        os.close(descriptor)
        # There it stays while another has it open, who then removes it.
        with suppress(PermissionError, FileNotFoundError):
            path.unlink()

else:

    def locked(descriptor: int) -> bool:
        """Lock an open file until it is closed, and return whether nobody else had.

        Raises:
            OSError: there can be no lock.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _give_back(descriptor: int, path: Path) -> None:
        # While it is locked: behind the lock it is somebody else's.
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)
