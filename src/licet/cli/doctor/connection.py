"""Whether a server can be reached: its name, and its addresses one by one.

The resolver of the operating system cannot be stopped; it is asked in a thread that is not waited
for any longer than it takes.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from licet.cli.doctor.finding import Finding, Kind
from licet.cli.doctor.patience import Patience
from licet.core.settings.values import origin_of

#: Seconds: for the resolver, and for all addresses of one host together.
RESOLVE_WITHIN, CONNECT_WITHIN = 5.0, 5.0

NO_SUCH_HOST = Kind(
    "dns_no_such_host",
    "fault",
    "compare the name to the letter; a new one takes a while to be known everywhere",
)
NO_RESOLVER = Kind(
    "dns_failed", "fault", "see to the name servers that this machine asks (/etc/resolv.conf)"
)
SLOW_RESOLVER = Kind(
    "dns_timeout", "fault", "see to the name servers that this machine asks (/etc/resolv.conf)"
)
REFUSED = Kind(
    "connect_refused",
    "fault",
    "start the server, or correct the port; a firewall may also refuse like that",
)
TIMEOUT = Kind(
    "connect_timeout",
    "fault",
    "have the firewalls on the way let this machine through; Licet uses no proxy",
)
UNREACHABLE = Kind("connect_failed", "fault", "see to the network of this machine and its routes")
SOME = Kind(
    "connect_some_addresses",
    "warning",
    "take the addresses that do not answer out of DNS: each costs time before the next is tried",
)
REACHED = Kind("connection_ok", "ok")


class Place(NamedTuple):
    """Where a server is."""

    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """Its address, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return origin_of(f"{self.scheme}://{host}:{self.port}")


def place_of(url: str) -> Place:
    """Return where an address leads that the settings would take."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Place(parts.scheme, parts.hostname or "", port)


def reach(place: Place, patience: Patience) -> tuple[list[Finding], str | None]:
    """Return what was found, and the first address (IPv4 or IPv6) that takes connections."""
    found = _addresses(place, patience)
    if isinstance(found, Finding):
        return [found], None
    failed: list[tuple[str, OSError]] = []
    taken = None
    within = Patience(patience.left(CONNECT_WITHIN))
    for number, address in enumerate(found):
        try:
            # Each gets its part: the last is tried however long the others take.
            wait = within.left(CONNECT_WITHIN) / (len(found) - number)
            socket.create_connection((address, place.port), wait).close()
        except OSError as error:
            failed.append((address, error))
        else:
            taken = taken or address
    return list(_told(place, taken, failed, len(found))), taken


def _addresses(place: Place, patience: Patience) -> list[str] | Finding:
    answers: SimpleQueue[Any] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=patience.left(RESOLVE_WITHIN))
    except Empty:
        return SLOW_RESOLVER(f"nobody says within {RESOLVE_WITHIN:g} s where {place.host} is")
    if isinstance(answer, list):
        return list(dict.fromkeys(str(each[4][0]) for each in answer))
    if isinstance(answer, UnicodeError) or answer.errno in _UNKNOWN:
        return NO_SUCH_HOST(f"there is no host {place.host}")
    return NO_RESOLVER(f"it cannot be found out where {place.host} is")


_UNKNOWN = frozenset(
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
)


def _told(
    place: Place, taken: str | None, failed: list[tuple[str, OSError]], known: int
) -> Iterator[Finding]:
    if taken is not None:
        yield REACHED(f"it takes connections at {taken}, port {place.port}")
        if failed:
            dead = ", ".join(address for address, _ in failed)
            yield SOME(f"of its {known} addresses {dead} cannot be connected to")
        return
    where = f"{', '.join(address for address, _ in failed)}, port {place.port}"
    errors = [error for _, error in failed]
    if any(isinstance(error, TimeoutError) for error in errors):
        yield TIMEOUT(f"nothing answers at {where}")
    elif any(isinstance(error, ConnectionRefusedError) for error in errors):
        yield REFUSED(f"nobody listens at {where}")
    else:
        yield UNREACHABLE(f"there is no way to {where} ({errors[-1].strerror})")
