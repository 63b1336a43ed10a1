"""The store of many machines: Redis or Valkey, by the clock of the server.

Every decision is one command or one script, sent once: a script that is sent again after its
answer was lost would count twice, or take an honest proof for its own replay. It needs one key,
or keys that a cluster keeps in one slot. The server must keep what it is given: with a
`maxmemory-policy` of `volatile-…` it forgets proofs, with one of `allkeys-…` announcements too; a
replica that takes over forgets what had not reached it, and a server that is killed what its
`appendfsync` left unwritten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from math import ceil
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import current_token

from licet.core.errors import ConfigError
from licet.core.flow import Effect, Flow
from licet.core.stores import answers, lua
from licet.core.stores.effects import Blocking, Decision
from licet.core.stores.interface import (
    PAGE,
    PATIENCE,
    Count,
    Key,
    News,
    Store,
    StoreUnavailable,
)

try:
    import redis
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as NotConnectedError
    from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError
    from redis.exceptions import TimeoutError as LateError
    from redis.retry import Retry as BlockingRetry
except ModuleNotFoundError as error:
    if error.name != "redis":
        raise
    raise ConfigError(
        "store", "needs redis-py, which is not installed", 'pip install "licet[redis]"'
    ) from None

#: Seconds for connecting, for each answer, and for a connection of the pool to become free.
TIMEOUT = 1.0
#: Connections of one process, and of each event loop.
CONNECTIONS = 32
#: What was announced, by key: its number, when it ends, its value. In one slot of a cluster, by the
#: braces. None of it expires as a whole: what ended is swept, and only what may expire is evicted
#: by the policies `volatile-…`.
GENERATION = "licet:{announced}:generation"
ORDER, ENDS, VALUES = (f"licet:{{announced}}:{name}" for name in ("order", "ends", "values"))

T = TypeVar("T")


class RedisStore(Store):
    """Counters, seats and values on a server; survives forks and many event loops.

    Under asyncio each event loop has a client of its own, which ends with the loop. In threads,
    and in the worker threads of trio, one client serves the process.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with whatever redis-py reads from its query.

    Raises:
        ConfigError: it cannot be read.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            self._pool = redis.BlockingConnectionPool.from_url(
                url, retry=BlockingRetry(NoBackoff(), 0), **_options(url)
            )
            # Wrong options would be found only by the first request.
            self._pool.connection_class(**self._pool.connection_kwargs)
        except Exception:
            # Its text may hold parts of the address, hence of a password.
            raise ConfigError(
                "store", "is no address that redis-py can read", "write redis://host:port/number"
            ) from None
        self._client = redis.Redis(connection_pool=self._pool)

    def _increment(self, key: Key, amount: int, limit: int, window: float) -> Effect[Count]:
        return self._script(
            lua.INCREMENT, answers.count, f"licet:count:{key}", amount, limit, _ms(window)
        )

    def _admit(self, key: Key, member: Key, limit: int, window: float) -> Effect[Count]:
        return self._script(
            lua.ADMIT, answers.count, f"licet:seats:{key}", member, limit, _ms(window)
        )

    def _set_if_absent(self, key: Key, ttl: float) -> Effect[bool]:
        return self._command(answers.was_set, "SET", f"licet:kept:{key}", b"", "NX", "PX", _ms(ttl))

    def _put(self, key: Key, value: bytes, ttl: float) -> Effect[None]:
        return self._command(answers.put, "SET", f"licet:kept:{key}", value, "PX", _ms(ttl))

    def get(self, key: Key) -> Effect[bytes | None]:
        """Return what was announced, or else what was put; None for neither."""

        def decide() -> Flow[bytes | None]:
            # Twice asked: what stands in different slots cannot be seen in one moment.
            value: bytes | None
            value = yield self._script(lua.ANNOUNCED_VALUE, answers.value, ENDS, VALUES, key)
            if value is None:
                value = yield self._command(answers.value, "GET", f"licet:kept:{key}")
            return value

        return Decision(decide)

    def delete(self, key: Key) -> Effect[None]:
        """Forget what was put or set, if anything."""
        return self._command(answers.deleted, "DEL", f"licet:kept:{key}")

    def _announce(self, key: Key, value: bytes, ttl: float) -> Effect[int]:
        return self._script(
            lua.ANNOUNCE, answers.announced, GENERATION, ORDER, ENDS, VALUES, key, value, _ms(ttl)
        )

    def announced(self, after: int) -> Effect[News]:
        """Return what any machine has announced after generation `after`."""
        return self._script(
            lua.ANNOUNCED, answers.news, GENERATION, ORDER, ENDS, VALUES, after, PAGE
        )

    def generation(self) -> Effect[int]:
        """Return the generation of the latest announcement of any machine."""
        return self._command(answers.generation, "GET", GENERATION)

    def close(self) -> None:
        """Close the connections of threads; those of an event loop end with it."""
        self._pool.disconnect()

    def _command(self, read: Callable[[Any], T], *words: str | bytes | int) -> Effect[T]:
        def decide() -> Flow[T]:
            return read((yield _Command(self, words)))

        return Decision(decide)

    def _script(
        self, script: lua.Script, read: Callable[[Any], T], *words: str | bytes | int
    ) -> Effect[T]:
        def decide() -> Flow[T]:
            try:
                return read((yield _Command(self, ("EVALSHA", script.digest, script.keys, *words))))
            except NoScriptError:
                # The server has restarted since, and has not run it.
                return read((yield _Command(self, ("EVAL", script.text, script.keys, *words))))

        return Decision(decide)

    def ask(self, words: tuple[str | bytes | int, ...]) -> Any:
        """Return what the server answers, in this thread.

        Each wait is bounded, not their sum: a server that sent its answer byte by byte could
        hold a thread, which no Redis does.
        """
        try:
            return self._client.execute_command(*words)  # type: ignore[no-untyped-call]
        except NoScriptError:
            raise
        except Exception as error:
            raise _unavailable(error) from None

    async def aask(self, words: tuple[str | bytes | int, ...]) -> Any:
        """Return what the server answers, in this task."""
        token = current_token()
        loop = getattr(token, "native_token", token)
        if not isinstance(loop, asyncio.AbstractEventLoop):
            return await Blocking(lambda: self.ask(words)).arun()
        try:
            client = await self._client_of(loop)
            # Shielded, so that a task that is cancelled knows whether it has been counted.
            with anyio.move_on_after(PATIENCE, shield=True):
                return await client.execute_command(*words)  # type: ignore[no-untyped-call]
        except NoScriptError:
            raise
        except Exception as error:
            raise _unavailable(error) from None
        raise StoreUnavailable("timeout")

    async def _client_of(self, loop: asyncio.AbstractEventLoop) -> redis.asyncio.Redis:
        opened = _opened.get((loop, self._url))
        if opened is None:
            for ended in [each for each in list(_opened) if each[0].is_closed()]:
                del _opened[ended]
            opened = _opened[loop, self._url] = _Opened(loop, self._url)
            await opened.begin()
        return opened.client


class _Opened:
    """The client of one event loop, closed by the loop's own end.

    A loop that ends closes the asynchronous generators that were begun in it, whoever runs it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str) -> None:
        self._pool = redis.asyncio.BlockingConnectionPool.from_url(
            url, retry=Retry(NoBackoff(), 0), **_options(url)
        )
        self.client = redis.asyncio.Redis(connection_pool=self._pool)
        self._place = loop, url
        self._lifetime = self._live()

    async def begin(self) -> None:
        await anext(self._lifetime)

    async def _live(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            _opened.pop(self._place, None)
            await self._pool.disconnect()


#: Not held by the stores: a client that its store no longer needs still has to end with its loop.
_opened: dict[tuple[asyncio.AbstractEventLoop, str], _Opened] = {}


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "protocol": 2,
        "max_connections": CONNECTIONS,
        "timeout": TIMEOUT,
        # A connection whose server has become a replica is given up, for another to be found.
        "retry_on_error": [ReadOnlyError],
        "socket_timeout": TIMEOUT,
    }
    if not url.startswith("unix:"):
        options["socket_connect_timeout"] = TIMEOUT
    return options


class _Command:
    """One command as an effect."""

    __slots__ = ("_store", "_words")

    def __init__(self, store: RedisStore, words: tuple[str | bytes | int, ...]) -> None:
        self._store = store
        self._words = words

    def run(self) -> Any:
        return self._store.ask(self._words)

    async def arun(self) -> Any:
        return await self._store.aask(self._words)


def _unavailable(error: Exception) -> StoreUnavailable:
    if isinstance(error, LateError):
        word = "timeout"
    elif isinstance(error, ResponseError):
        word = "refused"
    elif isinstance(error, (NotConnectedError, OSError)):
        word = "unreachable"
    else:
        word = "garbage"
    return StoreUnavailable(f"{word}:{type(error).__name__}")


def _ms(seconds: float) -> int:
    return ceil(seconds * 1000)
