"""Whom a request comes from, and what of it is a proxy's word rather than a stranger's.

Trusted: what the server says of the connection, and the header fields that a peer in
`trusted_proxies` sent. Such a proxy must set, append to or drop each of these fields; one that it
passes on untouched is a stranger's word in its mouth, which cannot be seen from here. Nor can a
WSGI application tell `X_Forwarded_For` from `X-Forwarded-For`: the server or proxy must refuse
names with underscores, as nginx, gunicorn and Werkzeug's server do by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from licet.core.errors import BadHost, ConfigError, LicenseAmbiguous
from licet.core.request.addresses import Address, AddressRanges, read_address, read_network
from licet.core.request.facts import RequestFacts
from licet.core.request.forwarded import DIALECTS, MAX_LIST

_SETTING = "trusted_proxies"
#: What no client sends of itself: any of these betrays a proxy.
_TRACES = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
)


class Proxies:
    """The settings `trusted_proxies` and `forwarded_headers`, compiled. Share one: it remembers.

    Args:
        trusted: networks; `unix` for a peer without address; or `server` alone.
        form: which header fields the proxies write, `x-forwarded` or `forwarded` (RFC 7239).

    Raises:
        ConfigError: `trusted` is not as `checked` wants it.
    """

    #: All fields that `client` and `forwarded_host` may read.
    FIELDS = ("x-forwarded-for", "x-forwarded-host", "forwarded")

    def __init__(
        self,
        trusted: Sequence[str] = (),
        form: Literal["x-forwarded", "forwarded"] = "x-forwarded",
    ) -> None:
        trusted = self.checked(trusted)
        self._server = trusted == ("server",)
        self._unix = "unix" in trusted
        self._ranges = AddressRanges(filter(None, map(read_network, trusted)))
        #: Whether there is a peer whose forwarding fields are read at all.
        self.listens = bool(trusted) and not self._server
        self._said = DIALECTS[form]
        self._not_said = DIALECTS["forwarded" if form == "x-forwarded" else "x-forwarded"]
        self._walk = lru_cache(maxsize=1024)(self._first_stranger)

    @staticmethod
    def checked(values: Sequence[str]) -> tuple[str, ...]:
        """Return `values`.

        Raises:
            ConfigError: they are no list, or one is no network, `unix` or `server`; `server`
                has company; or they trust every address.
        """
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise ConfigError(_SETTING, "is not a list", "write a list or tuple of networks")
        if "server" in values and len(values) > 1:
            raise ConfigError(
                _SETTING,
                "names server beside others",
                "a server that resolves the client hides the proxies; write one or the other",
            )
        networks = []
        for value in values:
            if value in ("unix", "server"):
                continue
            network = read_network(value)
            if network is None:
                raise ConfigError(
                    _SETTING,
                    f"holds {value!r}",
                    "write networks without host bits, as 10.0.0.0/8, or unix, or server",
                )
            networks.append(network)
        try:
            AddressRanges(networks)
        except ValueError:
            raise ConfigError(
                _SETTING, "trusts every address", "name the networks your proxies are in"
            ) from None
        return tuple(values)

    def trusts(self, facts: RequestFacts) -> bool:
        """Whether the immediate peer is a trusted proxy; with `server`, whoever it is."""
        return self._server or self._hears(facts)

    def client(self, facts: RequestFacts) -> Address | None:
        """Return the address of the client, None where it is unknown.

        It is the first one from the right that is no trusted proxy, beginning with the peer; the
        furthest one where all are. A hop before it that is no address makes it unknown, and so
        does a list above 4096 characters.
        """
        peer = facts.peer
        address = None if peer is None else read_address(peer)
        if not self.listens or not self._is_proxy(peer, address):
            return address
        lines = facts.fields(self._said.field)
        if not lines:
            return address
        if sum(map(len, lines)) > MAX_LIST:
            return None
        return self._walk(tuple(lines))

    def forwarded_host(self, facts: RequestFacts) -> str | None:
        """Return the host and port that the nearest trusted proxy was asked for, as it wrote them.

        The right-most value: a proxy that overwrites the field leaves that one alone, one that
        appends wrote that one itself. Further proxies count only through what it passed on.

        Returns:
            None where no trusted proxy says anything, or the framework judges by itself; then
            what it says, or `Host`, decides.

        Raises:
            BadHost: the value cannot be read, or the fields of the dialect that is not configured
                say something else.
        """
        if facts.is_judged or not self._hears(facts):
            return None
        host = self._said.said(facts, "host")
        if host is None:
            return None
        if not host:
            raise BadHost("bad_forwarded_host")
        other = self._not_said.said(facts, "host")
        if other is not None and other.lower() != host.lower():
            raise BadHost("ambiguous_host")
        return host

    def scheme(self, facts: RequestFacts) -> str:
        """Return `http` or `https`: how the nearest trusted proxy was reached, else this process.

        What cannot be read is `http`. A framework that judges the scheme decides alone.
        """
        hears = not facts.is_judged and self._hears(facts)
        said = self._said.said(facts, "proto") if hears else None
        scheme = facts.scheme if said is None else said
        return "https" if scheme.lower() in ("https", "wss") else "http"

    def is_secure(self, facts: RequestFacts) -> bool:
        """Whether nobody on the way could read the request: HTTPS, or it never left the machine.

        A proxy on this machine makes strangers look like loopback, so a trace of one in the
        header fields is enough to lose that exception.
        """
        if self.scheme(facts) == "https":
            return True
        address = None if facts.peer is None else read_address(facts.peer)
        if address is None or not address.is_loopback:
            return False
        return not any(facts.fields(name) for name in _TRACES)

    def trusted_fields(self, facts: RequestFacts, name: str) -> Sequence[str]:
        """Return the lines of the header field `name` (lower case), none from an untrusted peer."""
        return facts.fields(name) if self.trusts(facts) else ()

    def trusted_field(self, facts: RequestFacts, name: str) -> str | None:
        """Return the one value of the header field `name` that a trusted proxy sent, or None.

        Raises:
            LicenseAmbiguous: it has sent two; in WSGI they come joined by a comma.
        """
        lines = self.trusted_fields(facts, name)
        if not lines:
            return None
        if len(lines) > 1 or "," in lines[0]:
            raise LicenseAmbiguous("repeated_field")
        return lines[0].strip(" \t")

    def _hears(self, facts: RequestFacts) -> bool:
        """Whether the forwarding fields of this request are read."""
        if not self.listens:
            return False
        peer = facts.peer
        return self._is_proxy(peer, None if peer is None else read_address(peer))

    def _is_proxy(self, peer: str | None, address: Address | None) -> bool:
        # A peer that says something which is no address is not one without.
        return self._unix if peer is None else address is not None and address in self._ranges

    def _first_stranger(self, lines: tuple[str, ...]) -> Address | None:
        address = None
        for address in self._said.hops(lines):
            if address is None or address not in self._ranges:
                break
        return address
