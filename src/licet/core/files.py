"""Files that are replaced whole or not at all, and that nobody but their owner may read."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress


def replace(path: str, content: bytes) -> None:
    """Put a new file, 0600, in the place of an old one or of none.

    Args:
        path: of the file. What stands there is replaced, never followed: also a link.
        content: all of it.

    Raises:
        OSError: nothing was changed.
    """
    directory, name = os.path.split(os.path.abspath(path))
    # 0600, and never through a link that somebody has put there.
    handle, fresh = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
