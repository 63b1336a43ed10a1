"""A license server in a process of its own, which signs its answers and counts its questions.

`python -m tests.benchmarks.license_server [CERTIFICATE KEY CLIENTS]` is the server: it prints its
port and its keys. To each line of its input, which says how it answers from now on, it prints what
it has counted since then. With files it speaks TLS, and wants clients' certificates. License
keys say by their second word what it answers: `bound` ones have a license that names its domains,
`unknown` ones none, and all others one that holds wherever the server says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from licet import Settings
from licet.core.token import base64url
from tests.benchmarks.child import Child
from tests.benchmarks.material import AUDIENCE, ISSUER, Signer, claims, settings

KEYS = r"lic_[a-z]+_[0-9]+"
DOMAINS = ["reports.acme.example", "*.acme.example"]
#: Seconds that an answer holds; longer than a benchmark.
CACHE_FOR = 86_400


@dataclass(frozen=True)
class Counted:
    """What a server has counted.

    Args:
        questions: all that was asked.
        greatest: the greatest number of questions at once.
        connections: that were made to it.
    """

    questions: int
    greatest: int
    connections: int


class LicenseServer:
    """The server, as this process knows it.

    Args:
        stack: ends it.
        tls: the files of its certificate, its key, and who vouches for clients.
        options: more settings of who asks it.
    """

    def __init__(self, stack: ExitStack, tls: tuple[Path, ...] = (), **options: Any) -> None:
        self._server = Child(stack, "license_server", *tls)
        said = json.loads(self._server.hear())
        scheme = "https" if tls else "http"
        self._options = {
            "validation_url": f"{scheme}://127.0.0.1:{said['port']}/v1/licenses/validate",
            "validation_jwks": said["jwks"],
            "license_key_pattern": KEYS,
            **options,
        }

    def answers_after(self, latency: float) -> Counted:
        """Have it answer so many seconds after each question; return what it has counted."""
        self._server.say(str(latency))
        return Counted(**json.loads(self._server.hear()))

    def settings(self, **options: Any) -> Settings:
        """Return settings that ask it, and that verify the tokens of this run without a network.

        Args:
            options: more of them. Where one differs, the gate is another.
        """
        return settings(**{**self._options, **options})


class _Counting:
    """What the server counts, and how it answers."""

    def __init__(self, signer: Signer) -> None:
        self.latency = 0.0
        self.signer = signer
        self.header = base64url.encode(
            json.dumps(
                {"alg": "EdDSA", "kid": signer.kid, "typ": "license-validation+jwt"}
            ).encode()
        )
        self.license = claims()
        self.begin()

    def begin(self) -> None:
        self.questions = self.greatest = self.connections = self.at_once = 0

    def answer(self, question: dict[str, Any]) -> bytes:
        """Return the signed answer to a question (`protocol.md`, section 3)."""
        key, now = question["licenseKey"], self.license["iat"]
        sold = {**self.license, "sub": "sold_" + key}
        if "bound" in key:
            sold["domains"] = DOMAINS
        verdict: dict[str, Any] = {"valid": False, "error": "unknown"}
        if "unknown" not in key:
            verdict = {"valid": True, "grace": False, "license": sold, "cache_for": CACHE_FOR}
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + CACHE_FOR,
            "nonce": question["nonce"],
            "req": base64url.encode(hashlib.sha256(key.encode()).digest()).decode(),
            "domain": question["domain"],
            **verdict,
        }
        signed = self.header + b"." + base64url.encode(json.dumps(said).encode())
        return signed + b"." + base64url.encode(self.signer.private.sign(signed))


class _Connection(asyncio.Protocol):
    """One connection, of requests one after another."""

    def __init__(self, counting: _Counting) -> None:
        self._counting = counting
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._counting.connections += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not end or len(body) < int(length or 0):
            return
        self._received = b""
        counting = self._counting
        counting.questions += 1
        counting.at_once += 1
        counting.greatest = max(counting.greatest, counting.at_once)
        # Signed before it waits, so that the answer is as late as it was said to be, and no more.
        answer = counting.answer(json.loads(body))
        loop = asyncio.get_running_loop()
        loop.call_later(counting.latency, self._reply, answer, b"connection: close" in head.lower())

    def _reply(self, answer: bytes, last: bool) -> None:
        self._counting.at_once -= 1
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/jwt\r\nContent-Length: %d\r\n\r\n%b"
            % (len(answer), answer)
        )
        if last:
            self._transport.close()


def _context(certificate: str, key: str, clients: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients)
    return context


def _tell(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def serve(*tls: str) -> None:
    """Serve until the input ends."""
    signer = Signer("Ed25519", "answers-1")
    counting, loop = _Counting(signer), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(counting),
        "127.0.0.1",
        0,
        backlog=1024,
        ssl=_context(*tls) if tls else None,
    )
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    _tell({"port": server.sockets[0].getsockname()[1], "jwks": {"keys": [signer.jwk]}})
    while line := await lines.readline():
        counting.latency = float(line)
        _tell(
            {
                "questions": counting.questions,
                "greatest": counting.greatest,
                "connections": counting.connections,
            }
        )
        counting.begin()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
