"""Stores, by their address: in this process, on this machine, or on many.

`memory://` is for one process, `sqlite:///path` for the processes of one machine, and `redis://`,
`rediss://` and `unix://` for many machines, with Redis or Valkey. None of the libraries below is
imported before its address is opened.
"""

from __future__ import annotations

from cachetools import LRUCache

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.errors import ConfigError
from licet.core.forks import Locked
from licet.core.stores.interface import (
    MAX_COUNT,
    MAX_WINDOW,
    PAGE,
    Count,
    Key,
    News,
    Store,
    StoreUnavailable,
    key,
)

__all__ = [
    "MAX_COUNT",
    "MAX_WINDOW",
    "PAGE",
    "Count",
    "Key",
    "News",
    "Store",
    "StoreUnavailable",
    "key",
    "open_store",
    "store_url",
]

#: The schemes of their addresses.
SCHEMES = ("memory", "sqlite", "redis", "rediss", "unix")

_stores: LRUCache[tuple[str, Clock], Store] = LRUCache(64)
_guard = Locked()


def open_store(url: str, clock: Clock = SYSTEM_CLOCK) -> Store:
    """Return this process's store at `url`: the same for everybody, or limits would not add up.

    Args:
        url: the setting `store`.
        clock: what the store tells time by, unless it has a server that does. Whoever brings a
            clock of their own shares the store with none but that clock's users.

    Raises:
        ConfigError: there can be no store at this address, or its library is not installed.
    """
    with _guard.lock:
        store = _stores.get((url, clock))
        if store is None:
            store = _stores[url, clock] = _new_store(url, clock)
        return store


def store_url(name: str, value: str) -> str:
    """Return the address of a store, checked.

    Args:
        name: the setting.
        value: what it says.

    Raises:
        ConfigError: it is none.
    """
    if value.partition("://")[0] not in SCHEMES or "://" not in value:
        raise ConfigError(
            name, "is at no address that Licet knows", f"write one of {', '.join(SCHEMES)} and ://…"
        )
    return value


def _new_store(url: str, clock: Clock) -> Store:
    scheme, _, rest = store_url("store", url).partition("://")
    if scheme == "memory":
        from licet.core.stores.memory import MemoryStore

        if rest:
            raise ConfigError("store", "names a place in memory", "write memory://")
        return MemoryStore(clock)
    if scheme == "sqlite":
        from licet.core.stores.sqlite import SQLiteStore

        return SQLiteStore(rest, clock)
    from licet.core.stores.redis import RedisStore

    return RedisStore(url)
