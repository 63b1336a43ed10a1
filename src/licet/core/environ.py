"""Requests that come as CGI variables (RFC 3875): WSGI (PEP 3333), Flask, and Django's `META`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from licet.core.entitlements import Entitlements
from licet.core.gate import Gate
from licet.core.request.facts import RequestFacts
from licet.core.request.paths import spelt, whole


@lru_cache(maxsize=64)
def environ_key(name: str) -> str:
    """Return the variable that holds the header field `name`."""
    key = name.upper().replace("-", "_")
    # What describes the body has variables without a prefix (RFC 3875, sections 4.1.2, 4.1.3).
    return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else "HTTP_" + key


class EnvironFacts:
    """The facts of a request that comes as CGI variables.

    Args:
        environ: the variables; text is latin-1, as PEP 3333 has it.
    """

    __slots__ = ("environ",)

    is_handshake = is_judged = False

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.environ = environ

    @property
    def method(self) -> str:
        """The request method."""
        return str(self.environ.get("REQUEST_METHOD", ""))

    @property
    def target(self) -> str:
        """The request target as it came, where the server keeps it, else empty."""
        return str(self.environ.get("RAW_URI") or self.environ.get("REQUEST_URI") or "")

    @property
    def path(self) -> str:
        """The path as sent, where the server keeps it; else what it decoded, encoded anew."""
        environ = self.environ
        root = str(environ.get("SCRIPT_NAME", "")).encode("latin-1", "replace")
        target = self.target
        if target[:1] == "/":
            return whole(target.partition("?")[0], root)
        return spelt(root + str(environ.get("PATH_INFO", "")).encode("latin-1", "replace"))

    @property
    def absolute_target(self) -> str | None:
        """The target, where it does not begin as a path does."""
        target = self.target
        return target if target and target[0] != "/" else None

    @property
    def query_string(self) -> str:
        """The query string."""
        return str(self.environ.get("QUERY_STRING", ""))

    @property
    def scheme(self) -> str:
        """The scheme of the connection."""
        return str(self.environ.get("wsgi.url_scheme", "http"))

    @property
    def lists_hosts(self) -> bool:
        """False: no WSGI server judges the host."""
        return False

    @property
    def peer(self) -> str | None:
        """The address in `REMOTE_ADDR`; a unix socket has none."""
        return self.environ.get("REMOTE_ADDR") or None

    def fields(self, name: str) -> Sequence[str]:
        """Return the field's value, if there is one: lines have been joined by the server."""
        value = self.environ.get(environ_key(name))
        return () if value is None else (value,)

    def origin(self) -> str | None:
        """Return scheme and host, as the server and the `Host` field have them."""
        host = self.environ.get("HTTP_HOST")
        return f"{self.scheme}://{host}".lower() if host else None

    def vouched_host(self) -> str | None:
        """Return None: no WSGI server judges the host."""
        return None

    def server_variable(self, name: str) -> object:
        """Return the variable `name`, which no header field can set."""
        return None if name.startswith("HTTP_") else self.environ.get(name)


def environ_path(environ: Mapping[str, Any]) -> str:
    """Return the path relative to `SCRIPT_NAME`, decoded once."""
    path: str = environ.get("PATH_INFO", "")
    return path.encode("latin-1", "replace").decode("utf-8", "replace") or "/"


class EnvironMemory:
    """Answers requests of the plain kind, one field with one token, from the grant cache.

    Everything else, and everything odd, is `Gate.decide`'s: a value that two field lines were
    joined to never verified, so it is in no cache.

    Args:
        gate: whose cache it is.
        facts: makes the facts of a request.
    """

    def __init__(self, gate: Gate, facts: Callable[[Any], RequestFacts] = EnvironFacts) -> None:
        self._gate = gate
        self._facts = facts
        self._installation = gate.installation
        sources = gate.sources
        self._fields = tuple((environ_key(name), name) for name in sources.headers)
        # Where else a credential may be: any text there is the gate's to read.
        self._elsewhere = (
            *(("HTTP_COOKIE",) if sources.cookies else ()),
            *(("QUERY_STRING",) if sources.queries else ()),
        )

    def recall(self, environ: Mapping[str, Any], request: object = None) -> Entitlements | None:
        """Return the entitlements of a request, None where they have to be worked out.

        Args:
            environ: its variables.
            request: what its facts are made of, where these are not the variables.

        Raises:
            LicenseError: the license does not hold for this request, or that cannot be told.
        """
        gate = self._gate
        if self._installation is not None:
            held = self._installation.recall()
            if held is None:
                return None
            return gate.admit(*held, "", self._facts, environ if request is None else request)
        for key in self._elsewhere:
            if environ.get(key):
                return None
        value, source = None, ""
        for key, name in self._fields:
            if key in environ:
                if value is not None:
                    return None
                value, source = environ[key], name
        if value is None:
            return None
        if source == "authorization":
            if value[:7].lower() != "bearer ":
                return None
            value = value[7:]
        try:
            credential = value.encode("ascii")
        except UnicodeEncodeError:
            return None
        grant = gate.recall(credential)
        if grant is None:
            return None
        if grant.free:
            return Entitlements(grant, credential, source)
        facts = self._facts
        return gate.admit(grant, credential, source, facts, environ if request is None else request)
