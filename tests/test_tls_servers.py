"""Servers that speak TLS themselves: which say what certificate a client has shown, and binding."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import trustme

from licet.possession import certificate_thumbprint
from tests.licenses import OPTIONS, license_token
from tests.served import ask, certificate, pem, running, server_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="servers take over open sockets")

HOLDER, OTHER = certificate("holder"), certificate("other")
BOUND = license_token(cnf={"x5t#S256": certificate_thumbprint(pem(HOLDER))})

_GUNICORN = (
    "gunicorn tests.licensed_app:wsgi --bind fd://{{fd}} --config python:licet.cli.demo.gunicorn"
    " --certfile {server} --keyfile {key} --ca-certs {clients} --cert-reqs 1"
)
#: Servers that show the certificate of a connection, by the socket.
TELLING = {"sync": _GUNICORN, "gthread": _GUNICORN + " --worker-class gthread --threads 2"}
#: Servers that ask for a certificate, verify it, and say nothing of it.
SILENT = {
    "uvicorn": (
        "uvicorn tests.licensed_app:asgi --fd {{fd}} --ssl-certfile {server} --ssl-keyfile {key}"
        " --ssl-ca-certs {clients} --ssl-cert-reqs 1"
    ),
    "hypercorn": (
        "hypercorn tests.licensed_app:asgi --bind fd://{{fd}} --certfile {server} --keyfile {key}"
        " --ca-certs {clients} --verify-mode CERT_OPTIONAL"
    ),
}


@contextmanager
def serving(command: str, place: str, directory: Path) -> Iterator[str]:
    """Serve over TLS, asking clients for a certificate; yield the URL."""
    server, key, clients = server_files(directory)
    arguments = command.format(server=server, key=key, clients=clients).split()
    with running(arguments, {**OPTIONS, "client_certificate": place}) as where:
        yield f"https://{where}/"


@pytest.mark.row("O01", adapter="wsgi")
@pytest.mark.parametrize("worker", TELLING)
def test_gunicorn_binds_to_the_certificate_of_the_connection(worker: str, tmp_path: Path) -> None:
    """The holder is let through; another's certificate or none refuses, also beside a field."""
    with serving(TELLING[worker], "wsgi:gunicorn.socket", tmp_path) as url:
        assert ask(url, BOUND, shown=HOLDER) == "licensed"
        assert ask(url, BOUND, shown=OTHER) == "401 pop_invalid"
        assert ask(url, BOUND) == "401 pop_required"
        assert ask(url, license_token()) == "licensed"
        written = ("Client-Cert", ":" + "".join(pem(HOLDER).split("\n")[1:-2]) + ":")
        twin = ("gunicorn.socket", quote(pem(HOLDER)))
        assert ask(url, BOUND, written, twin) == "401 pop_required"
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            ask(url, BOUND, shown=certificate("holder", trustme.CA()))


@pytest.mark.row("O01", adapter="asgi")
@pytest.mark.parametrize("server", SILENT)
def test_a_server_that_does_not_tell_lets_no_bound_license_through(
    server: str, tmp_path: Path
) -> None:
    """Not even its holder's: what nobody vouches for is no certificate. Others are not touched."""
    with serving(SILENT[server], "asgi", tmp_path) as url:
        assert ask(url, BOUND, shown=HOLDER) == "401 pop_required"
        assert ask(url, license_token(), shown=HOLDER) == "licensed"
