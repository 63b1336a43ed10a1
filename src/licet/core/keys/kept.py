"""The last confirmed key set of one issuer, kept in a file across restarts.

Who may write this file may say which keys are believed, so only a plain file is read that nobody
else may touch (0600, no link). It makes nothing younger than it was: the wall time at which the
set was confirmed goes with it. Thumbprints of keys seen withdrawn go with it as well, so that no
older source brings them back. A file that cannot be used, or not be written, is told of and never
an error: the issuer is asked, as if there were none.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from licet.core import files
from licet.core.keys.jwk import VerifyKey, thumbprint
from licet.core.token import strictjson

#: Bytes of the file: a hundred keys of the longest kind, their names, and what was withdrawn.
MAX_FILE = 512 * 1024
#: Withdrawn keys remembered; the oldest gives way. What could bring one back holds a hundred.
MAX_WITHDRAWN = 1_000
#: Seconds that a file may be from the future, for clocks that are set right after a start.
AHEAD = 300.0


#: The kernel follows no link, though one comes behind a look at the name; no pipe is waited for.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class _Unusable(Exception):
    """Why the file is not believed, in one word; never leaves this module."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file says.

    Args:
        confirmed: wall time, in seconds since the epoch, at which this was the current set.
        lifetime: seconds that it was good for then.
        jwks: the set (RFC 7517, section 5): public members of the keys that were usable.
        withdrawn: thumbprints (RFC 7638) of keys that were in the set once; oldest first.
    """

    confirmed: float
    lifetime: float
    jwks: Mapping[str, Any]
    withdrawn: tuple[str, ...]

    @property
    def thumbprints(self) -> list[str]:
        """Those of the keys in the set."""
        return [thumbprint(jwk) for jwk in self.jwks["keys"]]


class SnapshotFile:
    """Where the set of one issuer is kept.

    Args:
        path: of the file; its directory must exist, and be writable by us alone.
        issuer: whose keys they are; a file of another issuer is not believed.
        troubled: told in one word when the file cannot be used or written.
    """

    def __init__(self, path: str, issuer: str, troubled: Callable[[str], None]) -> None:
        self._path, self._issuer, self._troubled = path, issuer, troubled
        self._written: float | None = None

    def read(self, wall: float) -> Kept | None:
        """Return what was kept, None if nothing was or it cannot be believed; never raises.

        Args:
            wall: now, in seconds since the epoch; a file from after that is not believed.
        """
        try:
            return self._read(wall)
        except FileNotFoundError:
            return None
        except _Unusable as unusable:
            self._troubled(str(unusable))
        except OSError as error:
            self._troubled(f"unreadable:{type(error).__name__}")
        except (ValueError, KeyError, TypeError):
            self._troubled("damaged")
        return None

    def write(
        self,
        keys: Collection[VerifyKey],
        *,
        confirmed: float,
        lifetime: float,
        withdrawn: Iterable[str],
        wall: float,
    ) -> None:
        """Keep a set in place of an older one; never raises.

        Args:
            keys: the keys of the set.
            confirmed: wall time, in seconds since the epoch, at which it was the current one.
            lifetime: seconds that it was good for then.
            withdrawn: thumbprints of keys seen withdrawn; what the file knows is added.
            wall: now, in seconds since the epoch.
        """
        if confirmed == self._written:
            return
        try:
            before = self._before(wall)
            if before is not None and confirmed < before.confirmed <= wall:
                # Another worker has seen a newer set; ours would bring withdrawn keys back.
                return
            # A key that goes by two names, or serves two algorithms, is published twice.
            published = {(key.kid, key.jwk.get("alg")): dict(key.jwk) for key in keys}
            present = {key.thumbprint for key in keys}
            # This process may have begun without what another has seen.
            known = [*before.withdrawn, *before.thumbprints] if before is not None else []
            gone = [one for one in dict.fromkeys([*known, *withdrawn]) if one not in present]
            document = {
                "issuer": self._issuer,
                "confirmed": confirmed,
                "lifetime": lifetime,
                "keys": list(published.values()),
                "withdrawn": gone[-MAX_WITHDRAWN:],
            }
            files.replace(self._path, json.dumps(document, indent=1).encode())
            self._written = confirmed
        except OSError as error:
            self._troubled(f"unwritable:{type(error).__name__}")

    def _before(self, wall: float) -> Kept | None:
        """Return what the file says now; one that is not to be believed just gives way."""
        with suppress(_Unusable, OSError, ValueError, KeyError, TypeError):
            return self._read(wall)
        return None

    def _read(self, wall: float) -> Kept:
        document = strictjson.loads(_content(self._path))
        if document["issuer"] != self._issuer:
            raise _Unusable("foreign")
        confirmed, lifetime = _number(document["confirmed"]), _number(document["lifetime"])
        withdrawn = document["withdrawn"]
        if not isinstance(withdrawn, list) or not all(isinstance(one, str) for one in withdrawn):
            raise ValueError
        if confirmed > wall + AHEAD:
            raise _Unusable("from_the_future")
        kept = Kept(confirmed, lifetime, {"keys": document["keys"]}, tuple(withdrawn))
        if not kept.thumbprints:
            raise ValueError
        return kept


def _content(path: str) -> bytes:
    """Return what the file holds, if it is one that nobody else may touch."""
    if os.path.islink(path):
        raise _Unusable("link")
    handle = os.open(path, _FLAGS)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _Unusable("not_a_file")
        if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid != os.geteuid()):
            raise _Unusable("permissions")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(MAX_FILE + 1)
    finally:
        os.close(handle)
    if len(content) > MAX_FILE:
        raise _Unusable("too_large")
    return content


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ValueError
    return float(value)
