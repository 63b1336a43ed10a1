"""The socket that a server listens on, open before anything else: its port is then known."""

from __future__ import annotations

import errno
import ipaddress
import socket

from licet.server.errors import ServerError

#: Connections that may wait to be accepted.
BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; whoever connects is served once a server accepts.

    Args:
        host: an address, IPv4 or IPv6, or a name of this machine.
        port: 0 for a free one.

    Raises:
        ServerError: the port is taken, or the address is none of this machine.
    """
    remedy = "name an address of this machine with --host, such as 127.0.0.1 or ::1"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ServerError(f"{host} is no address ({why})", remedy) from None
    family, _, _, _, address = found[0]
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"port {port} of {host} is in use", "end what uses it, or give another --port"
            ) from None
        if error.errno == errno.EACCES:
            raise ServerError(
                f"port {port} is not for this user", "give --port with a number above 1023"
            ) from None
        raise ServerError(f"{host} cannot be listened on ({error.strerror})", remedy) from None


def is_loopback(listening: socket.socket) -> bool:
    """Say whether only this machine can reach a socket."""
    return ipaddress.ip_address(_host(listening)).is_loopback


def url_of(listening: socket.socket, *, tls: bool) -> str:
    """Return where a socket is reached from this machine, without a slash at the end."""
    host, port = ipaddress.ip_address(_host(listening)), listening.getsockname()[1]
    if host.is_unspecified:
        host = ipaddress.ip_address("127.0.0.1" if host.version == 4 else "::1")
    shown = f"[{host}]" if host.version == 6 else str(host)
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def _host(listening: socket.socket) -> str:
    # What stands behind % is the interface of a link-local address.
    host: str = listening.getsockname()[0]
    return host.partition("%")[0]
