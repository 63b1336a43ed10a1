"""What the first start of a license server settles: its issuer, its audience, its salt.

Licenses that are out name the issuer and the audience, and what is sealed needs the salt: a later
start that says otherwise is a mistake, and ends before it does any harm.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from licet.core.errors import LicetError
from licet.issuer.signing import read
from licet.server.configuration import Configuration
from licet.server.errors import ServerError
from licet.server.signing.vault import new_salt


class UnsettledError(ServerError):
    """Something has to be said at the first start, and was not.

    Args:
        name: `issuer` or `audience`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"at the first start there must be an {name}", f"give --{name}, or --dev to try it"
        )
        self.name = name


class Settled(NamedTuple):
    """What stands."""

    issuer: str
    audience: str
    salt: bytes


def settle(connection: sqlite3.Connection, configuration: Configuration) -> Settled:
    """Settle what is not settled yet, and return what is.

    Raises:
        ServerError: something is missing at the first start, or another at a later one.
    """
    issuer = _settled(connection, "issuer", configuration.issuer, lambda: _named(configuration))
    audience = _settled(connection, "audience", configuration.audience)
    salt = _kept(connection, "salt") or _keep(connection, "salt", new_salt().hex())
    return Settled(issuer, audience, bytes.fromhex(salt))


def _settled(
    connection: sqlite3.Connection,
    name: str,
    wanted: str | None,
    otherwise: Callable[[], str | None] = lambda: None,
) -> str:
    kept = _kept(connection, name)
    if kept is None:
        wanted = wanted or otherwise()
        if wanted is None:
            raise UnsettledError(name)
        return _keep(connection, name, wanted)
    if wanted in (None, kept):
        return kept
    if connection.execute("SELECT count(*) FROM signing_keys").fetchone() == (0,):
        # No start has got as far as to sign anything.
        return _keep(connection, name, wanted)
    problem = f"the {name} is {wanted!r}, and what was issued from here says {kept!r}"
    raise ServerError(problem, f"leave --{name} out, or start with another --data")


def _named(configuration: Configuration) -> str | None:
    """Return whose keys are in the key file, None where that cannot be said."""
    try:
        return read(configuration.key_path)[0]
    except (LicetError, OSError):
        # Whoever reads the keys says what is wrong with it.
        return None


def _kept(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _keep(connection: sqlite3.Connection, name: str, value: str) -> str:
    connection.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))
    return value
