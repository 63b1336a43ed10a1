"""The key set that outlives a restart: no younger than it was, and believed only as it was left."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from licet.core import flow
from licet.core.documents.schedule import State
from licet.core.errors import KeysUnavailable
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.keys import kept
from licet.core.keys.jwk import VerifyKey, read_jwks
from licet.core.keys.keystore import KeySnapshot, KeyStore
from licet.core.transport import Transport
from tests.core.hands import Hands
from tests.core.jwks import ed25519, private_key, public_jwk
from tests.core.loopback import reply
from tests.core.vendor import Vendor, outcome, rest, status
from tests.licenses import ISSUER_NAME

ALGORITHMS = ("Ed25519", "EdDSA")
posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


@pytest.fixture(name="vendor")
def _vendor() -> Iterator[Vendor]:
    with Vendor("a", "b") as vendor:
        yield vendor


class Run:
    """One run of a program: a key store, the clock it started with, and what it told."""

    def __init__(self, vendor: Vendor, path: Path, *floor: str, **options: Any) -> None:
        # A process starts with a monotonic clock of its own; only the wall goes on.
        self.hands = Hands(monotonic=7.0, wall=vendor.hands.wall)
        self.events: list[Event] = []
        given: dict[str, Any] = {
            "jwks_url": vendor.server.url,
            "jwks": vendor.jwks(*floor) if floor else None,
            "algorithms": ALGORITHMS,
            "max_age": 600.0,
            "max_stale": 86_400.0,
            "cooldown": 30.0,
            "transport": Transport(),
            "clock": self.hands.clock,
            "bus": EventBus(self.events.append),
            "path": str(path),
            "random": lambda: 0.0,
        }
        self.store = KeyStore(ISSUER_NAME, **given | options)

    def find(self, kid: str) -> KeySnapshot:
        """Return the set in which a key was found."""
        return flow.run(self.store.find(kid, "EdDSA"))[0]

    def reasons(self) -> list[object]:
        """Return what was told of the file."""
        return [event.data["reason"] for event in self.events if event.name == "keys.snapshot"]


def down(vendor: Vendor) -> None:
    vendor.trouble = lambda _: reply(500)


def held(vendor: Vendor, body: bytes | None = None) -> threading.Event:
    """Have the server keep its answers to itself until the event that is returned is set.

    Args:
        vendor: whose server.
        body: the answer; by default what is published then.
    """
    released = threading.Event()

    def answer(vendor: Vendor) -> bytes:
        assert released.wait(20)
        whole = vendor.key_set() if body is None else body
        return reply(200, whole, "application/jwk-set+json")

    vendor.trouble = answer
    return released


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


# -- what is written -------------------------------------------------------------------------------


def test_a_confirmed_set_is_written_down(vendor: Vendor, path: Path) -> None:
    """Public keys, whose they are, when they were confirmed: 0600, whole, and nothing beside it."""
    run = Run(vendor, path)
    assert not path.exists()
    run.find("a")
    document = json.loads(path.read_bytes())
    assert document == {
        "issuer": ISSUER_NAME,
        "confirmed": run.hands.wall,
        "lifetime": 600.0,
        "keys": [ed25519("a"), ed25519("b")],
        "withdrawn": [],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or os.name != "posix"
    assert os.listdir(path.parent) == ["keys.json"]
    assert run.reasons() == []


def test_every_confirmation_is_written_down(vendor: Vendor, path: Path) -> None:
    """A 304 renews the time; a failure writes nothing."""
    run = Run(vendor, path)
    run.find("a")
    began = run.hands.wall
    run.hands.advance(480)
    run.find("a")
    rest()
    assert vendor.fetches == 2
    assert json.loads(path.read_bytes())["confirmed"] == began + 480
    down(vendor)
    path.unlink()
    run.hands.advance(480)
    run.find("a")
    rest()
    assert vendor.fetches == 3
    assert not path.exists()


def test_nobody_who_waits_for_keys_waits_for_the_disk(
    vendor: Vendor, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that hangs holds up the flight's own thread, and only that."""
    writing, released, found = threading.Event(), threading.Event(), list[KeySnapshot]()

    def hang(_: int) -> None:
        writing.set()
        assert released.wait(20)

    monkeypatch.setattr(os, "fsync", hang)
    run = Run(vendor, path)
    leader = threading.Thread(target=run.find, args=("a",))
    leader.start()
    assert writing.wait(20)
    followers = [threading.Thread(target=lambda: found.append(run.find("b"))) for _ in range(10)]
    for thread in followers:
        thread.start()
    for thread in followers:
        thread.join(5)
    assert len(found) == 10
    assert vendor.fetches == 1
    assert leader.is_alive()
    released.set()
    leader.join(20)
    assert path.exists()


def test_what_cannot_be_written_is_told_and_harms_nobody(vendor: Vendor, tmp_path: Path) -> None:
    """A directory that is not there, or a directory in the place of the file."""
    run = Run(vendor, tmp_path / "nowhere" / "keys.json")
    assert run.find("a").source == "remote"
    assert run.reasons() == ["unwritable:FileNotFoundError"]
    run = Run(vendor, tmp_path)
    assert run.find("a").source == "remote"
    assert run.reasons() == [
        "not_a_file" if os.name == "posix" else "unreadable:PermissionError",
        "unwritable:IsADirectoryError" if os.name == "posix" else "unwritable:PermissionError",
    ]
    assert os.listdir(tmp_path) == []


@posix
def test_nothing_is_written_through_a_link(vendor: Vendor, path: Path) -> None:
    """A link in the place of the file gives way to a file; what it points to stays as it is."""
    precious = path.parent / "precious"
    precious.write_text("precious")
    path.symlink_to(precious)
    run = Run(vendor, path)
    assert run.reasons() == ["link"]
    run.find("a")
    assert precious.read_text() == "precious"
    assert not path.is_symlink()
    assert Run(vendor, path).store.snapshot is not None


def test_private_members_are_never_written(vendor: Vendor, path: Path) -> None:
    """What an issuer publishes by mistake is not put on a disk as well."""
    keys = [ed25519("a", x5c=["CANARY"]), {**ed25519("p"), "d": "CANARY"}]
    vendor.trouble = lambda _: reply(200, json.dumps({"keys": keys}).encode())
    Run(vendor, path).find("a")
    assert b"CANARY" not in path.read_bytes()


def test_a_worker_that_is_late_does_not_undo_what_another_has_seen(
    vendor: Vendor, path: Path
) -> None:
    """Workers share the file: what one of them saw go stays known, whichever writes last."""
    early, late = Run(vendor, path), Run(vendor, path)
    early.find("a")
    late.hands.advance(10)
    vendor.kids = ("b",)
    late.find("b")
    document = json.loads(path.read_bytes())
    assert document["confirmed"] == late.hands.wall
    assert [key["kid"] for key in document["keys"]] == ["b"]
    assert len(document["withdrawn"]) == 1
    third = Run(vendor, path)
    third.hands.advance(500)
    third.find("b")
    rest()
    again = json.loads(path.read_bytes())
    assert again["confirmed"] == third.hands.wall
    assert again["withdrawn"] == document["withdrawn"]


def test_the_youngest_confirmation_stands(path: Path) -> None:
    """A slow answer that was asked for earlier does not bring back what a later one left out."""
    told: list[str] = []
    old, new = (
        read_jwks({"keys": [ed25519(kid) for kid in kids]}, ALGORITHMS).keys.values()
        for kids in ("ab", "b")
    )
    one, other = (kept.SnapshotFile(str(path), ISSUER_NAME, told.append) for _ in range(2))
    one.write(new, confirmed=103.0, lifetime=600.0, withdrawn=(), wall=103.5)
    other.write(old, confirmed=100.0, lifetime=600.0, withdrawn=(), wall=104.0)
    found = one.read(105.0)
    assert found is not None
    assert (found.confirmed, len(found.thumbprints), found.withdrawn) == (103.0, 1, ())
    other.write(old, confirmed=104.0, lifetime=600.0, withdrawn=(), wall=104.0)
    found = one.read(105.0)
    assert found is not None
    assert (found.confirmed, len(found.thumbprints)) == (104.0, 2)
    assert told == []


def test_an_answer_of_this_moment_is_younger_than_ours(path: Path) -> None:
    """Of two workers the one that asked later stands, also where its answer is from just now."""
    told: list[str] = []
    old, new = keys_of("ab"), keys_of("b")
    one, other = (kept.SnapshotFile(str(path), ISSUER_NAME, told.append) for _ in range(2))
    one.write(new, confirmed=103.0, lifetime=600.0, withdrawn=(), wall=103.0)
    other.write(old, confirmed=102.0, lifetime=600.0, withdrawn=(), wall=103.0)
    found = one.read(103.0)
    assert found is not None
    assert (found.confirmed, len(found.thumbprints)) == (103.0, 1)


def test_a_clock_that_begins_with_the_epoch_is_a_clock(path: Path) -> None:
    """Zero seconds are seconds, whether of the confirmation or of the lifetime."""
    told: list[str] = []
    file = kept.SnapshotFile(str(path), ISSUER_NAME, told.append)
    file.write(keys_of("a"), confirmed=0.0, lifetime=0.0, withdrawn=(), wall=0.0)
    found = file.read(0.0)
    assert found is not None
    assert (found.confirmed, found.lifetime) == (0.0, 0.0)
    assert told == []


def test_the_largest_set_is_kept_whole(path: Path) -> None:
    """A hundred keys and a thousand that are gone fit into the file, and come back out of it."""
    told: list[str] = []
    file = kept.SnapshotFile(str(path), ISSUER_NAME, told.append)
    keys = keys_of([str(number) for number in range(100)])
    gone = [f"{number:043}" for number in range(1_001)]
    file.write(keys, confirmed=5.0, lifetime=600.0, withdrawn=gone, wall=5.0)
    found = kept.SnapshotFile(str(path), ISSUER_NAME, told.append).read(5.0)
    assert found is not None
    assert found.thumbprints == list(dict.fromkeys(key.thumbprint for key in keys))
    assert found.withdrawn == tuple(gone[1:]), "the oldest gives way"
    assert told == []


def test_a_key_of_two_names_keeps_both(vendor: Vendor, path: Path) -> None:
    """While an issuer renames a key it publishes it twice; a restart finds it under each name."""
    twin = public_jwk(private_key("Ed25519", "a"), kid="renamed")
    body = json.dumps({"keys": [ed25519("a"), twin, ed25519("b")]}).encode()
    vendor.trouble = lambda _: reply(200, body)
    Run(vendor, path).find("renamed")
    down(vendor)
    run = Run(vendor, path)
    for kid in ("a", "renamed", "b"):
        assert run.find(kid).source == "file"
    rest()
    assert json.loads(path.read_bytes())["withdrawn"] == []


def test_a_key_of_two_algorithms_keeps_both(path: Path) -> None:
    """One key may be published once for each algorithm that it serves."""
    twins = [public_jwk(private_key("RSA"), kid="r", alg=alg) for alg in ("RS256", "PS256")]
    keys = read_jwks({"keys": twins}, ("RS256", "PS256")).keys
    assert list(keys) == [("r", "RS256"), ("r", "PS256")]
    file = kept.SnapshotFile(str(path), ISSUER_NAME, lambda _: None)
    file.write(keys.values(), confirmed=5.0, lifetime=600.0, withdrawn=(), wall=5.0)
    found = file.read(5.0)
    assert found is not None
    assert read_jwks(found.jwks, ("RS256", "PS256")).keys.keys() == keys.keys()


def test_a_file_is_read_up_to_its_limit(path: Path) -> None:
    """Half a mebibyte is believed, one byte more is not."""
    told: list[str] = []
    file = kept.SnapshotFile(str(path), ISSUER_NAME, told.append)
    file.write(keys_of("a"), confirmed=5.0, lifetime=600.0, withdrawn=(), wall=5.0)
    path.write_bytes(path.read_bytes().ljust(512 * 1024))
    assert file.read(5.0) is not None
    path.write_bytes(path.read_bytes() + b" ")
    assert file.read(5.0) is None
    assert told == ["too_large"]


def test_a_new_file_is_laid_beside_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same directory, or replacing it would be no single step; hidden, named after it."""
    replaced: list[tuple[str, str]] = []
    real = os.replace

    def replace(fresh: str, place: str) -> None:
        replaced.append((fresh, place))
        real(fresh, place)

    monkeypatch.setattr(os, "replace", replace)
    file = kept.SnapshotFile(str(path), ISSUER_NAME, lambda _: None)
    file.write(keys_of("a"), confirmed=5.0, lifetime=600.0, withdrawn=(), wall=5.0)
    [(fresh, place)] = replaced
    assert os.path.dirname(fresh) == os.path.dirname(place) == str(path.parent)
    assert os.path.basename(fresh).startswith(".keys.json.")


@pytest.mark.parametrize("tidy", [True, False])
def test_what_could_not_be_put_in_place_is_taken_away(
    path: Path, monkeypatch: pytest.MonkeyPatch, tidy: bool
) -> None:
    """Nothing half done stays behind; where even that fails, the first failure is what is told."""
    told: list[str] = []

    def refuse(*_: str) -> None:
        raise PermissionError

    def vanish(_: str) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(os, "replace", refuse)
    if not tidy:
        monkeypatch.setattr(os, "unlink", vanish)
    file = kept.SnapshotFile(str(path), ISSUER_NAME, told.append)
    file.write(keys_of("a"), confirmed=5.0, lifetime=600.0, withdrawn=(), wall=5.0)
    assert told == ["unwritable:PermissionError"]
    assert len(os.listdir(path.parent)) == (0 if tidy else 1)


def test_what_is_remembered_as_withdrawn_is_bounded(
    vendor: Vendor, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An issuer that never keeps still fills neither memory nor disk; the oldest are forgotten."""
    monkeypatch.setattr("licet.core.keys.keystore.MAX_WITHDRAWN", 5)
    monkeypatch.setattr(kept, "MAX_WITHDRAWN", 5)
    run = Run(vendor, path, cooldown=0.001)
    for number in range(12):
        vendor.kids = (str(number),)
        run.find(str(number))
        run.hands.advance(1)
    expected = [read_one(str(number)) for number in range(6, 11)]
    assert json.loads(path.read_bytes())["withdrawn"] == expected


def test_a_key_withdrawn_again_is_the_last_that_was(vendor: Vendor, path: Path) -> None:
    """What went is remembered in its order, also where somebody took the file away meanwhile."""
    run = Run(vendor, path, cooldown=0.001)
    run.find("a")
    for kids in (("b", "c"), ("c", "d"), ("a", "c", "d", "e"), ("c", "d", "e", "f")):
        vendor.kids = kids
        run.hands.advance(1)
        run.find(kids[-1])
        written = json.loads(path.read_bytes())["withdrawn"]
        path.unlink()
    assert written == [read_one("b"), read_one("a")]


def keys_of(kids: Iterable[str]) -> list[VerifyKey]:
    """Return the keys that go by these names."""
    return list(read_jwks({"keys": [ed25519(kid) for kid in kids]}, ("EdDSA",)).keys.values())


def read_one(kid: str) -> str:
    """Return the thumbprint of a key."""
    return read_jwks({"keys": [ed25519(kid)]}, ALGORITHMS).keys[kid, "EdDSA"].thumbprint


# -- what is read ----------------------------------------------------------------------------------


def test_a_restart_in_an_outage_finds_its_keys(vendor: Vendor, path: Path) -> None:
    """They serve at once and are due at once, as old as they are; nobody waits."""
    Run(vendor, path).find("a")
    down(vendor)
    vendor.hands.advance(5_000)
    run = Run(vendor, path)
    health = run.store.health()
    assert (health.state, health.age) == (State.DUE, 5_000)
    snapshot = run.find("a")
    assert snapshot.source == "file"
    assert snapshot.stale_until == run.hands.wall - 5_000 + 600 + 86_400
    rest()
    assert vendor.fetches == 2
    assert [event.name for event in run.events] == ["keys.unavailable"]


def test_a_restart_with_the_issuer_up_confirms_them(vendor: Vendor, path: Path) -> None:
    """The first request is served from the file, and the answer behind it replaces the file's."""
    Run(vendor, path).find("a")
    vendor.kids = ("b", "c")
    released, run = held(vendor), Run(vendor, path)
    assert run.find("a").source == "file"
    released.set()
    rest()
    assert run.find("c").source == "remote"
    assert run.find("b").generation == 2
    assert vendor.fetches == 2


def test_a_fork_leaves_them_due(vendor: Vendor, path: Path) -> None:
    """A preloaded worker does not take an old file for a fresh answer."""
    Run(vendor, path).find("a")
    vendor.hands.advance(30)
    run = Run(vendor, path)
    run.store.after_fork()
    assert run.store.health().state is State.DUE


@pytest.mark.row("H11", "H14")
def test_restarts_do_not_restart_the_clock(vendor: Vendor, path: Path) -> None:
    """However often a program starts, the set ends `jwks_max_stale` after it was confirmed."""
    Run(vendor, path).find("a")
    down(vendor)
    confirmed = vendor.hands.wall
    while vendor.hands.wall + 7_000 < confirmed + 87_000:
        vendor.hands.advance(7_000)
        assert Run(vendor, path).find("a")
        rest()
    vendor.hands.wall = confirmed + 86_999
    run = Run(vendor, path)
    assert run.find("a")
    rest()
    run.hands.advance(1)
    with pytest.raises(KeysUnavailable):
        run.find("a")
    vendor.hands.wall = confirmed + 87_000
    for floor in ((), ("a",)):
        run = Run(vendor, path, *floor)
        with pytest.raises(KeysUnavailable) as caught:
            run.find("a")
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 1
        assert run.store.health().state is State.DEAD


def test_without_tolerance_a_file_serves_its_lifetime_and_no_longer(
    vendor: Vendor, path: Path
) -> None:
    """`jwks_max_stale=0` fails closed across restarts as well."""
    Run(vendor, path).find("a")
    down(vendor)
    vendor.hands.advance(599)
    assert Run(vendor, path, max_stale=0.0).find("a")
    rest()
    vendor.hands.advance(1)
    with pytest.raises(KeysUnavailable):
        Run(vendor, path, max_stale=0.0).find("a")


def test_a_clock_set_back_makes_no_set_younger(vendor: Vendor, path: Path) -> None:
    """A little ahead of now is now; further ahead is not believed, and is written over."""
    Run(vendor, path).find("a")
    down(vendor)
    end = vendor.hands.wall + 87_000
    vendor.hands.advance(-300)
    run = Run(vendor, path)
    assert run.find("a").stale_until == end - 300
    assert run.store.health().age == 0
    rest()
    vendor.hands.advance(-1)
    run = Run(vendor, path)
    assert run.store.snapshot is None
    assert run.reasons() == ["from_the_future"]
    vendor.trouble = None
    run.find("a")
    assert json.loads(path.read_bytes())["confirmed"] == run.hands.wall


# -- what is withdrawn stays withdrawn -------------------------------------------------------------


@pytest.mark.row("H13")
def test_a_withdrawn_key_comes_back_from_nowhere(vendor: Vendor, path: Path) -> None:
    """Neither from the file nor from the keys that came with the installation, in any later run."""
    released, run = held(vendor), Run(vendor, path, "a", "b", "old")
    assert run.find("old").source == "floor"
    released.set()
    rest()
    assert json.loads(path.read_bytes())["withdrawn"] == [read_one("old")]
    vendor.kids = ("b",)
    run.hands.advance(480)
    run.find("b")
    rest()
    vendor.hands.wall = run.hands.wall
    down(vendor)
    for _ in range(3):
        run = Run(vendor, path, "a", "b", "old")
        assert run.find("b").source == "file"
        for kid in ("a", "old"):
            with pytest.raises(KeysUnavailable):
                run.find(kid)
        rest()


def test_a_file_cannot_say_that_a_key_is_there_and_withdrawn(vendor: Vendor, path: Path) -> None:
    """What it calls withdrawn is withdrawn, whatever else it holds."""
    Run(vendor, path).find("a")
    down(vendor)
    document = json.loads(path.read_bytes())
    document["withdrawn"] = [read_one("a")]
    path.write_text(json.dumps(document))
    run = Run(vendor, path)
    assert run.find("b")
    with pytest.raises(KeysUnavailable):
        run.find("a")


@pytest.mark.parametrize("floor", [("a",), ("a", "b")])
def test_without_a_usable_key_the_floor_serves_less_what_was_withdrawn(
    vendor: Vendor, path: Path, floor: tuple[str, ...]
) -> None:
    """Other algorithms make a file useless, but not what it knows to be gone."""
    run = Run(vendor, path, "a", "b")
    vendor.kids = ("b",)
    run.find("b")
    rest()
    down(vendor)
    document = json.loads(path.read_bytes())
    document["keys"] = [public_jwk(private_key("RSA"), kid="r", alg="RS256")]
    path.write_text(json.dumps(document))
    run = Run(vendor, path, *floor)
    assert run.reasons() == ["no_usable_key"]
    with pytest.raises(KeysUnavailable):
        run.find("a")
    if "b" in floor:
        assert run.find("b").source == "floor"
    else:
        assert run.store.snapshot is None


def test_a_confirmed_answer_brings_a_key_back(vendor: Vendor, path: Path) -> None:
    """The issuer decides: what it publishes again is believed again, and kept as such."""
    run = Run(vendor, path, cooldown=0.001)
    run.find("a")
    for kids in (("b", "c"), ("a", "c", "d")):
        vendor.kids = kids
        run.hands.advance(1)
        run.find(kids[-1])
    vendor.hands.wall = run.hands.wall
    assert json.loads(path.read_bytes())["withdrawn"] == [read_one("b")]
    down(vendor)
    assert Run(vendor, path).find("a").source == "file"
    rest()


# -- what is not believed --------------------------------------------------------------------------


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def rewrite(path: Path) -> None:
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(json.dumps(document))

    return rewrite


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "damaged"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-20]), "damaged"),
    "binary": (lambda path: path.write_bytes(bytes(range(256))), "damaged"),
    "deep": (lambda path: path.write_bytes(b"[" * 100_000), "damaged"),
    "a list": (lambda path: path.write_bytes(b"[]"), "damaged"),
    "no members": (lambda path: path.write_bytes(b"{}"), "damaged"),
    "duplicate members": (
        lambda path: path.write_bytes(path.read_bytes()[:-2] + b',"issuer": "x"}'),
        "damaged",
    ),
    "another issuer's": (rewritten(lambda d: d.update(issuer="https://evil.example")), "foreign"),
    "an issuer that is a list": (rewritten(lambda d: d.update(issuer=[ISSUER_NAME])), "foreign"),
    "a time that is text": (rewritten(lambda d: d.update(confirmed="1")), "damaged"),
    "a time that is true": (rewritten(lambda d: d.update(confirmed=True)), "damaged"),
    "a time before time": (rewritten(lambda d: d.update(confirmed=-1)), "damaged"),
    "a time without end": (rewritten(lambda d: d.update(confirmed=1e400)), "damaged"),
    "a lifetime that is null": (rewritten(lambda d: d.update(lifetime=None)), "damaged"),
    "withdrawn text": (rewritten(lambda d: d.update(withdrawn="abc")), "damaged"),
    "withdrawn numbers": (rewritten(lambda d: d.update(withdrawn=[1])), "damaged"),
    "no keys": (rewritten(lambda d: d.update(keys=[])), "damaged"),
    "keys that are none": (rewritten(lambda d: d.update(keys={"a": 1})), "damaged"),
    "a key that is none": (rewritten(lambda d: d.update(keys=[None])), "damaged"),
    "a key without x": (rewritten(lambda d: d["keys"][0].pop("x")), "damaged"),
    "a key of no kind": (rewritten(lambda d: d["keys"][0].update(kty=[])), "damaged"),
    "a key of another kind": (rewritten(lambda d: d["keys"][0].update(kty="oct")), "damaged"),
    "keys off the curve": (
        rewritten(lambda d: [key.update(x="AA") for key in d["keys"]]),
        "no_usable_key",
    ),
    "too many keys": (
        rewritten(lambda d: d.update(keys=[ed25519("a")] * 101)),
        "no_usable_key",
    ),
    "too large": (lambda path: path.write_bytes(path.read_bytes() + b" " * 600_000), "too_large"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_told_of_and_ignored(vendor: Vendor, path: Path, name: str) -> None:
    """The program starts as if it were not there, and the next answer puts it right."""
    Run(vendor, path).find("a")
    damage, reason = DAMAGE[name]
    damage(path)
    run = Run(vendor, path)
    assert run.store.snapshot is None
    assert run.reasons() == [reason]
    assert run.find("a").source == "remote"
    again = Run(vendor, path).store.snapshot
    assert again is not None
    assert again.source == "file"


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_file_that_others_may_touch_is_not_believed(
    vendor: Vendor, path: Path, mode: int
) -> None:
    """Whoever may write it could say which keys sign; a file of ours is 0600."""
    Run(vendor, path).find("a")
    path.chmod(mode)
    run = Run(vendor, path)
    assert run.store.snapshot is None
    assert run.reasons() == ["permissions"]
    run.find("a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_a_file_of_another_user_is_not_believed(
    vendor: Vendor, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0600 of somebody else is not ours."""
    Run(vendor, path).find("a")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert Run(vendor, path).reasons() == ["permissions"]


@posix
def test_a_link_is_not_followed_even_if_it_comes_between_two_looks(
    vendor: Vendor, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses what a first look has missed."""
    Run(vendor, path).find("a")
    real = path.rename(path.parent / "real")
    path.symlink_to(real)
    monkeypatch.setattr(os.path, "islink", lambda _: False)
    run = Run(vendor, path)
    assert run.store.snapshot is None
    assert run.reasons() == ["unreadable:OSError"]


@posix
def test_a_pipe_is_not_waited_for(vendor: Vendor, path: Path) -> None:
    """A start does not hang on what is no file."""
    os.mkfifo(path, 0o600)
    assert Run(vendor, path).reasons() == ["not_a_file"]


def test_a_first_start_tells_nothing(vendor: Vendor, path: Path) -> None:
    """That there is no file yet is no trouble."""
    assert Run(vendor, path).events == []


@given(content=st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["issuer", "confirmed", "lifetime", "keys", "withdrawn", "kid", "x"]),
        inner, max_size=6,
    ),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@examples(max_examples=100, deadline=None)
def test_no_content_is_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever a file holds, reading it raises nothing and says one word."""
    path, told = tmp_path_factory.getbasetemp() / "any.json", list[str]()
    path.touch(0o600)
    path.write_bytes(content)
    assert kept.SnapshotFile(str(path), ISSUER_NAME, told.append).read(2e9) is None
    assert len(told) == 1


# -- a whole gate ----------------------------------------------------------------------------------


@pytest.mark.row("H11", "H13")
def test_a_gate_restarts_in_an_outage(vendor: Vendor, path: Path) -> None:
    """Licenses of kept keys pass as before, withdrawn ones do not, and the end comes in time."""
    options = {"jwks_snapshot": path, "jwks": vendor.jwks("a", "b")}
    first, gone, good = vendor.gate(**options), vendor.license("a"), vendor.license("b")
    assert status(first, gone) == 200
    rest()
    vendor.kids = ("b",)
    vendor.hands.advance(590)
    assert status(first, good) == 200
    rest()
    assert status(first, gone) == 401
    down(vendor)
    vendor.hands.advance(80_000)
    hands = Hands(monotonic=3.0, wall=vendor.hands.wall)
    second = vendor.gate(hands, **options)
    assert status(second, good) == 200
    assert status(second, gone) == 503, "nobody can tell now; never 200"
    hands.advance(7_100)
    error = outcome(second, good)
    assert isinstance(error, KeysUnavailable)
    assert error.retry_after is not None


def test_each_issuer_has_a_file_of_its_own(path: Path) -> None:
    """The file of one issuer says nothing of another's keys."""
    hands = Hands()
    with Vendor("a", hands=hands) as one, Vendor("a", hands=hands, name="https://two") as two:
        Run(one, path).find("a")
        told: list[str] = []
        assert kept.SnapshotFile(str(path), two.name, told.append).read(hands.wall) is None
        assert told == ["foreign"]
