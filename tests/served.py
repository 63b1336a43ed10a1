"""`licensed_app` on a real server, a process of its own, and a client that shows certificates.

The socket is open before the server runs: no port is chosen before it is taken, and a client may
connect at once and is served when the server is ready. If the server ends, nobody listens.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import trustme

ROOT = Path(__file__).parent.parent
#: Vouches for servers; and the one that servers ask about clients.
SERVERS, CLIENTS = trustme.CA(), trustme.CA()
#: Variables by which a user steers servers of their own.
_FOREIGN = ("FORWARDED_", "GUNICORN_", "LICET_", "UVICORN_", "WEB_")


def certificate(who: str, ca: trustme.CA = CLIENTS) -> trustme.LeafCert:
    """Return a client's certificate and its key."""
    return ca.issue_cert(f"{who}@client.example")


def pem(one: trustme.LeafCert) -> str:
    """Return a certificate in PEM."""
    return one.cert_chain_pems[0].bytes().decode()


def server_files(directory: Path) -> tuple[Path, Path, Path]:
    """Write a server's certificate for 127.0.0.1, its key, and who vouches for clients."""
    server = SERVERS.issue_cert("127.0.0.1")
    files = directory / "server.pem", directory / "server.key", directory / "clients.pem"
    server.cert_chain_pems[0].write_to_path(str(files[0]))
    server.private_key_pem.write_to_path(str(files[1]))
    CLIENTS.cert_pem.write_to_path(str(files[2]))
    return files


@contextmanager
def running(
    arguments: Sequence[str],
    options: Mapping[str, Any],
    path: Path | None = None,
    *,
    directory: Path = ROOT,
) -> Iterator[str]:
    """Run `python -m` with `arguments`, in which `{fd}` stands for the listening socket.

    Args:
        arguments: a server's module and its command line.
        options: of Licet.
        path: of a unix socket to listen on, instead of a port of 127.0.0.1.
        directory: where it is run.

    Returns:
        where it listens, as nginx writes it: `127.0.0.1:8000` or `unix:/path`.
    """
    if path is None:
        listening = socket.create_server(("127.0.0.1", 0))
        where = "127.0.0.1:{1}".format(*listening.getsockname())
    else:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        where = f"unix:{path}"
    with listening:
        fd = listening.fileno()
        kept = {name: text for name, text in os.environ.items() if not name.startswith(_FOREIGN)}
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=fd) for part in arguments)],
            cwd=directory,
            env={**kept, "LICENSED_APP": json.dumps(options), "PYTHONPATH": _paths()},
            pass_fds=[fd],
        )
    with ended(process):
        yield where


def _paths() -> str:
    """Return where modules are found, this directory's too, from whichever a server is run in."""
    found = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(ROOT), *(str(Path(each).resolve()) for each in found if each)])


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process, by its id, when the block ends."""
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait(10)


def ask(
    url: str,
    token: str,
    *fields: tuple[str, str],
    source: str = "127.0.0.1",
    shown: trustme.LeafCert | None = None,
) -> str:
    """Present a license and return the answer: `licensed`, or the status and code of a refusal.

    Args:
        url: what to ask for.
        token: the license.
        fields: more header fields.
        source: the address to come from.
        shown: the certificate to show where the server asks for one.
    """
    transport = httpx.HTTPTransport(verify=_context(shown), local_address=source)
    with httpx.Client(transport=transport, timeout=30, trust_env=False) as client:
        answer = client.get(url, headers=[("X-License-Token", token), *fields])
    if answer.status_code == 200:
        return answer.text
    if answer.headers.get("Content-Type") != "application/problem+json":
        return f"{answer.status_code} of another"
    return f"{answer.status_code} {answer.json()['code']}"


@lru_cache(maxsize=16)
def _context(shown: trustme.LeafCert | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    SERVERS.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return context
