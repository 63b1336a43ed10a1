"""Cases: a server that cannot be reached, and what the environment says about it."""

from __future__ import annotations

import socket
import threading
from typing import Any

from tests.commands import Said
from tests.core.loopback import Loopback
from tests.doctor.table import shows
from tests.doctor.ward import JWKS, Ward, good, served

#: No resolver is asked for it: a label has at most 63 octets (RFC 1035, section 2.3.4).
NOWHERE = f"https://{'a' * 64}.invalid{JWKS}"


def closed() -> str:
    """Return an address at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}{JWKS}"


@shows("connection_ok")
def reached(ward: Ward) -> Said:
    return ward.visit(ward.serve(served()))


@shows("dns_no_such_host")
def nowhere(ward: Ward) -> Said:
    return ward.visit(NOWHERE)


@shows("dns_failed")
def no_resolver(ward: Ward) -> Said:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    # Which name servers a machine asks is not a test's to change.
    ward.patch.setattr("licet.cli.doctor.connection.socket.getaddrinfo", fail)
    return ward.visit(f"https://licenses.acme.example{JWKS}")


@shows("dns_timeout")
def slow_resolver(ward: Ward) -> Said:
    over = threading.Event()
    ward.stack.callback(over.set)
    ward.patch.setattr("licet.cli.doctor.connection.RESOLVE_WITHIN", 0.05)
    ward.patch.setattr(
        "licet.cli.doctor.connection.socket.getaddrinfo", lambda *_, **__: over.wait(20)
    )
    return ward.visit(f"https://licenses.acme.example{JWKS}")


@shows("connect_refused")
def refused(ward: Ward) -> Said:
    return ward.visit(closed())


@shows("connect_timeout")
def silent(ward: Ward) -> Said:
    """Linux answers nobody more once so many wait to be accepted."""
    full = ward.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    address = full.getsockname()
    ward.stack.enter_context(socket.create_connection(address))
    ward.patch.setattr("licet.cli.doctor.connection.CONNECT_WITHIN", 0.2)
    return ward.visit(f"http://127.0.0.1:{address[1]}{JWKS}")


@shows("connect_failed")
def unreachable(ward: Ward) -> Said:
    """No connection leads to the broadcast address of the loopback network."""
    return ward.visit(f"http://127.255.255.255:9{JWKS}")


@shows("connect_some_addresses")
def one_of_two(ward: Ward) -> Said:
    port = ward.plain.port
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in ("127.0.0.2", "127.0.0.1")
    ]
    url = ward.serve(served()).replace("127.0.0.1", "localhost")
    ask = socket.getaddrinfo

    def find(host: str, *options: Any, **more: Any) -> Any:
        return both if host == "localhost" else ask(host, *options, **more)

    # What a machine knows of its own names is not a test's to change either.
    ward.patch.setattr("licet.cli.doctor.connection.socket.getaddrinfo", find)
    return ward.visit(url)


@shows("unreached")
def behind_a_fault(ward: Ward) -> Said:
    return ward.visit(closed())


@shows("out_of_time")
def late(ward: Ward) -> Said:
    ward.patch.setattr("licet.cli.doctor.patience.WHOLE", 0.0)
    return ward.visit(ward.serve(served()))


@shows("url_not_https")
def plain_http(ward: Ward) -> Said:
    """Any address of this machine will do that is none of the loopback network."""
    server = ward.stack.enter_context(Loopback(good))
    return ward.visit(f"http://0.0.0.0:{server.port}{JWKS}")


@shows("environment_proxy")
def behind_a_proxy(ward: Ward) -> Said:
    ward.patch.setenv("HTTPS_PROXY", "http://user:CANARY@proxy.example:3128")
    return ward.visit(closed())
