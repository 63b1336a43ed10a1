"""A real application behind a real nginx: what strangers write is not believed, its word is.

nginx listens on 127.0.0.1 and is set up as the README says. Clients come from other addresses of
the loopback network, so that it sees who they are.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
import trustme

from licet.possession import certificate_thumbprint
from tests.licenses import OPTIONS, license_token
from tests.nginx import BINARY, Nginx, nginx
from tests.served import ask, certificate, pem, running

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="clients of many loopback addresses"),
    pytest.mark.skipif(BINARY is None, reason="nginx is not installed"),
]

UVICORN = "uvicorn tests.licensed_app:asgi --fd {fd} --no-proxy-headers"
GUNICORN = (
    "gunicorn tests.licensed_app:wsgi --bind fd://{fd} --config python:licet.cli.demo.gunicorn"
)

#: A customer, a stranger, somebody of whom nginx knows no region, and a proxy in front of nginx.
CUSTOMER, STRANGER, NOBODY, FRONT = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9"
#: What clients are asked for, where licenses name a domain.
HOST = ("Host", "reports.example")
HOLDER, OTHER = certificate("holder"), certificate("other")

IN_NETWORK = license_token(ip_ranges=[f"{CUSTOMER}/32"])
ON_DOMAIN = license_token(domains=["reports.example"])
IN_GERMANY = license_token(regions=["DE"])
BOUND = license_token(cnf={"x5t#S256": certificate_thumbprint(pem(HOLDER))})

#: The ways in which a stranger says to be the customer.
AS_CUSTOMER: list[list[tuple[str, str]]] = [
    [("X-Forwarded-For", CUSTOMER)],
    [("X-Forwarded-For", f"{CUSTOMER}, {FRONT}")],
    [("X-Forwarded-For", ", ".join([CUSTOMER] * 100))],
    [("X-Forwarded-For", f"127.0.0.1, , {CUSTOMER} ,")],
    [("X-Forwarded-For", CUSTOMER), ("X-Forwarded-For", FRONT)],
    [("X_Forwarded_For", CUSTOMER)],
    [("Forwarded", f"for={CUSTOMER}")],
    [("X-Real-IP", CUSTOMER), ("X-Client-IP", CUSTOMER), ("True-Client-IP", CUSTOMER)],
]
#: What stands in front of somebody's address and is none: it is never reached.
GARBAGE = [
    "unknown",
    "_hidden",
    "127.0.0.2:80",
    '"127.0.0.2"',
    "[::1]",
    "127.2",
    "for=1.2.3.4",
    ",",
]
#: The ways in which a stranger says to have been asked for the licensed domain.
AS_HOST = [
    ("X-Forwarded-Host", HOST[1]),
    ("X_Forwarded_Host", HOST[1]),
    ("Forwarded", f"host={HOST[1]}"),
    ("X-Original-Host", HOST[1]),
    ("X-Host", HOST[1]),
]
#: The ways in which a stranger shows the holder's certificate, which is no secret.
AS_HOLDER: list[list[tuple[str, str]]] = [
    [("X-SSL-Client-Cert", quote(pem(HOLDER))), ("X-SSL-Client-Verify", "SUCCESS")],
    [("X_SSL_Client_Cert", quote(pem(HOLDER))), ("X_SSL_Client_Verify", "SUCCESS")],
    [("Client-Cert", ":" + "".join(pem(HOLDER).split("\n")[1:-2]) + ":")],
    [("X-Forwarded-Client-Cert", f'Cert="{quote(pem(HOLDER))}"')],
]


def settings(*trusted: str) -> dict[str, Any]:
    """Return the options of Licet behind proxies."""
    return {
        **OPTIONS,
        "trusted_proxies": trusted,
        "region_header": "X-Region",
        "client_certificate": "header:X-SSL-Client-Cert",
    }


@pytest.fixture(scope="class", name="front")
def _front(request: pytest.FixtureRequest, transport: str) -> Iterator[Nginx]:
    """nginx, which reaches the application by `transport`."""
    with ExitStack() as stack:
        path = None
        if transport == "unix":
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "socket"
        trusted = request.cls.trusted[transport]
        where = stack.enter_context(running(request.cls.server, settings(*trusted), path))
        yield stack.enter_context(nginx(where, {CUSTOMER: "DE-BY", STRANGER: "FR"}))


#: How nginx reaches the application.
transports = partial(pytest.mark.parametrize, "transport", scope="class")


class BehindNginx:
    """What holds behind nginx in each protocol."""

    #: The server's module and command line.
    server: ClassVar[Sequence[str]]
    #: Whom it is told to trust, where it listens on TCP and where on a unix socket.
    trusted: ClassVar[dict[str, list[str]]] = {
        "tcp": ["127.0.0.1/32", f"{FRONT}/32"],
        "unix": ["unix", f"{FRONT}/32"],
    }

    @pytest.mark.row("M01")
    def test_the_client_is_whom_nginx_saw(self, front: Nginx) -> None:
        """The customer's address is let through, another is not, whatever it says of itself."""
        url = front.plain
        assert ask(url, IN_NETWORK, source=CUSTOMER) == "licensed"
        for fields in [[], *AS_CUSTOMER]:
            assert ask(url, IN_NETWORK, *fields, source=STRANGER) == "403 license_ip", fields
        for garbage in [*GARBAGE, STRANGER]:
            forwarded = ("X-Forwarded-For", garbage)
            assert ask(url, IN_NETWORK, forwarded, source=CUSTOMER) == "licensed", garbage

    @pytest.mark.row("M01", "M04")
    def test_a_trusted_proxy_in_front_of_nginx_counts(self, front: Nginx) -> None:
        """Its word is the last of all lines; where it is no address, nobody knows the client."""
        for said, answer in {
            (CUSTOMER,): "licensed",
            (STRANGER,): "403 license_ip",
            (f"{STRANGER}, {CUSTOMER}",): "licensed",
            (f"{CUSTOMER}, {STRANGER}",): "403 license_ip",
            (STRANGER, CUSTOMER): "licensed",
            (CUSTOMER, STRANGER): "403 license_ip",
            (f"{CUSTOMER}, unknown",): "403 license_ip",
            (f"{CUSTOMER}, 127.2",): "403 license_ip",
        }.items():
            fields = [("X-Forwarded-For", line) for line in said]
            assert ask(front.plain, IN_NETWORK, *fields, source=FRONT) == answer, said

    @pytest.mark.row("L11")
    def test_the_host_is_what_nginx_was_asked_for(self, front: Nginx) -> None:
        """The licensed domain is let through, another is not, whatever else a client names."""
        url, evil = front.plain, ("Host", "evil.example")
        assert ask(url, ON_DOMAIN, HOST) == "licensed"
        assert ask(url, ON_DOMAIN, evil) == "403 license_domain"
        for field in AS_HOST:
            assert ask(url, ON_DOMAIN, evil, field) == "403 license_domain", field
            other = (field[0], field[1].replace("reports", "evil"))
            assert ask(url, ON_DOMAIN, HOST, other) == "licensed", field

    def test_the_region_is_what_nginx_says(self, front: Nginx) -> None:
        """Where it says nothing the region is unknown; a client's field never takes its place."""
        url = front.plain
        assert ask(url, IN_GERMANY, ("X-Region", "FR"), source=CUSTOMER) == "licensed"
        for source in STRANGER, NOBODY:
            for fields in [], [("X-Region", "DE")], [("X_Region", "DE")], [("X-Region", "DE")] * 2:
                assert ask(url, IN_GERMANY, *fields, source=source) == "403 license_region", fields

    @pytest.mark.row("O01")
    def test_a_certificate_shown_to_nginx_binds(self, front: Nginx) -> None:
        """Its holder is let through, another certificate's holder is not, nor is nobody."""
        url = front.tls
        assert ask(url, BOUND, shown=HOLDER) == "licensed"
        assert ask(url, BOUND, shown=OTHER) == "401 pop_invalid"
        assert ask(url, BOUND) == "401 pop_required"
        assert ask(url, license_token(), shown=OTHER) == "licensed"

    @pytest.mark.row("O02")
    def test_a_certificate_that_was_only_written_down_is_none(self, front: Nginx) -> None:
        """In no field of the client's, over HTTP and over TLS, beside another one and alone."""
        for fields in AS_HOLDER:
            for url in front.plain, front.tls:
                assert ask(url, BOUND, *fields) == "401 pop_required", fields
            assert ask(front.tls, BOUND, *fields, shown=OTHER) == "401 pop_invalid", fields

    @pytest.mark.row("O07")
    def test_a_certificate_that_nginx_could_not_verify_is_refused(self, front: Nginx) -> None:
        """Also where nginx was told to pass it on, and the license is bound to that very one."""
        stranger = certificate("holder", trustme.CA())
        bound = license_token(cnf={"x5t#S256": certificate_thumbprint(pem(stranger))})
        assert ask(front.tls, bound, shown=stranger) == "400 of another"
        assert ask(front.lax, bound, shown=stranger) == "401 pop_invalid"
        verified = ("X-SSL-Client-Verify", "SUCCESS")
        assert ask(front.lax, bound, verified, shown=stranger) == "401 pop_invalid"

    def test_https_is_what_nginx_spoke(self, front: Nginx) -> None:
        """With `require_https`: not what the client says, and nginx being near excuses nothing."""
        assert ask(front.tls + "/secure", license_token()) == "licensed"
        for fields in [], [("X-Forwarded-Proto", "https")], [("Forwarded", "proto=https")]:
            answer = ask(front.plain + "/secure", license_token(), *fields)
            assert answer == "400 https_required", fields


@transports(["tcp", "unix"])
class TestUvicorn(BehindNginx):
    """ASGI; the server leaves client and scheme alone."""

    adapter = "asgi"
    server = UVICORN.split()


@transports(["tcp", "unix"])
class TestGunicorn(BehindNginx):
    """WSGI."""

    adapter = "wsgi"
    server = GUNICORN.split()


@transports(["tcp"])
class TestServerResolves(BehindNginx):
    """ASGI; the server itself resolves client and scheme, as uvicorn does by default.

    Behind a unix socket it does not, or takes the client's own word.
    """

    adapter = "asgi"
    server = (
        "uvicorn tests.licensed_app:asgi --fd {fd} --forwarded-allow-ips 127.0.0.1,127.0.0.9"
    ).split()
    trusted: ClassVar[dict[str, list[str]]] = {"tcp": ["server"]}


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(UVICORN, marks=pytest.mark.row("L11", "O02", adapter="asgi"), id="uvicorn"),
        pytest.param(GUNICORN, marks=pytest.mark.row("L11", "O02", adapter="wsgi"), id="gunicorn"),
    ],
)
def test_who_goes_around_nginx_is_not_believed(server: str) -> None:
    """What nginx would say counts for nothing from a peer that is no trusted proxy."""
    fields = [
        ("X-Forwarded-For", CUSTOMER),
        ("X-Forwarded-Host", HOST[1]),
        ("X-Region", "DE"),
        *AS_HOLDER[0],
    ]
    with running(server.split(), settings("127.0.0.1/32")) as where:
        for token, answer in {
            IN_NETWORK: "403 license_ip",
            ON_DOMAIN: "403 license_domain",
            IN_GERMANY: "403 license_region",
            BOUND: "401 pop_required",
        }.items():
            assert ask(f"http://{where}", token, *fields, source=STRANGER) == answer
            assert ask(f"http://{where}", token, *fields, source="127.0.0.1") == "licensed"
