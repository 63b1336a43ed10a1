"""A connection that is opened before an application and left open, and how it ends.

A websocket is told why it is closed. An event stream only ends: its client comes back, as each
`EventSource` does, and is told then.
"""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from typing import Literal

import httpx

from licet.cli.demo.process import Server

#: The close code of who is refused by policy (RFC 6455, section 7.4.1).
POLICY_VIOLATION = 1008
#: Seconds to open one.
OPENED_WITHIN = 10.0

Headers = list[tuple[str, str]]
#: Whether it is open still or has ended with its license; None where it never began or broke.
State = Literal["open", "end"] | None


class Connection(ABC):
    """One open connection.

    Args:
        server: to whom.
        headers: what is presented.
    """

    def __init__(self, server: Server, headers: Headers) -> None:
        self.server, self._headers = server, headers

    @abstractmethod
    def end(self, deadline: float) -> tuple[State, str | None]:
        """Wait for its end, and return it with the reason, None where there is none.

        Args:
            deadline: monotonic time at which it is open still.
        """

    @abstractmethod
    def close(self) -> None:
        """Leave."""


class Unopened(Connection):
    """What could not be opened."""

    def end(self, deadline: float) -> tuple[State, str | None]:
        return None, None

    def close(self) -> None:
        pass


class Websocket(Connection):
    """A websocket at /live, which was answered once.

    Raises:
        OSError: it could not be opened.
    """

    def __init__(self, server: Server, headers: Headers) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        super().__init__(server, headers)
        with ExitStack() as stack:
            # Given a socket, the client looks for no proxy.
            own = socket.create_connection(("127.0.0.1", server.port), OPENED_WITHIN)
            stack.callback(own.close)
            try:
                self._client = stack.enter_context(
                    connect(
                        server.url.replace("http:", "ws:") + "/live",
                        sock=own,
                        additional_headers=headers,
                        open_timeout=OPENED_WITHIN,
                    )
                )
                self._client.send("?")
                self._client.recv(OPENED_WITHIN)
            except WebSocketException as error:
                raise ConnectionError(type(error).__name__) from None
            self._opened = stack.pop_all()

    def end(self, deadline: float) -> tuple[State, str | None]:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                self._client.recv(max(deadline - time.monotonic(), 0))
        except TimeoutError:
            return "open", None
        except ConnectionClosed as closed:
            if closed.rcvd is None or closed.rcvd.code != POLICY_VIOLATION:
                return None, None
            return "end", closed.rcvd.reason

    def close(self) -> None:
        self._opened.close()


class EventStream(Connection):
    """The events of /events, of which the first came.

    Args:
        client: asks.
        why: asks once more, and returns for what reason that is refused.

    Raises:
        OSError: it could not be opened.
    """

    def __init__(
        self,
        server: Server,
        headers: Headers,
        client: httpx.Client,
        why: Callable[[str, Headers], str | None],
    ) -> None:
        super().__init__(server, headers)
        self._why = why
        request = client.build_request("GET", f"{server.url}/events", headers=headers)
        try:
            self._answer = client.send(request, stream=True)
            self._lines = self._answer.raise_for_status().iter_lines()
            next(self._lines)
        except (httpx.HTTPError, StopIteration) as error:
            raise ConnectionError(type(error).__name__) from None

    def end(self, deadline: float) -> tuple[State, str | None]:
        try:
            for _ in self._lines:
                if time.monotonic() >= deadline:
                    return "open", None
        except httpx.HTTPError:
            return None, None
        return "end", self._why(str(self._answer.url), self._headers)

    def close(self) -> None:
        self._answer.close()
