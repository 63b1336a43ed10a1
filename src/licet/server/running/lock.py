"""Keeps a second process off the data of a running server.

The lock belongs to the process and not to the file, so that none is left behind by one that was
killed. The file stays, because whoever removed it could let two processes lock one name each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from licet.server.errors import ServerError

NAME = "lock"


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Hold the lock of a data directory, which is made, 0700, where it is not there.

    Args:
        data: the directory.

    Raises:
        ServerError: another process holds it, or the directory cannot be used.
    """
    remedy = "name a directory that this user may write, with --data"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ServerError(f"{data} cannot be used ({error.strerror})", remedy) from None
    try:
        try:
            _lock(descriptor)
        except BlockingIOError:
            holder = (data / NAME).read_text("ascii", "replace").strip()
            raise ServerError(
                f"a license server runs on {data} already (process {holder or 'unknown'})",
                "end that one first, or give this one another --data",
            ) from None
        except OSError as error:
            raise ServerError(f"{data} cannot be locked ({error.strerror})", remedy) from None
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    #: Far behind the process id, because what is locked cannot be read.
    _PLACE = 1 << 30

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
