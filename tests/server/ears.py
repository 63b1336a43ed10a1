"""A receiver of webhooks on loopback, which takes them as a test tells it to."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from licet.core.revocation.receiver import Receiver

#: Longer than anything here takes.
PATIENCE = 10.0


class Heard(NamedTuple):
    """What came, once its signature held."""

    id: str
    fields: dict[str, str]
    body: dict[str, Any]


class Answer(NamedTuple):
    """How a delivery is answered.

    Attributes:
        status: of HTTP.
        fields: header fields.
        body: the content.
        after: what is waited for before.
    """

    status: int = 204
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    after: threading.Event | None = None


class Ear(ThreadingHTTPServer):
    """Hears; answers as `answers` say, and takes what comes after that."""

    daemon_threads = True
    # It is closed while some of its connections hang on purpose.
    block_on_close = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Delivery)
        self.answers: Iterator[Answer] = iter(())
        self.came: queue.SimpleQueue[tuple[dict[str, str], bytes]] = queue.SimpleQueue()
        self.url = f"http://127.0.0.1:{self.server_port}/hooks?tenant=7"
        self._choosing = threading.Lock()

    def answer(self, answers: Iterable[Answer | int]) -> None:
        """Answer the next deliveries so."""
        self.answers = iter([one if isinstance(one, Answer) else Answer(one) for one in answers])

    def next_answer(self) -> Answer:
        with self._choosing:
            return next(self.answers, Answer())

    def hear(self, secret: str) -> Heard:
        """Return what comes next, once its signature holds."""
        fields, body = self.came.get(timeout=PATIENCE)
        said = Webhook(secret).verify(body, fields)
        # So does it for who receives with Licet.
        ours = Receiver(secret).authentic(lambda name: [fields[name]], body, time.time())
        assert said == json.loads(body) == ours.message
        assert fields["content-type"] == "application/json"
        return Heard(fields["webhook-id"], fields, said)

    def is_quiet(self) -> bool:
        """Return whether nothing has come that was not heard."""
        return self.came.empty()


class _Delivery(BaseHTTPRequestHandler):
    server: Ear

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            # Whoever was telling has ended.
            return
        fields = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.next_answer()
        self.server.came.put((fields, body))
        if answer.after is not None:
            answer.after.wait(PATIENCE)
        try:
            self.send_response(answer.status)
            for field in answer.fields:
                self.send_header(*field)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
        except ConnectionError:
            # Nobody waits for it any longer.
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def listening() -> Iterator[Ear]:
    """Yield a receiver that hears until the block is left."""
    with Ear() as ear:
        thread = threading.Thread(target=ear.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield ear
        finally:
            ear.shutdown()
            thread.join()
