"""Files that are replaced whole or not at all, by ones that only their owner may write."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

#: Where there is a difference, bytes are written as they are.
_BINARY = getattr(os, "O_BINARY", 0)


def replace(path: str | os.PathLike[str], content: bytes, mode: int = 0o600) -> None:
    """Put a new file in the place of an old one or of none.

    Args:
        path: of the file. What stands there is replaced, never followed: also a link.
        content: all of it.
        mode: of the file, less the umask, from its first moment: before a later chmod, others
            could open it.

    Raises:
        OSError: it cannot be written, or not be made to outlive a crash.
    """
    directory, name = os.path.split(os.path.abspath(path))
    fresh = os.path.join(directory, f".{name}.{secrets.token_hex(8)}")
    # A file of its own, and never through a link that somebody has put there.
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
    if os.name == "posix":
        # The name too: a new key that a crash loses voids every license it has signed.
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
