"""The keys that sign: which there are, which of them signs now, and how that changes.

The newest key signs; all that are not retired are published. A key file, where there is one, is the
truth about which keys there are, the database about which are retired: a new key is in the file
before anything knows it, a retired one stays retired whichever copy of the file comes back. What a
crash leaves half done is done, and recorded, at the next start or change.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Any, NoReturn

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.errors import LicetError
from licet.issuer import Issuer
from licet.issuer.signer import MOST_KEYS
from licet.issuer.signing import SigningKey
from licet.server import audit
from licet.server.errors import ServerError
from licet.server.signing.places import KeysUnavailableError, Place
from licet.server.storage.database import Database
from licet.server.webhooks import outbox

logger = logging.getLogger("licet")

_Keys = tuple[SigningKey, ...]


class NoSuchKeyError(LicetError):
    """No key of this server has, or had, that id."""


class KeyInUseError(LicetError):
    """That would leave nothing to sign with, or more keys than gates read."""


class _Issuer(Issuer):
    """An issuer whose caller is somewhere else: it is the answer that has the size."""

    def _oversize(self, size: int) -> None:
        # Not as a warning of this process, which may make errors of them.
        logger.warning("a license of %d bytes was signed, more than gates accept by default", size)


class SigningKeys:
    """The keys of one issuer.

    Args:
        name: of the issuer, the `iss` of its licenses.
        algorithm: of the first key.
        place: where private keys are.
        database: where it stands which keys there are.
        clock: by which they are made and retired, and licenses signed.

    Raises:
        ServerError: there is nothing to sign with, and making a new key would void what was signed.
    """

    def __init__(
        self,
        name: str,
        algorithm: str,
        place: Place,
        database: Database,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._name, self._place, self._database, self._clock = name, place, database, clock
        try:
            self._change(lambda connection: self._begin(connection, algorithm))
        except ValueError as error:
            raise ServerError("no signing key was made", str(error)) from None

    @property
    def issuer(self) -> Issuer:
        """The issuer as it signs and publishes now."""
        return self._issuer

    def rotate(self, *, algorithm: str | None = None, actor: str = audit.SERVER) -> str:
        """Sign with a new key; the others stay published. It blocks until that is on disk.

        Args:
            algorithm: of the new key; that of the present one where not given.
            actor: who wants it, for the record.

        Returns:
            The id of the new key.

        Raises:
            ValueError: there is no such algorithm.
            KeyInUseError: gates would not read so many keys.
            KeysUnavailableError: the key file cannot be used.
            StorageError: the database does not take it.
        """
        key = SigningKey.generate(self._algorithm if algorithm is None else algorithm)

        def rotate(connection: sqlite3.Connection) -> _Keys:
            keys = (*self._current(connection), key)
            if len(keys) > MOST_KEYS:
                problem = f"{MOST_KEYS} keys are published, all that gates read"
                raise KeyInUseError(f"{problem}: retire one")
            self._place.put(keys)
            self._enter(connection, key, actor)
            return keys

        self._change(rotate)
        return key.kid

    def retire(self, kid: str, *, actor: str = audit.SERVER) -> None:
        """Publish a key no longer; one that is retired stays so. It blocks until that is on disk.

        Raises:
            NoSuchKeyError: there was never such a key.
            KeyInUseError: it is the key that signs.
            KeysUnavailableError: the key file cannot be used.
            StorageError: the database does not take it.
        """

        def retire(connection: sqlite3.Connection) -> _Keys:
            keys = self._current(connection)
            if kid == keys[-1].kid:
                raise KeyInUseError("this key signs: rotate first, then retire it")
            if kid not in _retired(connection):
                raise NoSuchKeyError("there is no such key")
            if any(key.kid == kid for key in keys):
                self._retire(connection, kid, actor)
            return tuple(key for key in keys if key.kid != kid)

        self._change(retire)
        # The other way round, a retirement that the disk refuses would have lost the key.
        self._tidy()

    def check(self) -> None:
        """See whether the key that signs is still where private keys are.

        Raises:
            KeysUnavailableError: it is not.
        """
        keys = self._database.read(self._place.read)
        if self._issuer.kid not in [key.kid for key in keys]:
            raise KeysUnavailableError("the key that signs is gone", self._place.remedy)

    def listing(self) -> list[dict[str, Any]]:
        """Return all keys there ever were, oldest first, and how many licenses need each."""
        now, signing = self._clock.wall(), self._issuer.kid

        def read(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            current = dict(
                connection.execute(
                    "SELECT kid, count(*) FROM licenses"
                    " WHERE state <> 'revoked' AND ends_at > ? GROUP BY kid",
                    (now,),
                )
            )
            rows = connection.execute(
                "SELECT kid, algorithm, created_at, retired_at FROM signing_keys ORDER BY position"
            )
            return [
                {
                    "kid": kid,
                    "alg": algorithm,
                    "created_at": created,
                    "signing": kid == signing,
                    "retired_at": retired,
                    "licenses": current.get(kid, 0),
                }
                for kid, algorithm, created, retired in rows
            ]

        return self._database.read(read)

    def _change(self, act: Callable[[sqlite3.Connection], _Keys]) -> None:
        # The database takes one change after the other, and each is in force before it is told.
        with self._place.alone():
            self._database.write_now(act, then=self._take_over)

    def _take_over(self, keys: _Keys) -> None:
        self._algorithm = keys[-1].algorithm
        self._issuer = _Issuer(self._name, keys, clock=self._clock)

    def _begin(self, connection: sqlite3.Connection, algorithm: str) -> _Keys:
        """Return the keys to start with: those there are, or else a new one."""
        (elsewhere,) = connection.execute(
            "SELECT count(*) FROM signing_keys WHERE retired_at IS NULL AND (sealed IS NULL) = ?",
            (self._place.sealed,),
        ).fetchone()
        if elsewhere:
            there = "in a key file" if self._place.sealed else "sealed in the database"
            remedy = "start it with these: keys are not moved from one place to another"
            raise KeysUnavailableError(f"the private keys are {there}", remedy)
        keys = self._current(connection)
        if not keys:
            keys = (SigningKey.generate(algorithm),)
            self._place.put(keys)
            self._enter(connection, keys[0], audit.SERVER)
        return keys

    def _current(self, connection: sqlite3.Connection) -> _Keys:
        """Return the keys that are not retired, and record what has changed behind our back."""
        kept, retired = self._place.read(connection), _retired(connection)
        keys = tuple(key for key in kept if not retired.get(key.kid, False))
        if retired and not keys:
            # No new ones: that would void every license.
            problem = "the private keys that licenses were signed with are gone"
            raise KeysUnavailableError(problem, self._place.remedy)
        for key in keys:
            if key.kid not in retired:
                self._enter(connection, key, audit.SERVER)
        for kid in retired.keys() - {key.kid for key in kept}:
            if not retired[kid]:
                logger.warning("signing key gone from its file, thus retired: kid=%s", kid)
                self._retire(connection, kid, audit.SERVER)
        return keys

    def _enter(self, connection: sqlite3.Connection, key: SigningKey, actor: str) -> None:
        now = self._clock.wall()
        connection.execute(
            "INSERT INTO signing_keys (kid, algorithm, sealed, created_at) VALUES (?, ?, ?, ?)",
            (key.kid, key.algorithm, self._place.seal(key), now),
        )
        audit.record(connection, now, actor, "keys.rotated", key.kid, alg=key.algorithm)
        outbox.tell(connection, now, "keys.rotated", None, self._name)

    def _retire(self, connection: sqlite3.Connection, kid: str, actor: str) -> None:
        now = self._clock.wall()
        connection.execute(
            "UPDATE signing_keys SET retired_at = ?, sealed = NULL WHERE kid = ?", (now, kid)
        )
        audit.record(connection, now, actor, "keys.retired", kid)
        # A key that is gone is news as well.
        outbox.tell(connection, now, "keys.rotated", None, self._name)

    def _tidy(self) -> None:
        """Let the place forget what is retired; that is done already where it counts."""
        try:
            with self._place.alone():
                self._database.write_now(
                    lambda connection: self._place.put(self._current(connection))
                )
        except LicetError as error:
            logger.warning("a retired key is still in its file: %s", error)

    def __reduce__(self) -> NoReturn:
        raise TypeError("SigningKeys hold private keys and are neither copied nor pickled")


def _retired(connection: sqlite3.Connection) -> dict[str, bool]:
    """Return of each key there ever was whether it is retired."""
    rows = connection.execute("SELECT kid, retired_at IS NOT NULL FROM signing_keys")
    return {kid: bool(retired) for kid, retired in rows}
