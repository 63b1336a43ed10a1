"""Four clients of a license server that is killed under them, each with a journal of its own.

A request without an answer may have been carried out or not. What can be asked twice is asked
until it is answered, a rotation is looked up; a journal holds nothing that was not acknowledged.
"""

from __future__ import annotations

import queue
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import jwt

#: Seconds for one answer, and for a server to be there again.
PATIENCE = 30.0
#: What may become of a license, step by step.
FATES = (
    (),
    ("revoke",),
    ("suspend",),
    ("suspend", "resume"),
    ("suspend", "revoke"),
    ("suspend", "resume", "revoke"),
)
EVENTS = {
    "revoke": "license.revoked",
    "suspend": "license.suspended",
    "resume": "license.resumed",
}
#: Keys that stay published, and seconds between two rotations at most.
KEYS, PAUSE = 10, 0.1
#: Each so many orders are an import of so many licenses.
IMPORT_EVERY, IMPORTED = 8, 5
#: Licenses that are counted, and what of them. Over a whole term: no month ends meanwhile.
METERED = ("metered-1", "metered-2")
LIMITS = {name: {"max": "unlimited", "per": "term"} for name in ("exports", "reports")}


class Line:
    """The way to a server that comes and goes at one address.

    Args:
        url: the address.

    Attributes:
        is_up: while there is somebody to ask.
        was_heard: set by each answer.
        is_closing: set when the clients are to end.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_up, self.was_heard, self.is_closing = (threading.Event() for _ in range(3))
        self._strikes: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def up(self) -> None:
        """Let the clients ask, and return as soon as one of them was answered."""
        self.was_heard.clear()
        self.is_up.set()
        assert self.was_heard.wait(PATIENCE)

    def down(self) -> None:
        """Have the clients wait; a request that is under way goes on."""
        self.is_up.clear()

    def at_next_answer(self, strike: Callable[[], object]) -> None:
        """Have something done by whoever is answered next, before anything else; wait for it."""
        done = threading.Event()

        def struck() -> None:
            strike()
            done.set()

        self._strikes.put(struck)
        assert done.wait(PATIENCE)

    def answered(self) -> None:
        """Take note of an answer."""
        with suppress(queue.Empty):
            self._strikes.get_nowait()()
        self.was_heard.set()

    def close(self) -> None:
        """Have everybody end who has what they asked for."""
        self.is_closing.set()
        self.is_up.set()


class Client:
    """What the clients have in common: they ask, and go on until the line is closed.

    Args:
        line: to the server.
        key: an API key.
        name: makes what it does by chance its own, and the same each time.

    Attributes:
        answers: how many it got.
        unanswered: how many requests got none.
    """

    def __init__(self, line: Line, key: str, name: str) -> None:
        self.line, self.random = line, random.Random(name)
        self.answers = self.unanswered = 0
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(
            base_url=line.url, headers=headers, trust_env=False, timeout=PATIENCE
        )

    def run(self) -> None:
        """Ask, and ask again."""
        with self._http:
            while not self.line.is_closing.is_set():
                self.step()

    def step(self) -> None:
        """Do one thing, until it is known to be done."""
        raise NotImplementedError

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response | None:
        """Send a request once; return None where no answer came."""
        assert self.line.is_up.wait(PATIENCE)
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError:
            if self.line.is_closing.is_set():
                raise
            self.unanswered += 1
            return None
        self.line.answered()
        assert answer.status_code < 500, answer.text
        self.answers += 1
        return answer

    def insist(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Send a request until it is answered."""
        while True:
            answer = self.ask(method, path, body)
            if answer is not None:
                return answer


class Issuing(Client):
    """Issues licenses, one by one and many at once.

    Attributes:
        issued: of each license its opaque key; None where the answer with it was lost.
        kids: of licenses the key that signed them.
        found: how many requests without an answer had been carried out all the same.
        fresh: ids, for whoever withdraws.
    """

    def __init__(self, line: Line, key: str) -> None:
        super().__init__(line, key, "issuing")
        self.issued: dict[str, str | None] = {}
        self.kids: dict[str, str] = {}
        self.found = self._steps = 0
        self.fresh: queue.SimpleQueue[str] = queue.SimpleQueue()

    def step(self) -> None:
        self._steps += 1
        many = self._steps % IMPORT_EVERY == 0
        orders = [self._order(number) for number in range(IMPORTED if many else 1)]
        before = self.unanswered
        if many:
            answer = self.insist("POST", "/v1/licenses/import", orders)
        else:
            answer = self.insist("POST", "/v1/licenses", orders[0])
        if answer.status_code == 409:
            # By nobody else than by the request before: its licenses are there, all of them.
            assert self.unanswered > before, answer.text
            self.found += 1
            self.issued.update((order["id"], None) for order in orders)
        else:
            assert answer.status_code == 201, answer.text
            given = answer.json()
            for each in given.get("licenses", [given]):
                self.issued[each["id"]] = each["key"]
                self.kids[each["id"]] = jwt.get_unverified_header(each["token"])["kid"]
        for order in orders:
            self.fresh.put(order["id"])

    def _order(self, number: int) -> dict[str, Any]:
        name = f"shop-{self._steps}-{number}"
        return {"id": name, "key": True, "status": self.random.random() < 0.5}


class Withdrawing(Client):
    """Revokes, suspends and resumes what was issued; it has a license to itself.

    Attributes:
        done: of each license the events that were acknowledged, in order.
    """

    def __init__(self, line: Line, key: str, fresh: queue.SimpleQueue[str]) -> None:
        super().__init__(line, key, "withdrawing")
        self.done: dict[str, list[str]] = {}
        self._fresh = fresh

    def step(self) -> None:
        try:
            name = self._fresh.get(timeout=0.05)
        except queue.Empty:
            return
        for act in self.random.choice(FATES):
            answer = self.insist("POST", f"/v1/licenses/{name}/{act}", {"reason": act})
            assert answer.status_code == 200, answer.text
            self.done.setdefault(name, []).append(EVENTS[act])


class Rotating(Client):
    """Rotates keys, and retires the oldest but one, so that gates can read those that are left.

    The very first stays: it has signed the license that is presented to applications.

    Attributes:
        rotated: the keys that were acknowledged, oldest first.
        retired: likewise.
    """

    def __init__(self, line: Line, key: str) -> None:
        super().__init__(line, key, "rotating")
        self.rotated: list[str] = []
        self.retired: list[str] = []

    def step(self) -> None:
        answer = self.ask("POST", "/v1/keys/rotate", {})
        if answer is not None:
            assert answer.status_code == 200, answer.text
            self.rotated.append(answer.json()["kid"])
        listed = self.insist("GET", "/v1/keys").json()["keys"]
        published = [key["kid"] for key in listed if key["retired_at"] is None]
        for kid in published[1:-KEYS]:
            answer = self.insist("POST", f"/v1/keys/{kid}/retire", {})
            assert answer.status_code == 200, answer.text
            self.retired.append(kid)
        self.line.is_closing.wait(self.random.uniform(0, PAUSE))


class Counting(Client):
    """Reports what was used.

    Attributes:
        sums: of each license and name how much was acknowledged.
        batches: what was sent, the last last.
    """

    def __init__(self, line: Line, key: str) -> None:
        super().__init__(line, key, "counting")
        self.sums: Counter[tuple[str, str]] = Counter()
        self.batches: list[dict[str, Any]] = []

    def step(self) -> None:
        name, now = self.random.choice(METERED), time.time()
        used = {each: self.random.randrange(1, 1000) for each in LIMITS}
        batch = {
            "batch_id": f"batch-{len(self.batches)}",
            "license_id": name,
            "counters": [
                {"name": each, "from": now - 1, "to": now, "count": count}
                for each, count in used.items()
            ],
        }
        answer = self.insist("POST", "/v1/usage", batch)
        assert answer.status_code == 204, answer.text
        self.batches.append(batch)
        self.sums.update({(name, each): count for each, count in used.items()})


@contextmanager
def reserved() -> Iterator[int]:
    """Keep a port of loopback for one server at a time, and from everybody else.

    While the server is away, nothing that is given a free port is given this one.
    """
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]
