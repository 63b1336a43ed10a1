"""Where private keys are kept: in a file of their own, or in the database under a vault.

Decides how a key is put away and found again, not which key signs. It trusts the file, which nobody
else may use, or the vault. Nothing of a key gets into an error.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from licet.issuer import lock, signing
from licet.issuer.signing import KeyFileError, SigningKey
from licet.server.errors import ServerError
from licet.server.signing.vault import UnsealError, Vault

logger = logging.getLogger("licet")

_FILE = "name a key file of this issuer, in a directory that this user may write, with --key-file"
_SEALED = "give the passphrase, or the file that unlocks them, of the start before"


class KeysUnavailableError(ServerError):
    """The private keys cannot be read, or not be written."""


class Place(Protocol):
    """Where the private keys of one issuer are."""

    #: Whether that is the database, and what to do where it is not found there.
    sealed: bool
    remedy: str

    def alone(self) -> AbstractContextManager[None]:
        """Keep others from changing the keys between reading and putting them.

        Raises:
            KeysUnavailableError: somebody is at it for long.
        """

    def read(self, connection: sqlite3.Connection) -> list[SigningKey]:
        """Return all keys, oldest first; none where none was ever put away.

        Raises:
            KeysUnavailableError: they are there and cannot be read.
        """

    def put(self, keys: Sequence[SigningKey]) -> None:
        """Put these keys, and no others, where a crash does not take them, before one signs.

        Raises:
            KeysUnavailableError: they cannot be written.
        """

    def seal(self, key: SigningKey) -> bytes | None:
        """Return what the database is to hold of a key, None for nothing."""


class KeyFile:
    """A file as `Issuer.save` writes it.

    Args:
        path: of the file.
        issuer: whose keys they are.
    """

    sealed, remedy = False, _FILE

    def __init__(self, path: Path, issuer: str) -> None:
        self.path, self._issuer = path, issuer

    @contextmanager
    def alone(self) -> Iterator[None]:
        # `licet keygen` may change the file while the server runs.
        with ExitStack() as held:
            try:
                held.enter_context(lock.alone(self.path))
            except lock.BusyError as error:
                raise KeysUnavailableError(str(error), "try again when that has ended") from None
            except OSError:
                # Where no lock can be written no key file can: it may still be read, at a start.
                logger.debug("no lock beside the key file")
            yield

    def read(self, connection: sqlite3.Connection) -> list[SigningKey]:
        try:
            issuer, keys = signing.read(self.path)
        except FileNotFoundError:
            return []
        except KeyFileError as error:
            raise KeysUnavailableError(str(error), _FILE) from None
        except OSError as error:
            problem = f"{self.path} cannot be read ({error.strerror})"
            raise KeysUnavailableError(problem, _FILE) from None
        if issuer != self._issuer:
            raise KeysUnavailableError(f"{self.path} holds the keys of {issuer}", _FILE)
        return keys

    def put(self, keys: Sequence[SigningKey]) -> None:
        try:
            signing.write(self.path, self._issuer, keys)
        except OSError as error:
            problem = f"{self.path} cannot be written ({error.strerror})"
            raise KeysUnavailableError(problem, _FILE) from None

    def seal(self, key: SigningKey) -> None:
        return None


class SealedKeys:
    """The database itself: whoever has a copy of it has no key.

    Args:
        vault: what they are sealed by.
    """

    sealed, remedy = True, _SEALED

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def alone(self) -> AbstractContextManager[None]:
        # The database has one writer.
        return nullcontext()

    def read(self, connection: sqlite3.Connection) -> list[SigningKey]:
        rows = connection.execute(
            "SELECT kid, sealed FROM signing_keys WHERE retired_at IS NULL ORDER BY position"
        )
        return [self._unseal(kid, sealed) for kid, sealed in rows]

    def put(self, keys: Sequence[SigningKey]) -> None:
        # They come and go with their rows.
        return

    def seal(self, key: SigningKey) -> bytes:
        return self._vault.seal(_name(key.kid), json.dumps(key.private_jwk()).encode())

    def _unseal(self, kid: str, sealed: bytes) -> SigningKey:
        try:
            key = SigningKey.from_jwk(json.loads(self._vault.unseal(_name(kid), sealed)))
        except UnsealError:
            problem = "the private keys are sealed under something else, or damaged"
            raise KeysUnavailableError(problem, _SEALED) from None
        except Exception:
            # Without its cause, whose message may quote a private key.
            raise KeysUnavailableError("a private key is damaged", _SEALED) from None
        return key


def _name(kid: str) -> str:
    return f"signing key {kid}"
