"""The grant cache: bounded, first in first out, and like a model of itself in every history."""

from __future__ import annotations

import threading
from hashlib import sha256
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.grants import Grant, GrantCache, Terms
from licet.core.lifecycle import PLAIN
from licet.core.token.claims import Claims

TERMS = Terms("plan", frozenset(), MappingProxyType({}), frozenset(), frozenset())


def grant(name: str = "lic_1", *, until: float = 150.0, leeway: float = 30.0) -> Grant:
    """Return a grant of a license from second 100 to second 200."""
    return Grant(
        Claims("issuer", name, "Acme", 100.0, 200.0, 0.0, {"sub": name}),
        TERMS,
        leeway=leeway,
        since=110.0,
        until=until,
        keys=None,
        thumbprint="thumbprint",
        generation=3,
    )


def digest(number: int) -> bytes:
    return sha256(bytes([number])).digest()


def kept(cache: GrantCache) -> list[int]:
    """Return which of the first numbers the cache holds."""
    return [number for number in range(20) if cache.get(digest(number)) is not None]


def test_a_grant_ends_with_its_leeway() -> None:
    """The end is `exp` and the leeway, and no verdict holds beyond it."""
    assert grant(until=150).until == 150
    assert grant(until=1_000).until == grant(until=1_000).ends_at == 230
    assert grant(until=1_000, leeway=0).until == 200


def test_a_grant_says_what_the_claims_say() -> None:
    """Id, holder and times are the license's; without another word its signature vouched here."""
    one = grant()
    assert (one.issuer, one.license_id, one.customer) == ("issuer", "lic_1", "Acme")
    assert (one.issued_at, one.expires_at, one.since) == (100, 200, 110)
    assert (one.terms, one.thumbprint, one.generation) == (TERMS, "thumbprint", 3)
    assert one.verified_by == "local"
    assert (one.stage, one.free) == (PLAIN, False)


def test_a_grant_holds_no_payload() -> None:
    """What the cache keeps per license is constant: neither token nor claims are among it."""
    one = grant()
    assert not hasattr(one, "__dict__")
    held = {name: getattr(one, name) for name in Grant.__slots__}
    assert not any(isinstance(value, dict | Claims | bytes) for value in held.values())


def test_what_was_put_is_found() -> None:
    """Each digest finds its own grant, and no other digest does."""
    cache, one, two = GrantCache(4), grant("one"), grant("two")
    cache.put(digest(1), one)
    cache.put(digest(2), two)
    assert cache.get(digest(1)) is one
    assert cache.get(digest(2)) is two
    assert cache.get(digest(3)) is None
    assert len(cache) == 2


def test_the_oldest_gives_way() -> None:
    """First in, first out: reading does not prolong a stay, so reading needs no lock."""
    cache = GrantCache(3)
    for number in range(3):
        cache.put(digest(number), grant())
    cache.get(digest(0))
    cache.put(digest(3), grant())
    assert kept(cache) == [1, 2, 3]
    cache.put(digest(4), grant())
    assert kept(cache) == [2, 3, 4]


def test_a_new_verdict_replaces_the_old_one() -> None:
    """The same credential verified again takes one place, as the youngest."""
    cache, new = GrantCache(2), grant("new")
    cache.put(digest(0), grant("old"))
    cache.put(digest(1), grant())
    cache.put(digest(0), new)
    assert len(cache) == 2
    cache.put(digest(2), grant())
    assert kept(cache) == [0, 2]
    assert cache.get(digest(0)) is new


def test_a_cache_of_no_size_keeps_nothing() -> None:
    """0 switches the cache off."""
    cache = GrantCache(0)
    cache.put(digest(0), grant())
    assert cache.get(digest(0)) is None
    assert len(cache) == 0


def test_what_gives_way_is_counted() -> None:
    """Evictions are counted here; hits and misses by whoever asks and judges."""
    cache = GrantCache(2)
    for number in (0, 1, 1, 2, 3):
        cache.put(digest(number), grant())
    cache.hits += 7
    cache.misses += 5
    assert cache.stats == (7, 5, 2, 2, 2)
    assert cache.stats._asdict() == {
        "hits": 7, "misses": 5, "evictions": 2, "size": 2, "capacity": 2
    }  # fmt: skip
    assert GrantCache(0).stats == (0, 0, 0, 0, 0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "get"]), st.integers(0, 8)),
    max_size=60,
)


@given(capacity=st.integers(0, 5), steps=STEPS)
def test_every_history_is_that_of_the_model(capacity: int, steps: list[tuple[str, int]]) -> None:
    """The cache holds what a plain list of the youngest would hold, whatever was done to it."""
    cache, model = GrantCache(capacity), list[tuple[int, Grant]]()
    for step, number in steps:
        if step == "put":
            one = grant()
            cache.put(digest(number), one)
            model = [pair for pair in model if pair[0] != number] + [(number, one)]
            model = model[max(0, len(model) - capacity) :]
        assert cache.get(digest(number)) is dict(model).get(number)
        assert len(cache) == len(model) <= capacity
    assert kept(cache) == sorted(number for number, _ in model)


@pytest.mark.parametrize("capacity", [1, 7])
def test_many_threads_never_overfill_it(capacity: int) -> None:
    """However puts and reads fall together, the size holds and nothing fails."""
    cache, barrier, failures = GrantCache(capacity), threading.Barrier(8), list[Exception]()
    one = grant()

    def work(start: int) -> None:
        barrier.wait(10)
        try:
            for step in range(2_000):
                number = (start * 7 + step) % 20
                cache.put(digest(number), one)
                assert cache.get(digest(number)) in (one, None)
                assert len(cache) <= capacity + 1, "one more only while the oldest is taken out"
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(cache) == len(kept(cache)) <= capacity
