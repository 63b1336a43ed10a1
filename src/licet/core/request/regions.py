"""Where in the world a request comes from: a trusted proxy's header field, or a MaxMind database.

Both are as good as whoever keeps them. What neither knows, or says in a way that cannot be read,
is unknown; nothing is guessed.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.errors import ConfigError
from licet.core.request.addresses import Address
from licet.core.request.facts import RequestFacts
from licet.core.request.proxies import Proxies

if TYPE_CHECKING:
    from maxminddb import Reader

logger = logging.getLogger("licet")

#: A country (ISO 3166-1 alpha-2), or one of its subdivisions (ISO 3166-2).
REGION = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?", re.ASCII)
#: Seconds between two looks at the database file.
LOOK_EVERY = 60.0
#: What opening a file raises; TypeError where metadata are missing (the reader without extension).
_UNUSABLE = (OSError, ValueError, RuntimeError, TypeError)
_LONGEST = len("US-CAL")


class RegionSource(Protocol):
    """Something that knows regions."""

    def region(self, facts: RequestFacts, address: Address | None) -> str | None:
        """Return the region of a request in capitals, None where it is unknown.

        Args:
            facts: the request.
            address: its client's address, None where that is unknown.
        """
        ...


def read_region(text: str) -> str | None:
    """Return the region that `text` names, in capitals; None where it names none."""
    # ASCII before capitals: an "ß" would become the two letters "SS".
    if len(text) > _LONGEST or not text.isascii() or not REGION.fullmatch(text.upper()):
        return None
    return text.upper()


class RegionHeader:
    """The header field in which a trusted proxy names the region, as `DE` or `DE-BY`.

    Args:
        name: the field's name.
        proxies: whose word counts.
    """

    def __init__(self, name: str, proxies: Proxies) -> None:
        self._name = name.lower()
        self._proxies = proxies

    def region(self, facts: RequestFacts, address: Address | None) -> str | None:
        """Return what the proxy says; two lines of it, even equal ones, say nothing."""
        lines = self._proxies.trusted_fields(facts, self._name)
        return read_region(lines[0].strip(" \t")) if len(lines) == 1 else None


class _Open(NamedTuple):
    """An open database: swapped whole, because threads may look at the same time."""

    stamp: tuple[int, ...]
    find: Callable[[Address], str | None]


class RegionDatabase:
    """A database in MaxMind's format, such as GeoLite2-Country; mapped into memory, not read.

    A file that has been replaced is noticed within a minute. Replace it by renaming, as
    MaxMind's updater does: no process survives that somebody writes into a mapped file. What
    is broken does not displace what is open.

    Args:
        path: the file.
        clock: for looking at the file at most once a minute.

    Raises:
        ConfigError: there is no such file, it is no database, or the extra `geo` is missing.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = os.fspath(path)
        self._monotonic = clock.monotonic
        self._look_at = clock.monotonic() + LOOK_EVERY
        try:
            self._open = _opened(self._path)
        except ImportError:
            raise ConfigError(
                "region_database", "needs the package maxminddb", 'pip install "licet[geo]"'
            ) from None
        except _UNUSABLE as error:
            raise ConfigError(
                "region_database",
                f"cannot be used ({type(error).__name__})",
                "write the path of a country or city database in MaxMind's format",
            ) from None

    def region(self, facts: RequestFacts, address: Address | None) -> str | None:
        """Return the country that the database knows of `address`, its subdivision with it."""
        now = self._monotonic()
        if now >= self._look_at:
            # One thread looks and the others are answered from what is open.
            self._look_at = now + LOOK_EVERY
            self._look()
        return None if address is None else self._open.find(address)

    def _look(self) -> None:
        try:
            if _stamp(self._path) != self._open.stamp:
                self._open = _opened(self._path)
        except _UNUSABLE as error:
            logger.warning(
                "region_database cannot be opened again (%s); the one from before is still used",
                type(error).__name__,
            )


def _stamp(path: str) -> tuple[int, ...]:
    # Follows links: mounted files are swapped by replacing one.
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _opened(path: str) -> _Open:
    import maxminddb

    # Before it is opened: one that is replaced in between is then opened once more.
    stamp = _stamp(path)
    reader = maxminddb.open_database(path)
    return _Open(stamp, lru_cache(maxsize=4096)(partial(_find, reader)))


def _find(reader: Reader, address: Address) -> str | None:
    import maxminddb

    try:
        record = reader.get(address)
    except ValueError:
        # An IPv6 address, in a database without them.
        return None
    except maxminddb.InvalidDatabaseError:
        logger.warning("region_database is damaged; where it is, regions are unknown")
        return None
    match record:
        case {"country": {"iso_code": str(country)}, "subdivisions": [{"iso_code": str(part)}, *_]}:
            return read_region(f"{country}-{part}") or read_region(country)
        case {"country": {"iso_code": str(country)}}:
            return read_region(country)
    return None
