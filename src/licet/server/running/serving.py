"""Runs one application under uvicorn, in this process, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import uvicorn

from licet.server.errors import ServerError
from licet.server.running.connection import MOST_HEAD, Parser, protocol
from licet.server.running.reloading import LOOK_EVERY, Reloading
from licet.server.running.sockets import BACKLOG

#: Seconds: for which an idle connection stays open, and for requests to end at the end.
KEEP_ALIVE, END_WITHIN = 20, 10


class Serving:
    """One application on one socket; for one run.

    Args:
        app: an ASGI application with a lifespan.
        listening: what it is served on; closed in the end.
        ready: called once when the application has started and connections are accepted.
        tls: the context of the files to speak TLS by; None for plain HTTP.
        parser: of HTTP/1.1.
        look_every: seconds between two looks at the files.
    """

    def __init__(
        self,
        app: Any,
        listening: socket.socket,
        *,
        ready: Callable[[], object] = lambda: None,
        tls: Reloading | None = None,
        parser: Parser = "auto",
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._listening, self._tls, self._look_every = listening, tls, look_every
        config = uvicorn.Config(
            app,
            http=protocol(parser),
            ws="none",
            lifespan="on",
            interface="asgi3",
            workers=1,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=END_WITHIN,
            h11_max_incomplete_event_size=MOST_HEAD,
        )
        config.load()
        if tls is not None:
            # Every version keeps here what it listens with; the older ones have no option for it.
            config.ssl = tls.context
        self._server = _Server(config, ready)

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`, then let requests end.

        Raises:
            ServerError: the application did not start.
            OSError: `ready` could not tell.
        """
        with ExitStack() as during:
            during.enter_context(self._listening)
            if self._tls is not None:
                during.enter_context(self._tls.kept(self._look_every))
            during.enter_context(_signals(self.stop))
            try:
                self._server.run(sockets=[self._listening])
            except SystemExit:
                # How later versions end where the application did not start.
                self._server.started = False
        if self._server.unheard is not None:
            raise self._server.unheard
        if not self._server.started and not self._server.should_stop:
            raise ServerError("the license server did not start", "see what it logged before")

    def stop(self) -> None:
        """Have it end, from any thread or a signal."""
        self._server.should_stop = self._server.should_exit = True


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready
        self.should_stop = False
        self.unheard: OSError | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        if self.should_exit:
            # Told to end before it began. Earlier versions would leave what has started as it is:
            # they, too, end well what runs.
            self.should_exit = False
            asyncio.get_running_loop().call_soon(setattr, self, "should_exit", True)
        try:
            self._ready()
        except OSError as error:
            # Nobody hears that it runs: it ends as well as if it were told to, and says so then.
            self.unheard = error
            asyncio.get_running_loop().call_soon(setattr, self, "should_exit", True)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have signals end the server and not the process.

    uvicorn raises a signal that ended it once more when it has put back what handled it before:
    by default the process would then be killed by it, and its exit status say so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        each: signal.signal(each, lambda number, frame: stop())
        for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
