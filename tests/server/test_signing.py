"""The keys that sign: which there are, through rotations, crashes and other people's changes."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest

from licet.issuer import Issuer, lock
from licet.server import Configuration, LicenseServer, ServerError, audit
from licet.server.signing.keys import KeyInUseError, NoSuchKeyError
from licet.server.signing.places import KeysUnavailableError
from tests.core.hands import Hands
from tests.server.conftest import AUDIENCE, ISSUER

Start = Callable[..., LicenseServer]
PLACES = ["file", "sealed"]


@pytest.fixture
def start(tmp_path: Path, hands: Hands) -> Iterator[Start]:
    """Starts the server of one directory, again and again, with private keys in `place`."""
    running: list[LicenseServer] = []
    unlock = tmp_path / "unlock"
    unlock.write_bytes(bytes(range(32)))
    unlock.chmod(0o600)

    def start(place: str = "file", **options: Any) -> LicenseServer:
        while running:
            running.pop().close()
        if place == "sealed":
            options.setdefault("unlock_file", unlock)
        named = {"issuer": ISSUER, "audience": AUDIENCE, **options}
        configuration = Configuration(data=tmp_path / "data", **named)
        running.append(LicenseServer(configuration, clock=hands.clock))
        return running[-1]

    yield start
    for server in running:
        server.close()


def key_file(server: LicenseServer) -> Path:
    return server.configuration.key_path


def kids(server: LicenseServer) -> tuple[str, ...]:
    return server.signing_keys.issuer.kids


def record(server: LicenseServer) -> list[tuple[str, str, str]]:
    lines = server.database.read(lambda connection: audit.page(connection, 0))
    return [(line["actor"], line["action"], line["subject"]) for line in lines]


@pytest.mark.parametrize("place", PLACES)
def test_keys_stay_through_rotation_retirement_and_another_start(start: Start, place: str) -> None:
    """A rotated key signs beside the old ones, a retired one is gone; a start changes nothing."""
    server = start(place)
    (first,) = kids(server)
    second = server.signing_keys.rotate(actor="lak_1")
    third = server.signing_keys.rotate(algorithm="ES256", actor="lak_1")
    assert kids(server) == (first, second, third)
    server.signing_keys.retire(first, actor="lak_2")
    assert kids(server) == (second, third)
    before = record(server)
    assert before == [
        ("server", "keys.rotated", first),
        ("lak_1", "keys.rotated", second),
        ("lak_1", "keys.rotated", third),
        ("lak_2", "keys.retired", first),
    ]
    server = start(place)
    assert kids(server) == (second, third)
    assert record(server) == before
    token = server.signing_keys.issuer.issue(audience=AUDIENCE, subject="lic_1")
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": third, "typ": "license+jwt"}
    assert [(key["alg"], key["signing"]) for key in server.signing_keys.listing()] == [
        ("EdDSA", False),
        ("EdDSA", False),
        ("ES256", True),
    ]
    fourth = server.signing_keys.rotate()
    assert server.signing_keys.listing()[-1]["alg"] == "ES256"
    assert kids(server)[-1] == fourth


@pytest.mark.parametrize("place", PLACES)
def test_what_cannot_be_retired_is_not(start: Start, place: str) -> None:
    """The signing key and an unknown one are refused; a retired one stays so, recorded once."""
    server = start(place)
    (first,) = kids(server)
    with pytest.raises(KeyInUseError, match="rotate first"):
        server.signing_keys.retire(first)
    with pytest.raises(NoSuchKeyError):
        server.signing_keys.retire("nobody")
    server.signing_keys.rotate()
    server.signing_keys.retire(first)
    server.signing_keys.retire(first)
    assert [action for _, action, _ in record(server)].count("keys.retired") == 1
    assert len(kids(server)) == 1


@pytest.mark.parametrize("place", PLACES)
def test_rotations_at_once_come_one_after_the_other(start: Start, place: str) -> None:
    """Of keys made at the same time none is lost, in memory or where they are kept."""
    server = start(place)
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(server.signing_keys.rotate())) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = kids(server)
    assert len(now) == 7
    assert set(made) == set(now[1:])
    assert kids(start(place)) == now


def test_who_is_told_of_a_change_finds_it_made(start: Start) -> None:
    """Whoever hears of a rotation or a retirement and fetches the key set gets the new one."""
    server = start()
    (first,) = kids(server)
    heard: list[tuple[str, ...]] = []
    server.database.listen(lambda: heard.append(kids(server)))
    second = server.signing_keys.rotate()
    server.signing_keys.retire(first)
    assert heard[:2] == [(first, second), (second,)]


def test_a_new_key_is_in_its_file_before_it_signs(start: Start) -> None:
    """Where the file cannot be written nothing is rotated, and the old key goes on signing."""
    server = start()
    before = kids(server)
    key_file(server).unlink()
    key_file(server).mkdir()
    with pytest.raises(KeysUnavailableError):
        server.signing_keys.rotate()
    assert kids(server) == before
    assert len(record(server)) == 1


@pytest.mark.parametrize("by", ["another start", "the next change"])
def test_a_key_that_reached_the_file_and_not_the_database_is_found(start: Start, by: str) -> None:
    """A key whose rotation broke off in between signs nothing until it is found and recorded."""
    server = start()
    (first,) = kids(server)
    refuse = (
        "CREATE TRIGGER refused BEFORE INSERT ON signing_keys BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    server.database.write_now(lambda connection: connection.execute(refuse))
    with pytest.raises(sqlite3.IntegrityError):
        server.signing_keys.rotate()
    assert kids(server) == (first,)
    _, lost = Issuer.load(key_file(server)).kids
    server.database.write_now(lambda connection: connection.execute("DROP TRIGGER refused"))
    if by == "another start":
        server = start()
        assert kids(server) == (first, lost)
    else:
        third = server.signing_keys.rotate()
        assert kids(server) == (first, lost, third)
    assert record(server)[1] == ("server", "keys.rotated", lost)


def test_what_was_done_to_the_file_meanwhile_stands(start: Start) -> None:
    """Keys added to the file, and taken out of it, are taken over at the next change or start."""
    server = start()
    (first,) = kids(server)
    issuer = Issuer.load(key_file(server))
    second = issuer.rotate()
    issuer.save(key_file(server))
    third = server.signing_keys.rotate()
    assert kids(server) == (first, second, third)
    issuer = Issuer.load(key_file(server))
    issuer.retire(first)
    issuer.save(key_file(server))
    server = start()
    assert kids(server) == (second, third)
    assert record(server)[-1] == ("server", "keys.retired", first)


def test_a_retired_key_stays_retired_whatever_file_comes_back(start: Start) -> None:
    """An old copy of the key file brings no retired key back."""
    server = start()
    (first,) = kids(server)
    old = key_file(server).read_bytes()
    second = server.signing_keys.rotate()
    both = key_file(server).read_bytes()
    server.signing_keys.retire(first)
    key_file(server).write_bytes(both)
    server = start()
    assert kids(server) == (second,)
    server.close()
    key_file(server).write_bytes(old)
    with pytest.raises(ServerError, match="are gone"):
        start()


def test_a_retirement_stands_where_its_file_cannot_be_written(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that could not be taken out of the file is retired all the same; the log says so."""
    server = start()
    (first,) = kids(server)
    second = server.signing_keys.rotate()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("licet.issuer.signing.write", full)
        server.signing_keys.retire(first)
    assert "No space left" in caplog.text
    assert Issuer.load(key_file(server)).kids == (first, second)
    assert kids(server) == kids(start()) == (second,)


def test_no_new_keys_are_made_in_the_place_of_lost_ones(start: Start) -> None:
    """A missing key file ends a start and a rotation, rather than all licenses."""
    server = start()
    key_file(server).unlink()
    with pytest.raises(KeysUnavailableError, match="are gone"):
        server.signing_keys.rotate()
    with pytest.raises(KeysUnavailableError):
        server.signing_keys.check()
    with pytest.raises(ServerError, match="are gone"):
        start()
    assert not key_file(server).exists()


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        ("{", 0o600, "no key file"),
        ('{"issuer": "https://other.example", "keys": []}', 0o600, "no key file"),
        (None, 0o644, "lets others use"),
    ],
)
def test_a_key_file_that_is_not_right_ends_the_start(
    start: Start, content: str | None, mode: int, problem: str
) -> None:
    """A damaged key file, or one that others may read, is refused and left as it is."""
    server = start()
    server.close()
    if content is not None:
        key_file(server).write_text(content)
    key_file(server).chmod(mode)
    before = key_file(server).read_bytes()
    with pytest.raises(ServerError, match=problem):
        start()
    assert key_file(server).read_bytes() == before


def test_the_keys_of_another_issuer_are_not_used(start: Start, tmp_path: Path) -> None:
    """A key file names its issuer, which must be this server's."""
    other = tmp_path / "other.json"
    Issuer.generate("https://other.example").save(other)
    with pytest.raises(ServerError, match=r"holds the keys of https://other\.example"):
        start(key_file=other)


@pytest.mark.parametrize("place", PLACES)
def test_keys_are_not_looked_for_in_two_places(start: Start, place: str) -> None:
    """A server that was started with keys in one place does not start with another."""
    start(place)
    (other,) = {*PLACES} - {place}
    with pytest.raises(ServerError, match="the private keys are") as refused:
        start(other)
    assert refused.value.remedy
    assert len(kids(start(place))) == 1


def test_another_passphrase_opens_nothing(start: Start) -> None:
    """With a passphrase keys are sealed; another one ends the start, and repeats neither."""
    (first,) = kids(start(passphrase="correct horse"))
    with pytest.raises(ServerError, match="sealed under something else") as refused:
        start(passphrase="correct house")
    assert "correct" not in str(refused.value)
    assert "horse" not in repr(start(passphrase="correct horse").configuration)
    assert kids(start(passphrase="correct horse")) == (first,)


def test_a_sealed_key_that_is_none_ends_the_start(start: Start) -> None:
    """What is unsealed and is no private key is refused, and not repeated."""
    server = start("sealed")
    (kid,) = kids(server)
    assert server.vault is not None
    for content in (b"{}", b"nonsense", server.vault.seal("x", b"")):
        sealed = server.vault.seal(f"signing key {kid}", content)
        server.database.write_now(partial(_keep_sealed, sealed=sealed))
        with pytest.raises(KeysUnavailableError, match="a private key is damaged") as refused:
            server.signing_keys.check()
        assert refused.value.__suppress_context__
    with pytest.raises(ServerError, match="damaged"):
        start("sealed")


def test_no_private_key_is_in_the_database(start: Start, tmp_path: Path) -> None:
    """The database shows no private key, sealed or in a file, and forgets a retired one."""
    server = start("sealed")
    (first,) = kids(server)
    server.signing_keys.rotate()
    assert server.vault is not None
    private = [
        json.loads(server.vault.unseal(f"signing key {kid}", sealed or b""))["d"]
        for kid, sealed in server.database.read(_sealed)
    ]
    server.signing_keys.retire(first)
    assert [kid for kid, sealed in server.database.read(_sealed) if sealed is None] == [first]
    server.close()
    content = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    assert len(private) == 2
    assert not any(secret.encode() in content for secret in private)
    assert not (tmp_path / "data" / "issuer.json").exists()


def test_licenses_that_need_a_key_are_counted(start: Start, hands: Hands) -> None:
    """The vendor sees how many licenses that are not over or revoked a key has signed."""
    server = start()
    (kid,) = kids(server)

    def licenses(connection: sqlite3.Connection) -> None:
        for name, state, ends in [
            ("current", "active", 1),
            ("suspended", "suspended", 1),
            ("over", "active", 0),
            ("revoked", "revoked", 1),
        ]:
            moment = hands.wall
            connection.execute(
                "INSERT INTO licenses (id, state, claims, kid, created_at, changed_at, expires_at,"
                " ends_at) VALUES (?, ?, '{}', ?, ?, ?, ?, ?)",
                (name, state, kid, moment, moment, moment, moment + ends),
            )

    server.database.write_now(licenses)
    assert [key["licenses"] for key in server.signing_keys.listing()] == [2]


def _sealed(connection: sqlite3.Connection) -> list[tuple[str, bytes | None]]:
    return connection.execute("SELECT kid, sealed FROM signing_keys ORDER BY position").fetchall()


def _keep_sealed(connection: sqlite3.Connection, sealed: bytes) -> None:
    connection.execute("UPDATE signing_keys SET sealed = ?", (sealed,))


def test_who_changes_the_file_is_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation and a command that changes the key file at the same time both count."""
    server = start()
    path, first = key_file(server), kids(server)
    with lock.alone(path):
        rotating = threading.Thread(target=server.signing_keys.rotate)
        rotating.start()
        other = Issuer.load(path)
        other.rotate()
        other.save(path)
    rotating.join()
    assert kids(server)[:2] == other.kids
    assert Issuer.load(path).kids == kids(server)
    assert len(kids(server)) == len(first) + 2
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with lock.alone(path), pytest.raises(KeysUnavailableError, match="somebody else"):
        server.signing_keys.rotate()


def test_a_key_file_that_nobody_may_write_is_read(start: Start) -> None:
    """A server starts where no lock can be made, because nothing can be written there."""
    path = key_file(start())
    path.with_name(f".{path.name}.lock").mkdir()
    assert kids(start()) == Issuer.load(path).kids
