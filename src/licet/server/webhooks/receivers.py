"""Who wants to hear of what happens: addresses, the events they want, and their secrets.

An address is one that only its owner can be: https, or this very machine. The secret that what is
told is signed by is kept as it is told, or sealed where there is something to seal it with.
"""

from __future__ import annotations

import base64
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from licet.core.errors import LicetError
from licet.core.standard_webhooks import key_of
from licet.server import audit
from licet.server.signing.vault import UnsealError, Vault
from licet.server.storage.database import Database

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
#: Receivers there may be, and characters of an address.
MOST_RECEIVERS, LONGEST = 100, 2048

_PREFIX = "whsec_"


class TooManyReceiversError(LicetError):
    """No further receiver is taken."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """One address that is told.

    Args:
        id: names it.
        url: where it listens; may hold what only its owner should know.
        secret: `whsec_` and base64, known to both.
    """

    id: str
    url: str = field(repr=False)
    secret: str = field(repr=False)


class Receivers:
    """All receivers.

    Args:
        database: where they are kept.
        vault: seals their secrets; None to keep them as they are.
    """

    def __init__(self, database: Database, vault: Vault | None) -> None:
        self._database, self._vault = database, vault

    async def put(
        self, at: float, actor: str, url: str, events: Iterable[str], secret: str | None
    ) -> str:
        """Tell an address from now on; one that is told already may want other events.

        Args:
            at: seconds since the epoch.
            actor: who wants it, for the record.
            url: as `is_address` has it.
            events: of `outbox.EVENTS`.
            secret: as `is_secret` has it; None for the one it has, or a new one.

        Returns:
            Its secret.

        Raises:
            TooManyReceiversError: there are too many already.
            UnsealError: the one it has cannot be read.
            StorageError: it could not be written.
        """
        wanted = " ".join(sorted(set(events)))

        def put(connection: sqlite3.Connection) -> str:
            known = connection.execute(
                "SELECT id, secret FROM webhooks WHERE url = ?", (url,)
            ).fetchone()
            if known is None:
                number = connection.execute("SELECT count(*) FROM webhooks").fetchone()[0]
                if number >= MOST_RECEIVERS:
                    raise TooManyReceiversError(f"There are {MOST_RECEIVERS} receivers already.")
            name = f"wh_{secrets.token_hex(8)}" if known is None else known[0]
            shared = secret or (new_secret() if known is None else self._unsealed(*known))
            connection.execute(
                "INSERT INTO webhooks (id, url, events, secret, created_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET events = excluded.events,"
                " secret = excluded.secret",
                (name, url, wanted, self._sealed(name, shared), at),
            )
            host, told = urlsplit(url).hostname, wanted.split()
            audit.record(connection, at, actor, "webhook.set", name, host=host, events=told)
            return shared

        return await self._database.write(put)

    async def remove(self, at: float, actor: str, name: str, reason: str = "") -> bool:
        """Tell a receiver nothing any longer; return whether there was one.

        Args:
            at: seconds since the epoch.
            actor: who wants it, for the record.
            name: its id.
            reason: why, for the record.

        Raises:
            StorageError: it could not be written.
        """

        def remove(connection: sqlite3.Connection) -> bool:
            if not connection.execute("DELETE FROM webhooks WHERE id = ?", (name,)).rowcount:
                return False
            audit.record(connection, at, actor, "webhook.removed", name, reason=reason)
            return True

        return await self._database.write(remove)

    def find(self, name: str) -> Receiver | None:
        """Return the receiver of an id, None if there is none.

        Raises:
            UnsealError: its secret cannot be read.
        """
        row = self._database.read(
            lambda connection: connection.execute(
                "SELECT url, secret FROM webhooks WHERE id = ?", (name,)
            ).fetchone()
        )
        return None if row is None else Receiver(name, row[0], self._unsealed(name, row[1]))

    def listing(self) -> list[dict[str, Any]]:
        """Return what may be told of the receivers, oldest first; not their secrets."""
        rows = self._database.read(
            lambda connection: connection.execute(
                "SELECT id, url, events, created_at, waiting, problem, failed_at FROM webhooks"
                " ORDER BY created_at, id"
            ).fetchall()
        )
        return [
            {
                "id": name,
                "url": url,
                "events": events.split(),
                "created_at": created_at,
                "waiting": waiting,
                "problem": problem,
                "failed_at": failed_at,
            }
            for name, url, events, created_at, waiting, problem, failed_at in rows
        ]

    def _sealed(self, name: str, secret: str) -> bytes:
        plain = secret.encode()
        return plain if self._vault is None else self._vault.seal(f"webhook:{name}", plain)

    def _unsealed(self, name: str, kept: bytes) -> str:
        # One that was kept before there was a vault.
        if kept.startswith(_PREFIX.encode()):
            return kept.decode()
        if self._vault is None:
            raise UnsealError("the secret of a webhook is sealed, and nothing unseals it")
        return self._vault.unseal(f"webhook:{name}", kept).decode()


def new_secret() -> str:
    """Return a secret of 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def is_secret(secret: str) -> bool:
    """Return whether this is a secret as Standard Webhooks has it: 24 to 64 bytes."""
    if not secret.startswith(_PREFIX):
        return False
    try:
        return 24 <= len(key_of(secret)) <= 64
    except ValueError:
        return False


def is_address(url: str) -> bool:
    """Return whether this is an https address, or an http one of this machine."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > LONGEST:
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or port == 0 or "@" in parts.netloc or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
