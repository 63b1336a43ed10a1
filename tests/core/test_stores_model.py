"""Every store beside a model of a few lines: whatever is asked, both give the same answer."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from licet.core.stores import MAX_COUNT, Key, key, sqlite
from tests.core.backends import Backend, opened

KEYS = st.sampled_from([key("one"), key("two")])
MEMBERS = st.sampled_from([key("member", str(n)) for n in range(4)])
LIMITS = st.sampled_from([None, 0, 1, 2, 3, 10, MAX_COUNT, 2**65, -1])
AMOUNTS = st.integers(-4, 6) | st.sampled_from([MAX_COUNT, -MAX_COUNT, 2**63, -(2**64)])
SPANS = st.sampled_from([50.0, 200.0, 600.0])


class Model(RuleBasedStateMachine):
    """A store, and what it should hold: by key, a number or a value and when it ends."""

    #: Seconds that pass from one admission to the next.
    moment = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        directory = Path(self._stack.enter_context(TemporaryDirectory()))
        self.place = self.found(directory)
        self.store = self.place.open()
        self.now = 0.0
        self.counts: dict[Key, tuple[int, float]] = {}
        self.seats: dict[Key, dict[Key, float]] = {}
        self.kept: dict[Key, tuple[bytes, float]] = {}
        #: In the order of their generations: what was announced, until when, and its generation.
        self.announced: dict[Key, tuple[bytes, float, int]] = {}
        self.generation = self.after = self.store.generation().run()

    def found(self, directory: Path) -> Backend:
        """Return the backend of one run."""
        return self._stack.enter_context(opened("memory", directory))

    def teardown(self) -> None:
        self._stack.close()

    @rule(name=KEYS, amount=AMOUNTS, limit=LIMITS, window=SPANS)
    def increment(self, name: Key, amount: int, limit: int | None, window: float) -> None:
        count, ends = self.counts.get(name, (0, 0.0))
        if ends <= self.now:
            count, ends = 0, self.now + window
        most = MAX_COUNT if limit is None else min(limit, MAX_COUNT)
        allowed = amount < 0 or count + amount <= max(most, 0)
        if allowed and max(count + amount, 0) != count:
            count = max(count + amount, 0)
            self.counts[name] = count, ends
        answer = self.store.increment(name, amount, limit, window).run()
        assert answer[:2] == (allowed, count)
        assert answer.resets_in == pytest.approx(ends - self.now, abs=20)

    @rule(name=KEYS, member=MEMBERS, limit=LIMITS, window=SPANS)
    def admit(self, name: Key, member: Key, limit: int | None, window: float) -> None:
        self.now += self.moment
        seats = self.seats.setdefault(name, {})
        for lapsed in [each for each, ends in seats.items() if ends <= self.now]:
            del seats[lapsed]
        for each, ends in seats.items():
            seats[each] = min(ends, self.now + window)
        most = MAX_COUNT if limit is None else max(limit, 0)
        if member in seats:
            mine = seats[member], member
            allowed = sum((ends, each) > mine for each, ends in seats.items()) < most
        else:
            allowed = len(seats) < most
        if allowed:
            seats[member] = self.now + window
        answer = self.store.admit(name, member, limit, window).run()
        assert answer[:2] == (allowed, len(seats))
        later = sorted(seats.values())[max(len(seats) - most, 0) :]
        free_at = later[0] if later else self.now + window
        assert answer.resets_in == pytest.approx(free_at - self.now, abs=20)

    @rule(name=KEYS, ttl=SPANS)
    def set_if_absent(self, name: Key, ttl: float) -> None:
        absent = self.value(name) is None
        if absent:
            self.kept[name] = b"", self.now + ttl
        assert self.store.set_if_absent(name, ttl).run() is absent

    @rule(name=KEYS, value=st.binary(max_size=40), ttl=SPANS)
    def put(self, name: Key, value: bytes, ttl: float) -> None:
        self.kept[name] = value, self.now + ttl
        self.store.put(name, value, ttl).run()

    @rule(name=KEYS)
    def get(self, name: Key) -> None:
        announced = {each: value for each, value, _ in self.news(0)}
        assert self.store.get(name).run() == announced.get(name, self.value(name))

    @rule(name=KEYS)
    def delete(self, name: Key) -> None:
        self.kept.pop(name, None)
        self.store.delete(name).run()

    @rule(name=KEYS, value=st.binary(max_size=40), ttl=SPANS)
    def announce(self, name: Key, value: bytes, ttl: float) -> None:
        assert self.store.generation().run() == self.generation
        generation = self.store.announce(name, value, ttl).run()
        assert generation > self.generation
        self.generation = generation
        self.announced.pop(name, None)
        self.announced[name] = value, self.now + ttl, generation

    @rule(anew=st.booleans())
    def follow(self, anew: bool) -> None:
        after = 0 if anew else self.after
        expected = self.news(after)
        news = self.store.announced(after).run()
        assert news.values == tuple(value for _, value, _ in expected)
        assert news.generation == (expected[-1][2] if expected else self.generation)
        self.after = news.generation

    @rule()
    def reopen(self) -> None:
        self.store.close()

    def news(self, after: int) -> list[tuple[Key, bytes, int]]:
        return [
            (name, value, generation)
            for name, (value, ends, generation) in self.announced.items()
            if ends > self.now and generation > after
        ]

    def value(self, name: Key) -> bytes | None:
        value, ends = self.kept.get(name, (None, 0.0))
        return value if ends > self.now else None


class TravellingModel(Model):
    """A model whose time passes by hand."""

    @rule(seconds=st.sampled_from([5.0, 50.0, 150.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.place.wait(seconds)
        self.now += seconds


class SQLiteModel(TravellingModel):
    """The same beside a file."""

    def found(self, directory: Path) -> Backend:
        # Nobody waits for a disk here.
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(sqlite, "power_proof", nullcontext)
        return self._stack.enter_context(opened("sqlite", directory))


QUICK = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

TestMemory = TravellingModel.TestCase
TestMemory.settings = settings(QUICK, max_examples=100)
TestSQLite = SQLiteModel.TestCase
TestSQLite.settings = QUICK


def test_redis_agrees_with_the_model(tmp_path: Path) -> None:
    """Its time is the server's own and all but stands still in the model: no span here ends."""
    with opened("redis", tmp_path) as backend:

        class RedisModel(Model):
            # Enough to tell which of two seats was taken later, as the server does.
            moment = 1e-6

            def found(self, directory: Path) -> Backend:
                backend.open().ask(("FLUSHALL",))  # type: ignore[attr-defined]
                return backend

        run_state_machine_as_test(RedisModel, settings=QUICK)
