"""Keeps TLS in step with its files, for new connections; open ones go on as they are.

Every change makes a whole new context, so that nothing of an older one is left: neither an
authority that was taken out nor the keys to sessions that could be resumed past it. A replacement
that cannot be used never displaces what works.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from licet.core.tls.files import stamp
from licet.server.errors import ServerError
from licet.server.running.tls import AlertingObject, TlsFiles

_LOG = logging.getLogger("licet.server")

#: Seconds between two looks at the files.
LOOK_EVERY = 1.0


class CurrentContext(ssl.SSLContext):
    """Stands where event loops want a context, and gives each connection the one of now."""

    current: ssl.SSLContext

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any
    ) -> ssl.SSLObject:
        """Begin a connection, as asyncio and uvloop do."""
        connection = self.current.wrap_bio(incoming, outgoing, *args, **options)
        if isinstance(connection, AlertingObject):
            connection.outgoing = outgoing
        return connection


class Reloading:
    """The context of some files, and who looks after them.

    Args:
        files: what TLS is spoken by.

    Attributes:
        context: what to listen with.

    Raises:
        ServerError: they cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        # Before they are read: what changes in between is seen at the next look.
        self._stamp = stamp(*files.paths)
        self._noticed: str | None = None
        self._told: str | None = None
        self.context = CurrentContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.current = files.context()

    def look(self) -> None:
        """Take what the files hold if they have changed, and can be used."""
        now = stamp(*self._files.paths)
        if now == self._stamp:
            self._noticed = self._told = None
            return
        try:
            self.context.current = self._files.context()
        except ServerError as error:
            self._refuse(str(error))
            return
        self._stamp = now
        self._noticed = self._told = None
        _LOG.info("tls.reloaded: new connections are made with the files that are there now")

    @contextmanager
    def kept(self, every: float = LOOK_EVERY) -> Iterator[None]:
        """Look at the files time and again, in a thread, until the block ends.

        Args:
            every: seconds between two looks.
        """
        ended = threading.Event()
        thread = threading.Thread(
            target=self._keep, args=(ended, every), name="licet-tls", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _keep(self, ended: threading.Event, every: float) -> None:
        while not ended.wait(every):
            try:
                self.look()
            except Exception:
                # Whatever it is, the next look may find that it has gone.
                _LOG.exception("tls.reload_failed")

    def _refuse(self, problem: str) -> None:
        # Files are replaced one after another: only what is still so at the next look is told.
        if problem == self._noticed and problem != self._told:
            self._told = problem
            _LOG.error("tls.reload_refused: %s; the files from before stay in use", problem)
        self._noticed = problem
