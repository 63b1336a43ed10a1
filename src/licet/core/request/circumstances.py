"""What constraints are judged by: where, when and from whom a request comes.

Decides whose word is taken for each of these, by one `Settings`; the rooms behind it decide how
that word is read. Nothing is looked up before a constraint asks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Protocol

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.errors import BadHost
from licet.core.request.addresses import Address, read_address
from licet.core.request.facts import RequestFacts
from licet.core.request.hosts import read_authority, read_origin, request_host
from licet.core.request.proxies import Proxies
from licet.core.request.regions import RegionDatabase, RegionHeader, RegionSource, read_region
from licet.core.settings import Settings

#: How many characters of evidence are worth remembering.
MAX_EVIDENCE = 512


class Circumstances(Protocol):
    """What a constraint may ask; a function registered with `constraint` is given one too."""

    @property
    def now(self) -> float:
        """The time to judge by, in seconds since the epoch."""
        ...

    @property
    def method(self) -> str:
        """The request method; empty outside of requests."""
        ...

    def fields(self, name: str) -> Sequence[str]:
        """Return the lines of the header field `name` (lower case), a stranger's word."""
        ...

    def evidence(self) -> Hashable | None:
        """Return what `domain` and `address` are read from: equal where both come out equal.

        None where that is more than a few short texts, or the framework judges the host.
        """
        ...

    def host(self) -> str | None:
        """Return the host the request is for, as `licet.core.request.hosts` spells it.

        Raises:
            BadHost: it has none, or not one.
        """
        ...

    def origin(self) -> str | None:
        """Return the host of the page that made a browser send the request, None if unknown."""
        ...

    def domain(self) -> str | None:
        """Return whichever of the two the setting `domain_from` names."""
        ...

    def address(self) -> Address | None:
        """Return the address of the client, None where it is unknown."""
        ...

    def region(self) -> str | None:
        """Return the region of the client (ISO 3166-1 or -2), None where it is unknown."""
        ...


class Observer:
    """Tells the circumstances of requests, by one `Settings`.

    Args:
        settings: which proxies, which region source, and what domains are compared with.
        clock: for looking whether the region database was replaced.

    Attributes:
        proxies: whose forwarding fields are believed.
    """

    def __init__(self, settings: Settings, clock: Clock = SYSTEM_CLOCK) -> None:
        self.proxies = Proxies(settings.trusted_proxies, settings.forwarded_headers)
        self._from_origin = settings.domain_from == "origin"
        #: The fields that host, origin and address are read from, as far as they are needed.
        self.read: tuple[str, ...] = ("origin" if self._from_origin else "host",)
        if self.proxies.listens:
            self.read += self.proxies.FIELDS
        self._regions: RegionSource | None = None
        if settings.region_header is not None:
            self._regions = RegionHeader(settings.region_header, self.proxies)
        elif settings.region_database is not None:
            self._regions = RegionDatabase(settings.region_database, clock=clock)

    def of(self, facts: RequestFacts, now: float) -> Circumstances:
        """Return the circumstances of a request at `now`, seconds since the epoch."""
        return _Observed(self, facts, now)

    def told(self, where: Where, now: float) -> Circumstances:
        """Return circumstances that the application states itself."""
        return _Told(where, self._from_origin, now)


class _Observed:
    __slots__ = ("_facts", "_observer", "now")

    def __init__(self, observer: Observer, facts: RequestFacts, now: float) -> None:
        self._observer = observer
        self._facts = facts
        self.now = now

    @property
    def method(self) -> str:
        return self._facts.method

    def fields(self, name: str) -> Sequence[str]:
        return self._facts.fields(name)

    def evidence(self) -> Hashable | None:
        facts = self._facts
        if facts.is_judged:
            return None
        target = facts.absolute_target
        evidence = [facts.peer, target]
        size = len(target) if target else 0
        for name in self._observer.read:
            lines = facts.fields(name)
            if lines:
                if len(lines) > 1:
                    return None
                size += len(lines[0])
                evidence.append(lines[0])
            else:
                evidence.append(None)
        return tuple(evidence) if size <= MAX_EVIDENCE else None

    def host(self) -> str:
        facts = self._facts
        proxies = self._observer.proxies
        return request_host(facts, proxies.forwarded_host(facts) if proxies.listens else None)

    def origin(self) -> str | None:
        return read_origin(self._facts.fields("origin"))

    def domain(self) -> str | None:
        return self.origin() if self._observer._from_origin else self.host()

    def address(self) -> Address | None:
        return self._observer.proxies.client(self._facts)

    def region(self) -> str | None:
        source = self._observer._regions
        return None if source is None else source.region(self._facts, self.address())


_EXAMPLES = {
    "host": "reports.example or [2001:db8::1]:8443",
    "origin": "https://app.example",
    "ip": "203.0.113.9",
    "region": "DE or US-CA",
}


class Where(NamedTuple):
    """What an application says of the circumstances where there is no request.

    Args:
        host: the host this deployment is reached by, perhaps with a port.
        origin: the origin of the calling page, `https://app.example`.
        ip: the address of the client.
        region: its region, ISO 3166-1 or -2.
    """

    host: str | None = None
    origin: str | None = None
    ip: str | None = None
    region: str | None = None

    def check(self) -> None:
        """See to it that what is said can be read: a mistake here is the application's own.

        Raises:
            TypeError: something is no text.
            ValueError: something is no host, origin, address or region.
        """
        readers: dict[str, Callable[[str], object]] = {
            "host": _read_host,
            "origin": lambda text: read_origin((text,)),
            "ip": read_address,
            "region": read_region,
        }
        for name, value in self._asdict().items():
            if value is None:
                continue
            if not isinstance(value, str):
                raise TypeError(f"{name} is a str, not {type(value).__name__}")
            if readers[name](value) is None:
                raise ValueError(f"{name} cannot be read: write {_EXAMPLES[name]}")


NOWHERE = Where()


def _read_host(text: str) -> str | None:
    try:
        return read_authority(text)
    except BadHost:
        return None


class _Told:
    __slots__ = ("_from_origin", "_where", "now")

    method = ""

    def __init__(self, where: Where, from_origin: bool, now: float) -> None:
        self._where = where
        self._from_origin = from_origin
        self.now = now

    def fields(self, name: str) -> Sequence[str]:
        return ()

    def evidence(self) -> None:
        return None

    def host(self) -> str | None:
        host = self._where.host
        return None if host is None else read_authority(host)

    def origin(self) -> str | None:
        origin = self._where.origin
        return None if origin is None else read_origin((origin,))

    def domain(self) -> str | None:
        return self.origin() if self._from_origin else self.host()

    def address(self) -> Address | None:
        ip = self._where.ip
        return None if ip is None else read_address(ip)

    def region(self) -> str | None:
        region = self._where.region
        return None if region is None else read_region(region)
