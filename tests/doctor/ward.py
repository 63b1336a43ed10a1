"""What a case is brought with: servers that can be made faulty, and the doctor to call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.commands import Said, licet
from tests.core.loopback import Answer, Loopback, Request, reply
from tests.core.secure import SecureServer
from tests.licenses import AUDIENCE, ISSUER, ISSUER_NAME

#: The settings of an application.
APPLICATION = ("--issuer", ISSUER_NAME, "--audience", AUDIENCE)
JWKS = "/jwks.json"
KEY_SET = json.dumps(ISSUER.jwks()).encode()
TYPE = "application/jwk-set+json"


def served(
    body: bytes = KEY_SET, content_type: str = TYPE, status: int = 200, **fields: str | None
) -> bytes:
    """Return an answer with which nothing is wrong, but for what is given."""
    whole = {
        "Date": formatdate(usegmt=True),
        "ETag": '"1"',
        "Cache_Control": "max-age=300",
        **fields,
    }
    said = {name: value for name, value in whole.items() if value is not None}
    return reply(status, body, content_type, **said)


def good(request: Request) -> Answer:
    """Serve the issuer's keys, as they should be served."""
    return confirming(request, served())


def confirming(request: Request, answer: bytes) -> bytes:
    """Return `answer`, or a 304 to whoever has it."""
    if "if-none-match" in request.headers:
        return served(b"", status=304)
    return answer


class Ward:
    """The servers of one test, and its doctor.

    Args:
        plain: speaks HTTP; shared, each path is a test's own.
        authority: whose certificates are trusted.
        patch: for what no server can be.
        directory: of this test.
    """

    def __init__(
        self, plain: Plain, authority: trustme.CA, patch: pytest.MonkeyPatch, directory: Path
    ) -> None:
        self.plain, self.authority, self.patch = plain, authority, patch
        self.directory = directory
        self.stack = ExitStack()
        self.ca_file = str(directory / "authority.pem")
        authority.cert_pem.write_to_path(self.ca_file)

    # -- servers -----------------------------------------------------------------------------------

    def serve(self, answer: Callable[[Request], Answer] | bytes, path: str = JWKS) -> str:
        """Serve something under an address of its own; return that."""
        return self.plain.serve(answer, path)

    def own(self, answer: Callable[[Request], Answer]) -> str:
        """Start a server of its own; return its address without a path."""
        server = self.stack.enter_context(Loopback(answer))
        return f"http://127.0.0.1:{server.port}"

    def secure(
        self, context: Any, answer: Callable[[bytes], bytes | None] = lambda request: served()
    ) -> str:
        """Start a server that speaks TLS; return the address of its key set."""
        server = self.stack.enter_context(SecureServer(context, answer))
        return f"https://127.0.0.1:{server.port}{JWKS}"

    # -- the doctor --------------------------------------------------------------------------------

    def visit(self, url: str, *options: object, stdin: bytes | None = None) -> Said:
        """Have a URL looked at, by options that trust the authority here."""
        trusting = ("--set", f"tls_ca_file={self.ca_file}")
        return licet("doctor", url, "--json", *trusting, *options, stdin=stdin)

    def checked(self, url: str, token: str | bytes, *options: object) -> Said:
        """Have a license looked at as well, by the settings of an application."""
        credential = token.encode() if isinstance(token, str) else token
        settings = (*APPLICATION, "--jwks-url", url, "--token", "-")
        return self.visit(url, *settings, *options, stdin=credential)

    def by_environment(
        self, url: str, settings: Mapping[str, object], *options: object, stdin: bytes | None = None
    ) -> Said:
        """Have a URL looked at by settings in the environment, which may hold secrets."""
        for name, value in {"tls_ca_file": self.ca_file, **settings}.items():
            self.patch.setenv(f"LICET_{name.upper()}", str(value))
        return licet("doctor", url, "--json", *options, stdin=stdin)


class Plain(Loopback):
    """A server of many addresses."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[Request], Answer] | bytes] = {}
        super().__init__(self._route)

    def serve(self, answer: Callable[[Request], Answer] | bytes, path: str) -> str:
        """Answer so under an address of its own, which ends in `path`; return it."""
        target = f"/{len(self.routes)}{path}"
        self.routes[target] = answer
        return f"http://127.0.0.1:{self.port}{target}"

    def _route(self, request: Request) -> Answer:
        found = self.routes.get(request.target)
        if found is None:
            return reply(404)
        return confirming(request, found) if isinstance(found, bytes) else found(request)


def codes(said: Said) -> set[str]:
    """Return the codes of what was found."""
    return {finding["code"] for finding in said.document["findings"]}


def found(said: Said, code: str) -> dict[str, Any]:
    """Return the finding of this code, the first where there are several."""
    return next(finding for finding in said.document["findings"] if finding["code"] == code)


def now() -> int:
    """Return wall time, whole seconds."""
    return int(time.time())
