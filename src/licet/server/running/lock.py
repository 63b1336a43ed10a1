"""Keeps a second process off the data of a running server.

The lock belongs to the process and not to the file, so that none is left behind by one that was
killed. The file stays, because whoever removed it could let two processes lock one name each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from licet.issuer import lock
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
            is_ours = lock.locked(descriptor)
        except OSError as error:
            raise ServerError(f"{data} cannot be locked ({error.strerror})", remedy) from None
        if not is_ours:
            holder = (data / NAME).read_text("ascii", "replace").strip()
            raise ServerError(
                f"a license server runs on {data} already (process {holder or 'unknown'})",
                "end that one first, or give this one another --data",
            )
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
