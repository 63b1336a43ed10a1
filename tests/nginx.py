"""A real nginx on loopback, set up as the README says, ended by its process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.served import ended, server_files

#: nginx, None where it is not installed. Debian keeps it where only root's PATH leads.
BINARY = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))

#: What the README tells users to write.
LOCATION = """\
location / {
    proxy_pass http://application;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Forwarded "";
    proxy_set_header X-Region $region;
    proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
    proxy_set_header X-SSL-Client-Verify $ssl_client_verify;
}
"""

_CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
pid {directory}/pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    upstream application {{ server {upstream}; }}
    geo $region {{ default ""; {regions} }}
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_client_certificate {clients};
    server {{ listen {plain}; {location} }}
    server {{ listen {tls} ssl; ssl_verify_client optional; {location} }}
    server {{ listen {lax} ssl; ssl_verify_client optional_no_ca; {location} }}
}}
"""


class Nginx(NamedTuple):
    """The URLs of one nginx.

    Args:
        plain: over HTTP.
        tls: over TLS; a client may show a certificate, which nginx verifies.
        lax: the same, but nginx passes on certificates it could not verify, and says so.
    """

    plain: str
    tls: str
    lax: str


@contextmanager
def nginx(upstream: str, regions: Mapping[str, str]) -> Iterator[Nginx]:
    """Run one in front of an application.

    Args:
        upstream: where the application listens, `127.0.0.1:8000` or `unix:/path`.
        regions: of the clients, by address.
    """
    assert BINARY
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="licet-nginx-")))
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in Nginx._fields]
        listening = ["127.0.0.1:{1}".format(*one.getsockname()) for one in sockets]
        certificate, key, clients = server_files(directory)
        configuration = directory / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                user=_user(),
                upstream=upstream,
                regions=" ".join(f"{address} {code};" for address, code in regions.items()),
                certificate=certificate,
                key=key,
                clients=clients,
                location=LOCATION,
                **dict(zip(Nginx._fields, listening, strict=True)),
            )
        )
        # It takes over sockets that are open already, as when its own binary is upgraded.
        fds = [one.fileno() for one in sockets]
        process = subprocess.Popen(
            [BINARY, "-p", directory, "-c", configuration],
            env={**os.environ, "NGINX": "".join(f"{fd};" for fd in fds)},
            pass_fds=fds,
        )
        for one in sockets:
            one.close()
        stack.enter_context(ended(process))
        yield Nginx(*map("{}://{}".format, ("http", "https", "https"), listening))


def _user() -> str:
    """Return what makes workers of root's nginx this user's, who owns the application's socket."""
    import grp
    import pwd

    if os.geteuid():
        return ""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name};"
