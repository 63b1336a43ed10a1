"""One suite for every store, in threads and in event loops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from math import inf, nan
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.flow import Effect
from licet.core.stores import MAX_COUNT, PAGE, News, Store, StoreUnavailable, key, sqlite
from licet.core.stores.memory import MemoryStore
from tests.core.backends import BACKENDS, WORLDS, Ask, Backend, opened, world
from tests.core.hands import Hands

ALICE, BOB, CAROL = (key("user", name) for name in ("alice", "bob", "carol"))
CALLS = key("calls")


@pytest.fixture(name="backend", params=BACKENDS)
def _backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with opened(request.param, tmp_path) as backend:
        yield backend


@pytest.fixture(name="store")
def _store(backend: Backend) -> Store:
    return backend.open()


@pytest.fixture(name="ask", params=WORLDS)
def _ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    with world(request.param) as ask:
        yield ask


def test_counts_up_to_the_limit_and_not_beyond(store: Store, ask: Ask) -> None:
    """What would go beyond the limit is refused whole, and what still fits is counted."""
    assert ask(store.increment(CALLS, 3, 5, 60))[:2] == (True, 3)
    assert ask(store.increment(CALLS, 3, 5, 60))[:2] == (False, 3)
    assert ask(store.increment(CALLS, 2, 5, 60))[:2] == (True, 5)
    assert ask(store.increment(CALLS, 1, 5, 60))[:2] == (False, 5)


def test_a_limit_of_nothing_permits_nothing(store: Store, ask: Ask) -> None:
    """With a limit of 0, or below, neither a call nor a seat is granted."""
    for limit in (0, -1):
        assert ask(store.increment(CALLS, 1, limit, 60))[:2] == (False, 0)
        assert ask(store.admit(CALLS, ALICE, limit, 60))[:2] == (False, 0)


@pytest.mark.row("P05")
def test_refunds_give_back_what_was_counted_and_no_more(store: Store, ask: Ask) -> None:
    """A negative amount is given back, never below 0, also where nothing was counted."""
    assert ask(store.increment(CALLS, -7, 5, 60))[:2] == (True, 0)
    ask(store.increment(CALLS, 5, 5, 60))
    assert ask(store.increment(CALLS, -2, 5, 60))[:2] == (True, 3)
    assert ask(store.increment(CALLS, -(2**70), 5, 60))[:2] == (True, 0)
    assert ask(store.increment(CALLS, 6, 5, 60))[:2] == (False, 0)


def test_a_refund_is_taken_whatever_the_limit_is_now(store: Store, ask: Ask) -> None:
    """A limit that was lowered below the count does not keep anything from being given back."""
    ask(store.increment(CALLS, 5, 5, 60))
    assert ask(store.increment(CALLS, -1, 2, 60))[:2] == (True, 4)


def test_nothing_only_asks(store: Store, ask: Ask) -> None:
    """An amount of 0 tells what was counted, and whether it is within the limit."""
    assert ask(store.increment(CALLS, 0, 5, 60))[:2] == (True, 0)
    ask(store.increment(CALLS, 4, None, 60))
    assert ask(store.increment(CALLS, 0, 4, 60))[:2] == (True, 4)
    assert ask(store.increment(CALLS, 0, 3, 60))[:2] == (False, 4)


@pytest.mark.row("P05")
def test_no_number_is_too_large(store: Store, ask: Ask) -> None:
    """Counting stops at the largest exact number, whatever the amount, without a limit too."""
    for limit in (None, MAX_COUNT, 2**63, 2**64):
        assert ask(store.increment(CALLS, MAX_COUNT, limit, 60))[:2] == (True, MAX_COUNT)
        for amount in (1, MAX_COUNT, MAX_COUNT + 1, 2**63, 2**64, 10**30):
            assert ask(store.increment(CALLS, amount, limit, 60))[:2] == (False, MAX_COUNT)
        assert ask(store.increment(CALLS, -1, limit, 60))[:2] == (True, MAX_COUNT - 1)
        assert ask(store.increment(CALLS, 1, limit, 60))[:2] == (True, MAX_COUNT)
        assert ask(store.increment(CALLS, -MAX_COUNT, limit, 60))[:2] == (True, 0)


@pytest.mark.row("P05")
def test_a_count_begins_anew_when_its_window_ends(store: Store, ask: Ask, backend: Backend) -> None:
    """The window is that of the first call: later ones, refused or not, do not prolong it."""
    window = 4 * backend.unit
    assert ask(store.increment(CALLS, 1, 2, window)).resets_in == pytest.approx(window, rel=0.01)
    backend.wait(2)
    for _ in range(2):
        assert ask(store.increment(CALLS, 1, 2, 10 * window)).resets_in <= 2 * backend.unit
    assert not ask(store.increment(CALLS, 1, 2, window)).allowed
    backend.wait(2.1)
    assert ask(store.increment(CALLS, 0, 2, window))[:2] == (True, 0)
    assert ask(store.increment(CALLS, -1, 2, window))[:2] == (True, 0)
    assert ask(store.increment(CALLS, 2, 2, window))[:2] == (True, 2)


def test_seats_are_for_distinct_members(store: Store, ask: Ask) -> None:
    """Who holds a seat may come again, and nobody else gets one beyond the limit."""
    assert ask(store.admit(CALLS, ALICE, 2, 60))[:2] == (True, 1)
    assert ask(store.admit(CALLS, ALICE, 2, 60))[:2] == (True, 1)
    assert ask(store.admit(CALLS, BOB, 2, 60))[:2] == (True, 2)
    assert ask(store.admit(CALLS, CAROL, 2, 60))[:2] == (False, 2)
    assert ask(store.admit(CALLS, ALICE, 2, 60))[:2] == (True, 2)
    assert ask(store.admit(CALLS, CAROL, None, 60))[:2] == (True, 3)


def test_a_seat_becomes_free_when_its_window_has_rolled_by(
    store: Store, ask: Ask, backend: Backend
) -> None:
    """It is prolonged by coming again, and the refused are told when the next one is free."""
    window = 4 * backend.unit
    ask(store.admit(CALLS, ALICE, 2, window))
    ask(store.admit(CALLS, BOB, 2, window))
    backend.wait(2)
    ask(store.admit(CALLS, ALICE, 2, window))
    refused = ask(store.admit(CALLS, CAROL, 2, window))
    assert not refused.allowed
    assert 0 < refused.resets_in <= 2 * backend.unit
    backend.wait(2.1)
    assert ask(store.admit(CALLS, CAROL, 2, window))[:2] == (True, 2)
    assert not ask(store.admit(CALLS, BOB, 2, window)).allowed
    assert ask(store.admit(CALLS, ALICE, 2, window)).allowed


def test_a_lowered_limit_keeps_the_seats_of_who_came_last(
    store: Store, ask: Ask, backend: Backend
) -> None:
    """Of three seated the limit of one leaves the latest; the refused are told a real time."""
    for member in (ALICE, BOB, CAROL):
        ask(store.admit(CALLS, member, 3, 4 * backend.unit))
        backend.wait(0.2)
    for member, allowed in ((ALICE, False), (BOB, False), (CAROL, True), (BOB, False)):
        answer = ask(store.admit(CALLS, member, 1, 4 * backend.unit))
        assert answer[:2] == (allowed, 3)
    # Carol has come again: two more seats have to lapse, then hers.
    assert 3.2 * backend.unit < answer.resets_in <= 4 * backend.unit


def test_no_seat_outlasts_the_window(store: Store, ask: Ask, backend: Backend) -> None:
    """What was taken for longer, or by a clock that was ahead, is kept as if taken just now."""
    assert ask(store.admit(CALLS, ALICE, 1, 1_000 * backend.unit)).allowed
    assert not ask(store.admit(CALLS, BOB, 1, backend.unit)).allowed
    backend.wait(1.1)
    assert ask(store.admit(CALLS, BOB, 1, backend.unit)).allowed


def test_a_limit_of_nothing_frees_no_seat(store: Store, ask: Ask) -> None:
    """Lowered to 0, it lets nobody in who was seated, and tells of a whole window."""
    ask(store.admit(CALLS, ALICE, 1, 60))
    refused = ask(store.admit(CALLS, ALICE, 0, 60))
    assert refused[:2] == (False, 1)
    assert refused.resets_in == pytest.approx(60, abs=1)


def test_what_was_seen_is_seen_until_it_ends(store: Store, ask: Ask, backend: Backend) -> None:
    """Setting succeeds once for as long as was said, and not a moment earlier again."""
    assert ask(store.set_if_absent(CALLS, 4 * backend.unit)) is True
    assert ask(store.set_if_absent(CALLS, 4 * backend.unit)) is False
    backend.wait(3)
    assert ask(store.set_if_absent(CALLS, 60)) is False
    backend.wait(1.1)
    assert ask(store.set_if_absent(CALLS, 60)) is True


def test_what_is_deleted_can_be_set_again(store: Store, ask: Ask) -> None:
    """A lock that was given back is there for the next."""
    for _ in range(3):
        assert ask(store.set_if_absent(CALLS, 60)) is True
        assert ask(store.set_if_absent(CALLS, 60)) is False
        ask(store.delete(CALLS))
    ask(store.delete(CALLS))
    assert ask(store.get(CALLS)) is None


@pytest.mark.parametrize(
    "value", [b"", b"0", b"None", b"\0\r\n\xff" * 9, bytes(100_000)], ids=range(5)
)
def test_what_is_put_comes_back_as_it_was(store: Store, ask: Ask, value: bytes) -> None:
    """Any bytes, in place of what was there, until they are deleted."""
    assert ask(store.get(CALLS)) is None
    ask(store.put(CALLS, b"earlier", 60))
    ask(store.put(CALLS, value, 60))
    assert ask(store.get(CALLS)) == value
    assert ask(store.set_if_absent(CALLS, 60)) is False
    ask(store.delete(CALLS))
    assert ask(store.get(CALLS)) is None


def test_what_is_put_lives_as_long_as_it_was_last_put_for(
    store: Store, ask: Ask, backend: Backend
) -> None:
    """A value ends, and one that is put again is counted from then."""
    ask(store.put(CALLS, b"x", 2 * backend.unit))
    ask(store.put(BOB, b"y", 60))
    ask(store.put(BOB, b"z", 2 * backend.unit))
    backend.wait(1)
    ask(store.put(CALLS, b"x", 4 * backend.unit))
    backend.wait(1.5)
    assert ask(store.get(CALLS)) == b"x"
    assert ask(store.get(BOB)) is None
    backend.wait(3)
    assert ask(store.get(CALLS)) is None


def test_the_generation_is_that_of_the_latest_announcement(store: Store, ask: Ask) -> None:
    """It is 0 at first, stays while nobody announces anything, and grows with whoever does."""
    seen = [ask(store.generation())]
    for name in (ALICE, BOB, ALICE):
        generation = ask(store.announce(name, b"", 60))
        assert ask(store.generation()) == ask(store.generation()) == generation
        seen.append(generation)
    ask(store.put(CAROL, b"", 60))
    assert ask(store.generation()) == seen[-1]
    assert seen[0] == 0
    assert seen == sorted(set(seen))


def test_what_is_announced_is_heard_of_in_its_order(store: Store, ask: Ask) -> None:
    """Whoever asks on from the last answer hears of each once; whoever begins at 0 of all."""
    assert ask(store.announced(0)) == News(0, ())
    first = ask(store.announce(BOB, b"one", 60))
    second = ask(store.announce(ALICE, b"\0two\xff", 60))
    assert ask(store.announced(0)) == News(second, (b"one", b"\0two\xff"))
    assert ask(store.announced(first)) == News(second, (b"\0two\xff",))
    assert ask(store.announced(second)) == News(second, ())
    third = ask(store.announce(CAROL, b"", 60))
    assert ask(store.announced(second)) == News(third, (b"",))
    assert [ask(store.get(each)) for each in (BOB, ALICE, CAROL)] == [b"one", b"\0two\xff", b""]


def test_what_is_announced_again_is_heard_of_once(store: Store, ask: Ask) -> None:
    """The latest value of a key takes the place of the earlier, and is the newest of all."""
    first = ask(store.announce(ALICE, b"revoked", 60))
    ask(store.announce(BOB, b"suspended", 60))
    latest = ask(store.announce(ALICE, b"valid", 60))
    assert ask(store.announced(0)) == News(latest, (b"suspended", b"valid"))
    assert ask(store.announced(first)) == News(latest, (b"suspended", b"valid"))
    assert ask(store.get(ALICE)) == b"valid"


def test_an_announcement_that_has_ended_is_not_heard_of(
    store: Store, ask: Ask, backend: Backend
) -> None:
    """It is as if it had not been, but that its generation stays; its key can be used again."""
    ask(store.announce(BOB, b"long", 60))
    ask(store.announce(ALICE, b"short", 60))
    ended = ask(store.announce(ALICE, b"short", 2 * backend.unit))
    backend.wait(2.1)
    assert ask(store.get(ALICE)) is None
    assert ask(store.announced(0)).values == (b"long",)
    assert ask(store.announced(ask(store.announced(0)).generation)) == News(ended, ())
    assert ask(store.generation()) == ended
    again = ask(store.announce(ALICE, b"again", 60))
    assert ask(store.announced(0)) == News(again, (b"long", b"again"))
    assert ask(store.announced(ended)) == News(again, (b"again",))


def followed(store: Store, after: int = 0) -> tuple[int, list[tuple[bytes, ...]]]:
    """Return where a reader arrives that begins at `after`, and the pages it is given."""
    pages = []
    while (news := store.announced(after).run()).values:
        pages.append(news.values)
        after = news.generation
    return news.generation, pages


@pytest.fixture(name="_hasty")
def _hasty_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where much is announced, nobody waits for a disk."""
    monkeypatch.setattr(sqlite, "power_proof", nullcontext)


@pytest.mark.usefixtures("_hasty")
def test_much_is_heard_of_by_the_page(store: Store, backend: Backend) -> None:
    """At most a thousand at once, and all of them in order, however much has ended between."""
    assert PAGE == 1_000
    many = range(2 * PAGE + 100)
    for n in many:
        store.announce(key(str(n)), str(n).encode(), 600).run()
    _, pages = followed(store)
    assert [len(page) for page in pages] == [PAGE, PAGE, 100]
    assert [int(value) for page in pages for value in page] == list(many)
    lasting = [*many[:50], *many[-50:]]
    for n in many:
        span = 600 if n in lasting else backend.unit
        store.announce(key(str(n)), str(n).encode(), span).run()
    backend.wait(1.1)
    generation, pages = followed(store)
    assert generation == store.generation().run()
    assert [int(value) for page in pages for value in page] == lasting
    assert all(len(page) <= PAGE for page in pages)


@pytest.mark.usefixtures("_hasty")
def test_who_follows_misses_nothing(store: Store) -> None:
    """While eight threads announce, a reader hears of each announcement once, in its order."""
    barrier, heard, after = threading.Barrier(9), [], 0

    def announce(thread: int) -> list[tuple[int, bytes]]:
        barrier.wait(20)
        values = [f"{thread} {n}".encode() for n in range(60)]
        return [(store.announce(key(str(value)), value, 600).run(), value) for value in values]

    with ThreadPoolExecutor(8) as pool:
        announcers = [pool.submit(announce, thread) for thread in range(8)]
        barrier.wait(20)
        done = False
        while not done:
            done = all(announcer.done() for announcer in announcers)
            after, pages = followed(store, after)
            heard += [value for page in pages for value in page]
    told = sorted(one for announcer in announcers for one in announcer.result())
    assert heard == [value for _, value in told]
    assert len({generation for generation, _ in told}) == len(told) == 480


def test_a_store_that_has_forgotten_tells_everything_anew(store: Store, ask: Ask) -> None:
    """Who comes with a generation that the store does not know yet begins at the beginning."""
    assert ask(store.announced(5)) == News(0, ())
    ask(store.announce(ALICE, b"one", 60))
    latest = ask(store.announce(BOB, b"two", 60))
    for after in (latest + 1, 2**60, 2**70):
        assert ask(store.announced(after)) == News(latest, (b"one", b"two"))
    assert ask(store.announced(-1)) == News(latest, (b"one", b"two"))


def test_a_store_made_anew_repeats_no_generation(backend: Backend) -> None:
    """Generations are microseconds since the epoch, or one more than the one before."""
    now = (backend.hands.wall if backend.hands else time.time()) * 1e6
    store = backend.open()
    first = store.announce(ALICE, b"", 60).run()
    assert first == pytest.approx(now, abs=20e6)
    if backend.hands:
        backend.hands.wall -= 3600
        assert store.announce(ALICE, b"", 7200).run() == first + 1
        assert store.announced(first).run() == News(first + 1, (b"",))


def test_an_announcement_is_not_taken_back(store: Store, ask: Ask) -> None:
    """Neither deleting its key nor setting or putting something there changes it."""
    generation = ask(store.announce(CALLS, b"revoked", 60))
    assert ask(store.set_if_absent(CALLS, 60)) is True
    ask(store.put(CALLS, b"valid", 60))
    assert ask(store.get(CALLS)) == b"revoked"
    ask(store.delete(CALLS))
    assert ask(store.get(CALLS)) == b"revoked"
    assert ask(store.announced(0)) == News(generation, (b"revoked",))


def test_uses_of_one_key_do_not_meet(store: Store, ask: Ask) -> None:
    """Counter, seats and value of one key know nothing of each other, nor do other keys."""
    ask(store.increment(CALLS, 2, None, 60))
    ask(store.admit(CALLS, ALICE, None, 60))
    ask(store.put(CALLS, b"value", 60))
    assert ask(store.increment(CALLS, 0, None, 60)).used == 2
    assert ask(store.admit(CALLS, ALICE, None, 60)).used == 1
    assert ask(store.get(CALLS)) == b"value"
    ask(store.delete(CALLS))
    assert ask(store.increment(CALLS, 0, None, 60)).used == 2
    assert ask(store.increment(BOB, 0, None, 60)).used == 0
    assert ask(store.admit(BOB, BOB, None, 60)).used == 1
    assert ask(store.get(BOB)) is None


@pytest.mark.parametrize("span", [0, -1, inf, nan])
def test_nothing_is_kept_for_no_time_or_for_ever(store: Store, span: float) -> None:
    """A span that is no span is an error of whoever wrote it."""
    for operation in (
        lambda: store.increment(CALLS, 1, 1, span),
        lambda: store.admit(CALLS, ALICE, 1, span),
        lambda: store.set_if_absent(CALLS, span),
        lambda: store.put(CALLS, b"", span),
        lambda: store.announce(CALLS, b"", span),
    ):
        with pytest.raises(ValueError, match="more than 0 seconds"):
            operation()


@pytest.mark.parametrize("span", [1e-9, 1e300], ids=["short", "long"])
def test_any_other_span_will_do(store: Store, ask: Ask, span: float) -> None:
    """The shortest and the longest are taken as what comes nearest."""
    assert ask(store.increment(CALLS, 1, 1, span)).allowed
    assert ask(store.admit(CALLS, ALICE, 1, span)).allowed
    assert ask(store.set_if_absent(CALLS, span))
    ask(store.put(CALLS, b"", span))
    ask(store.announce(CALLS, b"", span))


def test_a_closed_store_opens_again(store: Store, ask: Ask, backend: Backend) -> None:
    """Closing loses nothing, and may happen twice."""
    ask(store.increment(CALLS, 1, 5, 60))
    store.close()
    store.close()
    assert ask(store.increment(CALLS, 1, 5, 60)).used == 2


def together(world_name: str, operations: list[Effect[Any]]) -> list[Any]:
    """Return what the operations return that all begin at the same time."""
    if world_name == "threads":
        barrier = threading.Barrier(len(operations))

        def one(operation: Effect[Any]) -> Any:
            barrier.wait(20)
            return operation.run()

        with ThreadPoolExecutor(len(operations)) as pool:
            return list(pool.map(one, operations))

    answers: list[Any] = []

    async def task(operation: Effect[Any]) -> None:
        answers.append(await operation.arun())

    async def all_of_them() -> None:
        async with anyio.create_task_group() as tasks:
            for operation in operations:
                tasks.start_soon(task, operation)

    anyio.run(all_of_them, backend=world_name)
    return answers


@pytest.mark.parametrize("world_name", WORLDS)
@pytest.mark.row("P01")
def test_of_a_hundred_at_the_last_one_passes(store: Store, world_name: str) -> None:
    """At limit - 1, exactly one of 100 parallel calls is counted."""
    store.increment(CALLS, 9, 10, 60).run()
    answers = together(world_name, [store.increment(CALLS, 1, 10, 60) for _ in range(100)])
    assert sorted(answer[:2] for answer in answers) == [(False, 10)] * 99 + [(True, 10)]


@pytest.mark.parametrize("world_name", WORLDS)
@pytest.mark.row("P01")
def test_of_a_hundred_strangers_one_gets_the_last_seat(store: Store, world_name: str) -> None:
    """At limit - 1, exactly one of 100 different members is seated."""
    store.admit(CALLS, ALICE, 2, 60).run()
    answers = together(
        world_name, [store.admit(CALLS, key("user", str(n)), 2, 60) for n in range(100)]
    )
    assert sorted(answer[:2] for answer in answers) == [(False, 2)] * 99 + [(True, 2)]


@pytest.mark.parametrize("world_name", WORLDS)
@pytest.mark.row("N14")
def test_of_a_hundred_replays_one_is_new(store: Store, world_name: str) -> None:
    """Exactly one of 100 parallel callers sets what was absent."""
    answers = together(world_name, [store.set_if_absent(CALLS, 60) for _ in range(100)])
    assert sorted(answers) == [False] * 99 + [True]


@pytest.mark.parametrize("world_name", WORLDS)
def test_what_is_given_back_is_not_lost(store: Store, world_name: str) -> None:
    """Fifty charges and fifty refunds at once leave what was there before."""
    store.increment(CALLS, 1000, None, 60).run()
    together(
        world_name,
        [store.increment(CALLS, amount, None, 60) for amount in (3, -3) for _ in range(50)],
    )
    assert store.increment(CALLS, 0, None, 60).run().used == 1000


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_cancelled_task_knows_whether_it_was_counted(store: Store, library: str) -> None:
    """Each of many cancelled tasks gets its answer or has counted nothing."""
    answered = 0

    async def task() -> None:
        nonlocal answered
        await store.increment(CALLS, 1, None, 60).arun()
        answered += 1

    async def cancelled() -> None:
        for patience in range(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(30):
                    tasks.start_soon(task)
                for _ in range(patience):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

    anyio.run(cancelled, backend=library)
    assert store.increment(CALLS, 0, None, 60).run().used == answered


texts = st.lists(st.text(st.characters(exclude_categories=[])), max_size=4)


@given(texts, texts)
def test_different_parts_have_different_keys(one: list[str], other: list[str]) -> None:
    """Whatever text a caller chose, no two lists of parts share a key."""
    assert (key(*one) == key(*other)) == (one == other)
    assert len(key(*one)) == 64


def test_parts_do_not_run_into_each_other() -> None:
    """Neither where they are cut nor what is empty is lost."""
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), (), ("",), ("A", "bc")]
    assert len({key(*parts) for parts in lists}) == len(lists)


class TestMemoryIsBounded:
    """A store in memory that is full forgets nothing."""

    @pytest.fixture(name="hands")
    def _hands(self) -> Hands:
        return Hands()

    @pytest.fixture(name="small")
    def _small(self, hands: Hands) -> MemoryStore:
        return MemoryStore(hands.clock, room=3)

    @pytest.mark.parametrize(
        "add",
        [
            lambda store, n: store.increment(key(str(n)), 1, None, 60),
            lambda store, n: store.set_if_absent(key(str(n)), 60),
            lambda store, n: store.put(key(str(n)), b"", 60),
            lambda store, n: store.announce(key(str(n)), b"", 60),
            lambda store, n: store.admit(key(str(n)), ALICE, None, 60),
            lambda store, n: store.admit(CALLS, key(str(n)), None, 60),
        ],
        ids=["counts", "proofs", "values", "announcements", "licenses", "seats"],
    )
    @pytest.mark.row("P06")
    def test_refuses_rather_than_forgets(
        self, small: MemoryStore, hands: Hands, add: Callable[[Store, int], Effect[Any]]
    ) -> None:
        """Full of what has not ended it takes nothing new, until something has ended."""
        for n in range(3):
            add(small, n).run()
        for n in range(3, 50):
            with pytest.raises(StoreUnavailable, match="full"):
                add(small, n).run()
        add(small, 0).run()
        hands.advance(61)
        for n in range(100, 103):
            add(small, n).run()

    @pytest.mark.row("N14")
    def test_a_flood_lets_no_proof_in_again(self, small: MemoryStore) -> None:
        """What was seen stays seen, however many come after it."""
        assert small.set_if_absent(CALLS, 60).run()
        for n in range(100):
            try:
                small.set_if_absent(key(str(n)), 60).run()
            except StoreUnavailable:
                assert n >= 2
        assert not small.set_if_absent(CALLS, 60).run()

    @pytest.mark.row("P06")
    def test_what_has_ended_makes_room(self, hands: Hands) -> None:
        """Through fifty times its room it holds no more than that."""
        store = MemoryStore(hands.clock, room=100)
        for n in range(5_000):
            store.set_if_absent(key(str(n)), 10).run()
            store.increment(key(str(n)), 1, 1, 10).run()
            store.admit(key(str(n)), ALICE, 1, 10).run()
            store.put(CALLS, b"", 1000).run()
            store.announce(key(str(n)), b"", 10).run()
            store.announce(CALLS, b"", 1000).run()
            hands.advance(0.2)
        announcements = store._announcements
        for shelf in (store._counts, store._values, store._seats, announcements._shelf):
            assert len(shelf._entries) == len(shelf._order) <= 60
        assert len(announcements._order) == len(announcements._shelf._entries)
        assert store._seated <= 60

    @pytest.mark.row("P06")
    def test_a_refused_announcement_leaves_the_others_as_they_were(
        self, small: MemoryStore
    ) -> None:
        """Full, it announces nothing new, and goes on replacing what it holds."""
        for n in range(3):
            latest = small.announce(key(str(n)), str(n).encode(), 60).run()
        with pytest.raises(StoreUnavailable, match="full"):
            small.announce(CALLS, b"x", 60).run()
        assert small.announced(0).run() == News(latest, (b"0", b"1", b"2"))
        small.announce(key("1"), b"new", 60).run()
        assert small.announced(0).run().values == (b"0", b"2", b"new")

    def test_a_wall_clock_that_is_set_changes_nothing(
        self, small: MemoryStore, hands: Hands
    ) -> None:
        """Time is monotonic: a day forward and back again lets no proof in."""
        small.set_if_absent(CALLS, 60).run()
        hands.wall += 86_400
        assert not small.set_if_absent(CALLS, 60).run()
        hands.wall -= 2 * 86_400
        assert not small.set_if_absent(CALLS, 60).run()
