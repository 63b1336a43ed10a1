"""What an installation remembers across restarts, in a directory of its own: `license_state`.

One file, kept as a store is. Each value in it is sealed: one that was damaged counts for nothing,
and one that was made in another place is told of. It is still believed where it narrows or is
verified again, and not where it widens: what was seen elsewhere earns no grace here. Nothing
resists the owner of the machine, who can read how a seal is made; so the key of the seals is no
secret, and nothing that an upgrade may change.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from licet.core.clock import Clock
from licet.core.errors import ConfigError
from licet.core.flow import Effect, Flow
from licet.core.forks import Locked
from licet.core.stores import Key, News, StoreUnavailable, open_store
from licet.core.stores.effects import Decision

if TYPE_CHECKING:
    import sqlite3

    from licet.core.stores.sqlite import SQLiteStore

T = TypeVar("T")

SETTING, FILE = "license_state", "state.db"
#: Tells seals of this kind from any other digest.
_SEAL_KEY = b"licet.installation.state/1"
_MAC, _KEY = 32, 64


class State(Locked):
    """The state of one installation, shared by its processes.

    Args:
        directory: where it is; made if absent, in a directory that exists.
        clock: what values end by.
        troubled: told in one word, once each, that values are `state_damaged` or `state_copied`.

    Raises:
        ConfigError: nothing can be kept there, or others could write there.
    """

    def __init__(self, directory: str, clock: Clock, troubled: Callable[[str], None]) -> None:
        super().__init__()
        self._directory = own_directory(directory)
        self._file = os.path.join(self._directory, FILE)
        self._troubled = troubled
        self._told: set[str] = set()
        try:
            # A path from the root, behind the two slashes that end the scheme.
            rooted = "/" + self._file.replace(os.sep, "/").lstrip("/")
            self._store = cast("SQLiteStore", open_store(f"sqlite://{rooted}", clock))
        except ConfigError as error:
            raise ConfigError(
                SETTING,
                f"has a {FILE} that {error.problem}",
                f"{error.remedy}; or remove it, where what it remembers may be lost",
            ) from None

    def get(self, key: Key) -> Effect[bytes | None]:
        """Return what was announced or put, None where nothing is, or nothing undamaged."""
        return Decision(lambda: self._get(key))

    def own(self, key: Key) -> Effect[bytes | None]:
        """Return what `get` does, None also where it was put in another place and copied here."""
        return Decision(lambda: self._get(key, copied=False))

    def put(self, key: Key, value: bytes, ttl: float) -> Effect[None]:
        """See `Store.put`."""
        return Decision(lambda: self._put(key, value, ttl))

    def announce(self, key: Key, value: bytes, ttl: float) -> Effect[int]:
        """See `Store.announce`."""
        return Decision(lambda: self._announce(key, value, ttl))

    def announced(self, after: int) -> Effect[News]:
        """Return what any process has announced after generation `after`, where undamaged."""
        return Decision(lambda: self._announced(after))

    def change(
        self, key: Key, change: Callable[[bytes | None], bytes], ttl: float
    ) -> Effect[bytes]:
        """Put what is made of what is there, which nobody else changes meanwhile.

        Args:
            key: where it is.
            change: makes it of what was put, None where nothing is, or nothing undamaged.
            ttl: seconds that it is kept.
        """
        return Decision(lambda: self._change(key, change, ttl))

    def delete(self, key: Key) -> Effect[None]:
        """See `Store.delete`."""
        return self._store.delete(key)

    # Each looks at the place first: a connection outlives the file that was taken away under it.

    def _get(self, key: Key, *, copied: bool = True) -> Flow[bytes | None]:
        place = self._place()
        sealed: bytes | None = yield self._store.get(key)
        return None if sealed is None else self._opened(sealed, place, key, copied=copied)

    def _put(self, key: Key, value: bytes, ttl: float) -> Flow[None]:
        yield self._store.put(key, _sealed(key, value, self._place()), ttl)

    def _change(self, key: Key, change: Callable[[bytes | None], bytes], ttl: float) -> Flow[bytes]:
        # Here, because most processes keep no state and need no SQLite.
        from licet.core.stores import statements

        place = self._place()
        # Told behind the transaction: whoever hears of it may want something of this state.
        troubles: list[str] = []

        def work(database: sqlite3.Connection, now: float) -> bytes:
            sealed, tell = statements.get(database, now, key=key), troubles.append
            value = change(None if sealed is None else self._opened(sealed, place, key, tell=tell))
            statements.put(database, now, key=key, value=_sealed(key, value, place), ttl=ttl)
            return value

        changed: bytes = yield self._store.transaction(work)
        for trouble in troubles:
            self._tell(trouble)
        return changed

    def _announce(self, key: Key, value: bytes, ttl: float) -> Flow[int]:
        sealed = _sealed(key, value, self._place())
        generation: int = yield self._store.announce(key, sealed, ttl)
        return generation

    def _announced(self, after: int) -> Flow[News]:
        place = self._place()
        while True:
            news: News = yield self._store.announced(after)
            opened = [self._opened(sealed, place) for sealed in news.values]
            values = tuple(value for value in opened if value is not None)
            if values or not news.values or news.generation <= after:
                return News(news.generation, values)
            # Nothing of this is whole; what comes behind it may be.
            after = news.generation

    # -- seals -----------------------------------------------------------------------------------

    def _opened(
        self,
        sealed: bytes,
        place: bytes,
        key: Key | None = None,
        *,
        copied: bool = True,
        tell: Callable[[str], None] | None = None,
    ) -> bytes | None:
        """Return what was sealed; None where that is not whole, or copied and not wanted then.

        Args:
            sealed: as it was found.
            place: this one.
            key: what it was put under, where that is known.
            copied: whether what was sealed in another place will do.
            tell: hears of what is wrong; whoever hears of it from this state by default.
        """
        tell = tell or self._tell
        of_content, of_place = sealed[:_MAC], sealed[_MAC : 2 * _MAC]
        content = sealed[2 * _MAC :]
        whole = hmac.compare_digest(of_content, _mac(b"content", content))
        if not whole or (key is not None and content[:_KEY] != key.encode()):
            tell("state_damaged")
            return None
        if not hmac.compare_digest(of_place, _mac(place, content)):
            tell("state_copied")
            if not copied:
                return None
        return content[_KEY:]

    def _place(self) -> bytes:
        """Return what a copy does not share with its original.

        Neither a restart changes it nor a new container that mounts the same volume; the path
        and the number of the device may change then.
        """
        try:
            numbers = (os.stat(self._directory).st_ino, os.stat(self._file).st_ino)
        except OSError as error:
            raise StoreUnavailable(f"unreachable:{type(error).__name__}") from None
        return b"place %d %d" % numbers

    def _tell(self, trouble: str) -> None:
        with self.lock:
            if trouble in self._told:
                return
            self._told.add(trouble)
        self._troubled(trouble)


def own_directory(path: str) -> str:
    """Return `path` as an absolute path to a directory that only its owner may write.

    Raises:
        ConfigError: there can be none.
    """
    # Also without a slash at its end, which would have a link followed.
    directory = os.path.abspath(path)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        # The usual case; what it is, is looked at below.
        pass
    except (OSError, ValueError) as error:
        raise ConfigError(
            SETTING,
            f"cannot be made ({type(error).__name__})",
            "name a directory within one that exists and that this process may write",
        ) from None
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(SETTING, "is no directory", "name one, and not through a link")
    if os.name != "nt" and status.st_uid != os.geteuid():
        raise ConfigError(SETTING, "belongs to somebody else", "make it yours, with chown")
    if os.name != "nt" and status.st_mode & 0o022:
        raise ConfigError(
            SETTING, "is a directory that others may write", "make it yours alone, with chmod 700"
        )
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(
            SETTING, "cannot be written", "name a directory that this process may write"
        )
    return directory


def _sealed(key: Key, value: bytes, place: bytes) -> bytes:
    content = key.encode() + value
    return _mac(b"content", content) + _mac(place, content) + content


def _mac(purpose: bytes, content: bytes) -> bytes:
    return hmac.digest(_SEAL_KEY, len(purpose).to_bytes(8) + purpose + content, "sha256")
