"""A remote document, against a real server and a clock moved by hand."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from math import inf
from typing import Any

import pytest

from licet.core import flow, forks
from licet.core.documents.flight import Flight
from licet.core.documents.health import Health, Trouble
from licet.core.documents.remote import RemoteDocument
from licet.core.documents.schedule import Decision, Need, Schedule, State, Unavailable, UnknownKey
from licet.core.documents.unusable import Unusable
from licet.core.transport import Response, Transport, TransportError
from tests.core.hands import Hands
from tests.core.loopback import Loopback, Request, reply, until
from tests.core.vendor import rest


@dataclass(frozen=True)
class Copy:
    text: bytes
    stale_until: float = 0.0


class Text(RemoteDocument[Copy]):
    """The simplest document: whatever was served, unless that is `bad`."""

    def __init__(self, url: str | None, hands: Hands, **options: Any) -> None:
        self.troubles: list[Trouble] = []
        self.healths: list[Health] = []
        self.replacements: list[tuple[bytes | None, bytes]] = []
        self.read_after: list[Copy | None] = []
        self.landings = 0
        self.hands = hands
        super().__init__(
            url,
            schedule=options.pop("schedule", Schedule(600, 86_400, 30, lambda: 0.0)),
            transport=options.pop("transport", Transport()),
            clock=hands.clock,
            content_types=("text/plain",),
            max_bytes=100,
        )

    def parse(self, response: Response, before: Copy | None) -> Copy:
        self.read_after.append(before)
        if response.body == b"bad":
            raise ValueError("bad")
        if response.body == b"worse":
            raise RecursionError
        return Copy(response.body)

    def renewed(self, value: Copy, stale_until: float) -> Copy:
        return replace(value, stale_until=stale_until)

    def replaced(self, before: Copy | None, after: Copy) -> None:
        self.replacements.append((None if before is None else before.text, after.text))

    def troubled(self, trouble: Trouble, health: Health) -> None:
        self.troubles.append(trouble)
        self.healths.append(health)

    def landed(self) -> None:
        self.landings += 1

    def ask(self, need: Need = Need.PRESENT) -> Flight | Decision:
        with self._guarded:
            return self._ask(self._now(), need)

    def fetch(self) -> bool | None:
        """Fetch in this thread, as the first who waits would."""
        flight = self.ask(Need.MISSING)
        assert isinstance(flight, Flight), flight
        return flight.run()

    def at_rest(self) -> bool:
        return not self.health().in_flight and self._launched_at is None


@dataclass
class Recorded(Transport):
    """A transport that never opens a socket: answers from a list, and counts."""

    answers: list[Response | Exception | BaseException] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    before: Callable[[], object] = lambda: None

    def fetch(self, url: str, *, headers: Any, deadline: float, max_bytes: int) -> Response:
        self.asked.append(dict(headers))
        answer = self.answers.pop(0) if self.answers else OK
        self.before()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def answered(body: bytes = b"one", status: int = 200, **headers: str) -> Response:
    fields = {"content-type": "text/plain"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, fields, body)


OK = answered()


def document(*answers: Response | BaseException, **options: Any) -> tuple[Text, Recorded, Hands]:
    hands, transport = Hands(), Recorded(list(answers))
    return Text("http://127.0.0.1/x", hands, transport=transport, **options), transport, hands


@pytest.fixture(name="no_threads")
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


# -- what an answer does -------------------------------------------------------------------------


def test_a_200_becomes_the_copy_at_hand() -> None:
    """The copy carries the wall time of its end, and whoever subclasses hears of it."""
    with Loopback(lambda _: reply(200, b"one", "text/plain; charset=utf-8")) as server:
        text = Text(server.url, Hands())
        assert text.fetch() is True
    assert text.snapshot == Copy(b"one", text.hands.wall + 600 + 86_400)
    assert text.replacements == [(None, b"one")]
    assert server.log[0].headers["accept"] == "text/plain"
    assert "if-none-match" not in server.log[0].headers
    assert text.look_at == text.hands.monotonic + 480


def test_a_304_confirms_the_copy_at_hand() -> None:
    """The tag is sent, the copy stays the same, and its times are new."""

    def answer(request: Request) -> bytes:
        if request.headers.get("if-none-match") == '"v1"':
            return reply(304, ETag='"v1"', Cache_Control="max-age=100")
        return reply(200, b"one", "text/plain", ETag='"v1"')

    with Loopback(answer) as server:
        text = Text(server.url, Hands())
        assert text.fetch() is True
        text.hands.advance(590)
        assert text.fetch() is True
    assert text.snapshot == Copy(b"one", text.hands.wall + 100 + 86_400)
    assert text.health().state is State.FRESH
    assert text.replacements == [(None, b"one")]
    assert len(server.log) == 2


def test_a_new_copy_is_read_and_told_beside_the_one_before_it() -> None:
    """Whoever reads it can compare, whoever hears of it knows both, and then there is time."""
    text, _, hands = document(answered(b"one"), answered(b"two"), answered(status=500))
    for _ in range(3):
        text.fetch()
        hands.advance(60)
    assert text.replacements == [(None, b"one"), (b"one", b"two")]
    assert [copy and copy.text for copy in text.read_after] == [None, b"one"]
    assert text.landings == 3, "behind a failure too"


def test_a_success_leaves_no_error_behind() -> None:
    """What was wrong is forgotten with the first answer that is right."""
    text, _, hands = document(TransportError("connect"), OK)
    assert text.fetch() is False
    assert text.health().error == "connect"
    hands.advance(1)
    assert text.fetch() is True
    assert (text.health().error, text.health().failures) == (None, 0)


@pytest.mark.row("H14")
def test_h14_a_304_without_a_copy_is_a_failure() -> None:
    """Nobody asked for a comparison, so nothing was confirmed."""
    text, transport, _ = document(answered(status=304))
    assert text.fetch() is False
    assert text.snapshot is None
    assert text.health().error == "status_304"
    assert "if-none-match" not in transport.asked[0]


def test_a_new_copy_without_a_tag_forgets_the_old_tag() -> None:
    """The tag always belongs to the copy at hand."""
    text, transport, _ = document(answered(etag='"1"'), answered(b"two"), answered(b"three"))
    for _ in range(2):
        assert text.fetch()
    text.hands.advance(60)
    assert text.fetch()
    assert [asked.get("if-none-match") for asked in transport.asked] == [None, '"1"', None]


@pytest.mark.row("H03")
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        *[(answered(status=status), f"status_{status}") for status in (201, 204, 206, 301, 404)],
        *[(answered(status=status), f"status_{status}") for status in (302, 308, 429, 500, 503)],
        (Response(200, {}, b"one"), "content_type"),
        (answered(content_type="text/html"), "content_type"),
        (answered(content_type="text/plain, text/html"), "content_type"),
        (answered(content_type="application/json"), "content_type"),
        (answered(b"bad"), "invalid"),
        (answered(b"worse"), "internal_RecursionError"),
        (TransportError("timeout"), "timeout"),
        (TransportError("tls"), "tls"),
        (OSError("secret address"), "internal_OSError"),
    ],
)
def test_h03_anything_else_leaves_the_copy_at_hand(
    answer: Response | Exception, error: str
) -> None:
    """A failed fetch changes nothing but the back-off, and says why in one word."""
    text, _, hands = document(answered(b"one"), answer)
    assert text.fetch()
    hands.advance(500)
    before = text.snapshot
    assert text.fetch() is False
    assert text.snapshot is before
    health = text.health()
    assert (health.error, health.failures) == (error, 1)
    assert health.retry_after == 0.5
    assert text.look() is True
    assert text.look_at == hands.monotonic + 0.5


@pytest.mark.parametrize(
    ("value", "wait"),
    [("7", 7.0), ("9999", 300.0), ("-1", 0.5), ("soon", 0.5), ("9" * 400, 300.0), ("", 0.5)],
)
def test_retry_after_in_seconds_is_honoured(value: str, wait: float) -> None:
    """Up to 300 seconds; nonsense counts for nothing."""
    text, _, _ = document(answered(status=503, retry_after=value))
    text.fetch()
    assert text.health().retry_after == wait


def test_retry_after_as_a_date_is_honoured() -> None:
    """It counts from the wall time at which the fetch began."""
    until = formatdate(Hands().wall + 90, usegmt=True)
    text, _, _ = document(answered(status=503, retry_after=until))
    text.fetch()
    assert text.health().retry_after == 90


# -- who fetches, and when -----------------------------------------------------------------------


def test_nothing_at_hand_serves_nobody() -> None:
    """EMPTY: memory may not serve, and looking starts nothing."""
    text, transport, _ = document()
    assert text.look() is False
    assert transport.asked == []
    assert text.health().state is State.EMPTY
    assert text.health().age is None


def test_a_due_refresh_is_started_behind_the_back() -> None:
    """Whoever looks first starts one thread; the others are told to come back later."""
    begun, released = threading.Event(), threading.Event()
    text, transport, hands = document(answered(b"one"), answered(b"two"))
    assert text.fetch()
    transport.before = lambda: (begun.set(), released.wait(20))
    hands.advance(479)
    assert hands.monotonic < text.look_at
    hands.advance(1)
    assert hands.monotonic >= text.look_at
    assert text.look() is True
    assert begun.wait(10)
    assert text.look_at == hands.monotonic + 5
    assert text.look() is True
    assert text.health().in_flight
    assert text.snapshot is not None
    assert text.snapshot.text == b"one"
    released.set()
    rest()
    assert text.snapshot is not None
    assert text.snapshot.text == b"two"
    assert len(transport.asked) == 2
    assert text.look_at == hands.monotonic + 480


@pytest.mark.usefixtures("no_threads")
def test_where_no_thread_starts_one_request_fetches_per_back_off() -> None:
    """The first who looks fetches inline; until the back-off is over nobody else does."""
    text, transport, hands = document(OK, TransportError("connect"), answered(b"two"))
    assert text.fetch()
    hands.advance(480)
    for _ in range(5):
        assert text.look() is True
    assert len(transport.asked) == 2
    hands.advance(0.5)
    for _ in range(5):
        assert text.look() is True
    assert len(transport.asked) == 3
    assert text.snapshot is not None
    assert text.snapshot.text == b"two"


def test_a_thread_that_never_begins_is_replaced_after_five_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where threads start and never run, a request fetches inline."""
    text, transport, hands = document(OK, answered(b"two"))
    assert text.fetch()
    monkeypatch.setattr(threading.Thread, "start", lambda _: None)
    hands.advance(480)
    assert text.look()
    hands.advance(4.9)
    assert text.look()
    assert len(transport.asked) == 1
    hands.advance(0.1)
    assert text.look()
    assert len(transport.asked) == 2
    assert text.at_rest()


def test_past_its_end_nothing_is_served() -> None:
    """DEAD: memory may not serve; whoever waits fetches anew."""
    text, _, hands = document(OK, answered(b"two"))
    assert text.fetch()
    hands.advance(87_000)
    assert hands.monotonic >= text.look_at
    assert text.look() is False
    assert text.fetch()
    assert text.look() is True


@pytest.mark.row("H11")
def test_h11_a_stale_copy_serves_through_an_outage() -> None:
    """Up to `max_stale` the old copy serves, every look notwithstanding, and is announced once."""
    text, _, hands = document(OK, *[TransportError("connect")] * 5_000)
    assert text.fetch()
    end = hands.monotonic + 87_000
    while (now := max(hands.monotonic, text.look_at)) < end:
        hands.advance(now - hands.monotonic)
        assert text.look() is True
        rest()
        hands.advance(20)
    hands.advance(max(0, end - hands.monotonic))
    assert text.look() is False
    assert text.troubles == [Trouble.FAILING, Trouble.STALE, Trouble.DEAD]


def test_troubles_are_told_again_after_a_recovery() -> None:
    """Once per transition, not once per failure."""
    failure = TransportError("connect")
    text, _, hands = document(failure, failure, OK, failure)
    for _ in range(4):
        text.fetch()
        hands.advance(5)
    assert text.troubles == [Trouble.FAILING, Trouble.FAILING]
    assert [(health.error, health.failures) for health in text.healths] == [("connect", 1)] * 2


def test_a_copy_to_start_from_is_due_at_once() -> None:
    """It serves, and the first who looks starts the refresh."""
    text, transport, hands = document(answered(b"new"))
    text._begin_with(Copy(b"floor"))
    assert text.look_at <= hands.monotonic
    assert text.look() is True
    until(lambda: text.snapshot is not None and text.snapshot.text == b"new")
    assert len(transport.asked) == 1


def test_a_copy_from_an_earlier_run_is_as_old_as_it_is() -> None:
    """It serves, is due at once, and ends when it would have ended there."""
    text, _, hands = document(TransportError("connect"))
    text._begin_with(Copy(b"kept"), (hands.wall - 1_000, 300.0))
    assert text.snapshot == Copy(b"kept", hands.wall - 1_000 + 300 + 86_400)
    assert (text.health().state, text.health().age) == (State.DUE, 1_000)
    assert text.look() is True
    rest()
    hands.advance(86_400 + 300 - 1_000)
    assert text.look() is False


def test_a_document_without_address_never_changes() -> None:
    """No fetch, no end, nothing to look for."""
    hands = Hands()
    text = Text(None, hands)
    text._begin_with(Copy(b"fixed"))
    hands.advance(10**9)
    assert text.look_at == float("inf")
    assert text.look() is True
    text.warm()
    assert text.at_rest()
    assert not isinstance(text.ask(Need.MISSING), Flight)


def test_warming_fetches_once_in_the_background() -> None:
    """At start-up nobody waits; a second call starts nothing while the first runs, nor after."""
    begun, released = threading.Event(), threading.Event()
    text, transport, _ = document()
    transport.before = lambda: (begun.set(), released.wait(20))
    text.warm()
    text.warm()
    assert begun.wait(10)
    text.warm()
    released.set()
    until(lambda: text.snapshot is not None)
    text.warm()
    assert len(transport.asked) == 1


def test_warming_what_came_with_the_installation_gives_the_flight_time_to_begin() -> None:
    """Until then nobody who serves from memory has to look."""
    released = threading.Event()
    text, transport, hands = document()
    text._begin_with(Copy(b"floor"))
    assert text.look_at == hands.monotonic
    transport.before = lambda: released.wait(20)
    text.warm()
    assert text.look_at == hands.monotonic + 5
    released.set()
    rest()
    assert text.look_at == hands.monotonic + 480
    assert len(transport.asked) == 1


def test_a_copy_says_itself_how_long_it_is_good_and_when_it_ends() -> None:
    """What a kind of document knows of its copies goes before the fields of the answer."""
    asked: list[tuple[bytes, float | None, float]] = []

    class Dated(Text):
        def good_for(self, value: Copy, said: float | None, wall: float) -> float | None:
            asked.append((value.text, said, wall))
            return 200.0

        def ends(self, value: Copy) -> float:
            return 1_800_000_300.0

    hands = Hands()
    transport = Recorded([answered(etag='"1"', cache_control="max-age=90"), answered(status=304)])
    text = Dated("http://127.0.0.1/x", hands, transport=transport)
    assert text.fetch()
    assert text.look_at == hands.monotonic + 160
    assert text.snapshot == Copy(b"one", 1_800_000_300.0)
    hands.advance(160)
    assert text.fetch()
    assert asked == [(b"one", 90.0, 1_800_000_000.0), (b"one", None, 1_800_000_160.0)]
    assert text.look_at == hands.monotonic + 140, "its end is nearer than its next refresh"
    hands.advance(140)
    assert text.current() is None
    assert text.fetch()
    assert [one.get("if-none-match") for one in transport.asked] == [None, '"1"', None]


def test_what_may_serve_is_had_without_a_lock() -> None:
    """In memory and before `look_at`; past its end on either clock there is nothing."""
    text, transport, hands = document()
    assert text.current() is None
    text.fetch()
    with text._lock:
        assert text.current() is text.snapshot
    hands.advance(480)
    assert text.current() is not None, "while a newer one is fetched"
    rest()
    assert len(transport.asked) == 2
    hands.suspend(600 + 86_400)
    assert text.current() is None


def test_a_word_for_what_is_of_no_use_is_told() -> None:
    """A fixed one, where whoever reads it has one."""

    class Strict(Text):
        def parse(self, response: Response, before: Copy | None) -> Copy:
            raise Unusable("older")

    text = Strict("http://127.0.0.1/x", Hands(), transport=Recorded())
    assert text.fetch() is False
    assert text.health().error == "older"


def test_a_hint_fetches_at_once_behind_the_back() -> None:
    """However fresh the copy at hand is; it serves meanwhile, and hints do not add up."""
    released = threading.Event()
    text, transport, _ = document(OK, answered(b"two"))
    text.fetch()
    transport.before = lambda: released.wait(20)
    with text._guarded:
        # Not yet begun, so what it brings is newer than whatever was said until now.
        text._board()
    text.hasten()
    assert text.current() == text.snapshot
    until(lambda: len(transport.asked) == 2)
    released.set()
    rest()
    assert text.replacements[1:] == [(b"one", b"two")]
    assert len(transport.asked) == 2
    assert text.health().state is State.FRESH


def test_a_hint_is_not_lost_on_a_flight_that_left_before_it() -> None:
    """Its answer may be older than the change: one more follows, and only one."""
    begun, released = threading.Event(), threading.Event()
    text, transport, hands = document(OK, answered(b"before"), answered(b"after"))
    text.fetch()
    hands.advance(480)
    transport.before = lambda: (begun.set(), released.wait(20))
    assert text.look()
    assert begun.wait(10)
    for _ in range(3):
        text.hasten()
    assert len(transport.asked) == 2
    released.set()
    until(lambda: text.snapshot is not None and text.snapshot.text == b"after")
    rest()
    assert len(transport.asked) == 3
    assert text.health().state is State.FRESH


def test_no_hint_is_lost_whoever_gives_it() -> None:
    """Threads that change the document and say so end with the last change in force."""

    class Changing(Recorded):
        now = 0

        def fetch(self, url: str, *, headers: Any, deadline: float, max_bytes: int) -> Response:
            was = self.now
            time.sleep(0.0005)
            return answered(b"%d" % was)

    transport, counting = Changing(), threading.Lock()
    text = Text("http://127.0.0.1/x", Hands(), transport=transport)
    text.fetch()

    def change() -> None:
        for _ in range(50):
            with counting:
                transport.now += 1
            text.hasten()
            # So that some are given before a flight, some in it and some behind it.
            time.sleep(0.0002)

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    until(lambda: text.snapshot is not None and text.snapshot.text == b"200")
    until(text.at_rest)
    assert len(text.replacements) < 200, "and they do not add up"


def test_a_hint_waits_for_the_back_off() -> None:
    """A server in trouble is not asked more often; whoever looks afterwards asks it."""
    text, transport, hands = document(OK, TransportError("connect"), answered(b"two"))
    text.fetch()
    text.hasten()
    until(lambda: text.health().failures == 1)
    text.hasten()
    rest()
    assert len(transport.asked) == 2
    assert text.look_at == hands.monotonic + 0.5
    hands.advance(0.5)
    assert text.look()
    until(lambda: text.snapshot is not None and text.snapshot.text == b"two")


def test_a_hint_about_what_was_never_fetched_fetches_it() -> None:
    """And one about what is nowhere does nothing."""
    text, transport, hands = document()
    text.hasten()
    until(lambda: text.snapshot is not None)
    assert len(transport.asked) == 1
    fixed = Text(None, hands, transport=transport)
    fixed._begin_with(Copy(b"floor"))
    fixed.hasten()
    assert fixed.look_at == inf
    assert len(transport.asked) == 1


@pytest.mark.usefixtures("no_threads")
def test_a_hint_without_threads_is_followed_inline() -> None:
    """Whoever gives it performs the fetch, as whoever looks would."""
    text, transport, _ = document()
    text.hasten()
    assert text.snapshot is not None
    assert len(transport.asked) == 1


def test_warming_respects_the_back_off() -> None:
    """A failure just now is reason enough to wait."""
    text, transport, _ = document(TransportError("connect"))
    text.fetch()
    text.warm()
    assert len(transport.asked) == 1


@pytest.mark.usefixtures("no_threads")
def test_warming_without_threads_leaves_it_to_the_first_request() -> None:
    """The flight stays unclaimed, and whoever waits performs it."""
    text, transport, _ = document()
    text.warm()
    assert transport.asked == []
    assert text.fetch() is True


def test_a_flight_left_behind_is_taken_by_the_next() -> None:
    """Somebody boards and never waits; the next to come gets the same flight and performs it."""
    text, transport, _ = document()
    left = text.ask()
    assert isinstance(left, Flight)
    assert text.ask() is left
    assert not text.health().in_flight
    assert left.run() is True
    assert len(transport.asked) == 1


def test_the_last_flight_of_the_budget_is_joined_and_the_next_is_not_begun() -> None:
    """Two flights for something missing, whoever joins them for nothing; the third is a no."""
    text, transport, _ = document()
    assert text.fetch()
    for _ in range(2):
        paid = text.ask(Need.MISSING)
        assert isinstance(paid, Flight)
        assert text.ask(Need.MISSING) is text.ask(Need.MISSING) is paid
        assert paid.run() is True
    assert text.ask(Need.MISSING) == UnknownKey()
    assert len(transport.asked) == 3


def test_a_refresh_is_joined_without_paying() -> None:
    """Whoever lacks something while one is under way takes nothing from the budget."""
    text, _, hands = document()
    assert text.fetch()
    for _ in range(5):
        hands.advance(480)
        with text._guarded:
            refresh = text._board()
        assert text.ask(Need.MISSING) is refresh
        assert refresh.run() is True
    for _ in range(2):
        assert text.fetch()
    assert text.ask(Need.MISSING) == UnknownKey()


def test_who_follows_waits_for_the_deadline_and_a_little() -> None:
    """Longer than any fetch lasts, so that whoever waits learns its outcome."""
    text, _, _ = document()
    flight = text.ask()
    assert isinstance(flight, Flight)
    assert flight._patience == 5.5


def test_a_flight_left_behind_does_not_hold_up_the_refresh() -> None:
    """A background refresh performs what nobody came to wait for."""
    text, transport, hands = document(OK, answered(b"two"))
    assert text.fetch()
    left = text.ask(Need.MISSING)
    assert isinstance(left, Flight)
    hands.advance(480)
    assert text.look()
    until(lambda: left.landed)
    assert len(transport.asked) == 2


def test_nobody_joins_a_flight_that_is_overdue() -> None:
    """Where the resolver hangs, those who come later are told at once that nobody knows."""
    begun, released = threading.Event(), threading.Event()
    text, transport, hands = document()
    transport.before = lambda: (begun.set(), released.wait(20))
    thread = threading.Thread(target=text.fetch)
    thread.start()
    assert begun.wait(10)
    hands.advance(5.5)
    assert isinstance(text.ask(), Flight)
    hands.advance(0.1)
    assert text.ask() == Unavailable(1.0)
    released.set()
    thread.join(10)
    assert text.look() is True


def test_a_lost_flight_is_given_up_and_its_late_result_discarded() -> None:
    """A thread that vanished for half a minute counts as a failure; what it brings is too late."""
    begun, released, outcomes = threading.Event(), threading.Event(), []
    text, transport, hands = document(answered(b"late"), answered(b"new"))
    transport.before = lambda: (begun.set(), released.wait(20))
    thread = threading.Thread(target=lambda: outcomes.append(text.fetch()))
    thread.start()
    assert begun.wait(10)
    hands.advance(30.0)
    assert text.ask() == Unavailable(1.0)
    assert text.health().error is None
    hands.advance(0.1)
    assert isinstance(text.ask(), Unavailable)
    assert text.health().error == "lost"
    transport.before = lambda: None
    hands.advance(1)
    assert text.fetch() is True
    released.set()
    thread.join(10)
    assert outcomes == [False]
    assert text.replacements == [(None, b"new")]


def test_an_interrupted_leader_leaves_order_behind() -> None:
    """A worker told to stop in the middle counts as a failed fetch, and the next may begin."""
    text, _, hands = document(KeyboardInterrupt(), OK)
    with pytest.raises(KeyboardInterrupt):
        text.fetch()
    assert text.health().error == "interrupted"
    assert not text.health().in_flight
    hands.advance(1)
    assert text.fetch() is True


def test_no_lock_is_held_while_a_fetch_lasts() -> None:
    """Health, looks and questions are answered while a server hangs."""
    begun, released = threading.Event(), threading.Event()
    text, transport, _ = document()
    transport.before = lambda: (begun.set(), released.wait(20))
    thread = threading.Thread(target=text.fetch)
    thread.start()
    assert begun.wait(10)
    began = time.monotonic()
    assert text.health().in_flight
    assert text.look() is False
    assert isinstance(text.ask(), Flight)
    assert time.monotonic() - began < 5
    released.set()
    thread.join(10)


def test_health_changes_nothing() -> None:
    """A probe starts no fetch, whatever is due."""
    text, transport, hands = document()
    assert text.fetch()
    hands.advance(700)
    health = text.health()
    assert (health.state, health.age, health.in_flight) == (State.STALE, 700, False)
    assert text.troubles == []
    assert len(transport.asked) == 1


# -- forks ---------------------------------------------------------------------------------------


def in_child(claim: Callable[[], bool]) -> int:
    """Return the exit status of a forked child: 0 if `claim` is true in it."""
    with warnings.catch_warnings():
        # From 3.12 on a fork beside threads warns, which is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if claim() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def hold(server: Loopback, released: threading.Event) -> Iterator[bytes]:
    if len(server.log) == 1:
        released.wait(20)
    yield reply(200, b"one", "text/plain")


@pytest.mark.row("S01")
@pytest.mark.parametrize("hook", [True, False])
def test_a_fork_in_mid_flight_leaves_the_child_free(
    hook: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child waits for no thread that it does not have; the parent's flight goes on.

    With the hook, and where a platform forks without telling anybody.
    """
    if not hook:
        monkeypatch.setattr(forks, "_everything", set())
    released = threading.Event()
    with Loopback(lambda _: hold(server, released)) as server:
        text = Text(server.url, Hands())
        thread = threading.Thread(target=text.fetch)
        thread.start()
        until(lambda: server.log)
        status = in_child(lambda: not text.health().in_flight and text.fetch() is True)
        released.set()
        thread.join(20)
    assert status == 0
    assert len(server.log) == 2
    assert text.snapshot is not None


@pytest.mark.row("S01")
def test_a_lock_held_at_the_fork_is_not_inherited() -> None:
    """Another thread held it; the child has one of its own."""
    text, _, _ = document()
    with text._lock:
        assert in_child(lambda: text.health().failures == 0) == 0


def test_another_process_is_noticed_without_the_hook() -> None:
    """On the slow path, before the lock is touched."""
    text, _, _ = document()
    lock = text._lock
    text._process = -1
    with lock:
        assert text.health().failures == 0
    assert text._lock is not lock


def test_a_flight_from_before_the_fork_does_nothing_after_it() -> None:
    """Its ticket is the parent's: nothing is fetched, and nothing put into force."""
    text, transport, _ = document()
    left = text.ask()
    assert isinstance(left, Flight)
    text.after_fork()
    assert left.run() is False
    assert transport.asked == []


@pytest.mark.row("S01")
def test_a_warm_parent_warms_its_children() -> None:
    """The copy at hand stays, and a child draws a moment of its own to renew it."""
    draws = iter([0.0, 0.0, 1.0])
    schedule = Schedule(600, 86_400, 30, lambda: next(draws))
    text, transport, hands = document(schedule=schedule)
    assert text.fetch()
    assert text.look_at == hands.monotonic + 480
    status = in_child(
        lambda: (
            text.snapshot is not None
            and text.snapshot.text == b"one"
            and round(text.look_at - hands.monotonic) == 570
            and text.look()
            and len(transport.asked) == 1
        )
    )
    assert status == 0


def test_one_document_that_cannot_begin_anew_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fork hook lets nothing out, which would end the worker."""
    text, _, _ = document()

    class Broken:
        def after_fork(self) -> None:
            raise RuntimeError

    monkeypatch.setattr(forks, "_everything", [Broken(), text])
    lock = text._lock
    forks._in_child()
    assert text._lock is not lock


def test_documents_are_forgotten_with_their_last_holder() -> None:
    """The fork hook keeps nothing alive."""
    text, _, _ = document()
    before = len(forks._everything)
    del text
    assert len(forks._everything) == before - 1


def test_a_flight_is_an_effect() -> None:
    """The driver of a decision can yield it as it is."""
    text, _, _ = document()

    def decision() -> flow.Flow[bool | None]:
        flight = text.ask()
        assert isinstance(flight, Flight)
        return (yield flight)

    assert flow.run(decision()) is True
