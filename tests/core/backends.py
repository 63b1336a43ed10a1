"""Every store there is, with a way to let its time pass: by hand, or by the server's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from anyio.from_thread import start_blocking_portal

from licet.core.flow import Effect
from licet.core.stores import Store, open_store
from licet.core.stores.sqlite import SQLiteStore
from tests.core.hands import Hands
from tests.core.loopback import until
from tests.core.redis_server import BINARY, RedisServer

BACKENDS = ["memory", "sqlite", "redis"]
#: Those whose content more than one process can see.
SHARED = ["sqlite", "redis"]
WORLDS = ["threads", "asyncio", "trio"]

#: Has an effect happen, in whichever world.
Ask: TypeAlias = Callable[[Effect[Any]], Any]


class Backend:
    """One kind of store, empty.

    Args:
        name: one of `BACKENDS`.
        url: its address.
        hands: what it tells time by, None if by a server.
    """

    def __init__(self, name: str, url: str, hands: Hands | None) -> None:
        self.name, self.url, self.hands = name, url, hands
        self._opened: list[Store] = []
        #: One second by hand; as short as can still be told apart where it has to be waited for.
        self.unit = 1.0 if hands else 0.3

    def open(self) -> Store:
        """Return this process's store."""
        store = open_store(self.url, self.hands.clock) if self.hands else open_store(self.url)
        self._opened.append(store)
        return store

    def open_other(self) -> Store:
        """Return another store in the same place, as another process would open it."""
        assert self.name in SHARED
        if self.hands:
            other: Store = SQLiteStore(self.url.removeprefix("sqlite://"), self.hands.clock)
        else:
            from licet.core.stores.redis import RedisStore

            other = RedisStore(self.url)
        self._opened.append(other)
        return other

    def wait(self, units: float) -> None:
        """Let time pass for the store."""
        if self.hands:
            self.hands.advance(units * self.unit)
        else:
            end = time.monotonic() + units * self.unit
            until(lambda: time.monotonic() > end)

    def close(self) -> None:
        """Close every store that was opened."""
        for store in self._opened:
            store.close()


@contextmanager
def opened(name: str, directory: Path) -> Iterator[Backend]:
    """Provide a backend, which ends with the block; skip the test where it cannot be had."""
    with ExitStack() as stack:
        if name == "memory":
            backend = Backend(name, "memory://", Hands())
        elif name == "sqlite":
            backend = Backend(name, f"sqlite://{directory}/store", Hands(wall=time.time()))
        else:
            if BINARY is None:
                pytest.skip("needs a redis-server or valkey-server")
            backend = Backend(name, stack.enter_context(RedisServer()).url, None)
        stack.callback(backend.close)
        yield backend


@contextmanager
def world(name: str) -> Iterator[Ask]:
    """Provide what has effects happen: in this thread, or in an event loop."""
    if name == "threads":
        yield lambda effect: effect.run()
    else:
        with start_blocking_portal(name) as portal:
            yield lambda effect: portal.call(effect.arun)
