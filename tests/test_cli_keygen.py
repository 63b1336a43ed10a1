"""`licet keygen`, as a vendor types it from the first key to the last."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest

from licet.cli import main
from licet.issuer import Issuer, lock
from tests.commands import licet
from tests.licenses import ISSUER_NAME

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
posix = pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")


@pytest.fixture(name="keyfile")
def _keyfile(tmp_path: Path) -> Path:
    path = tmp_path / "issuer.json"
    assert licet("keygen", path, "--issuer", ISSUER_NAME).status == 0
    return path


def test_the_first_key(tmp_path: Path) -> None:
    """A new file holds a key whose id is printed, beside what to publish and where."""
    path = tmp_path / "issuer.json"
    said = licet("keygen", path, "--issuer", ISSUER_NAME)
    assert said.status == 0
    assert Issuer.load(path).kid in said.out
    assert f"{ISSUER_NAME}/.well-known/jwks.json" in said.out


@posix
@pytest.mark.parametrize("step", [["--issuer", ISSUER_NAME], ["--rotate"]])
def test_only_the_owner_may_use_the_file(tmp_path: Path, step: list[str]) -> None:
    """Its mode is 0600, whatever the umask, also once it was rotated."""
    path = tmp_path / "issuer.json"
    if step == ["--rotate"]:
        Issuer.generate(ISSUER_NAME).save(path)
    before = os.umask(0)
    try:
        assert licet("keygen", path, *step).status == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_is_not_overwritten(keyfile: Path) -> None:
    """The keys in it stay, it is status 2, and the remedy names the command that adds one."""
    before = keyfile.read_bytes()
    said = licet("keygen", keyfile, "--issuer", ISSUER_NAME)
    assert (said.status, said.out) == (2, "")
    assert "--rotate" in said.err
    assert keyfile.read_bytes() == before


def test_a_name_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A directory that is not there is status 2."""
    said = licet("keygen", tmp_path / "none" / "issuer.json", "--issuer", ISSUER_NAME)
    assert said.status == 2
    assert "cannot be written" in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_cannot_be_saved_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the key does not reach the disk, no empty file stays behind in its name."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Issuer, "save", full)
    said = licet("keygen", tmp_path / "issuer.json", "--issuer", ISSUER_NAME)
    assert said.status == 2
    assert "No space left" in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519", "ES256", "ES384", "PS256"])
def test_the_algorithm(tmp_path: Path, algorithm: str) -> None:
    """The key is of the algorithm that was asked for."""
    path = tmp_path / "issuer.json"
    said = licet("keygen", path, "--issuer", ISSUER_NAME, "--algorithm", algorithm, "--json")
    assert [key["alg"] for key in said.document["jwks"]["keys"]] == [algorithm]


def test_an_algorithm_that_signs_no_license(tmp_path: Path) -> None:
    """A symmetric one is status 2, and leaves no file."""
    path = tmp_path / "issuer.json"
    said = licet("keygen", path, "--issuer", ISSUER_NAME, "--algorithm", "HS256")
    assert said.status == 2
    assert "choose one of EdDSA" in said.err
    assert not path.exists()


def test_the_public_key_set(keyfile: Path, tmp_path: Path) -> None:
    """`--jwks` writes the set that the issuer publishes, to a file and to standard output alike."""
    published = tmp_path / "jwks.json"
    assert licet("keygen", keyfile, "--jwks", published).status == 0
    printed = licet("keygen", keyfile, "--jwks", "-")
    assert json.loads(published.read_text()) == json.loads(printed.out)
    assert json.loads(printed.out) == Issuer.load(keyfile).jwks()


def test_rotation(keyfile: Path, tmp_path: Path) -> None:
    """A new key signs, the old one stays published until it is retired, and then no longer."""
    published = tmp_path / "jwks.json"
    old = Issuer.load(keyfile).kid
    new = licet("keygen", keyfile, "--rotate", "--jwks", published, "--json").document
    assert new["kids"] == [old, new["kid"]]
    assert Issuer.load(keyfile).kid == new["kid"] != old
    assert [key["kid"] for key in json.loads(published.read_text())["keys"]] == new["kids"]
    retired = licet("keygen", keyfile, "--retire", old, "--jwks", published, "--json").document
    assert retired["kids"] == [new["kid"]]
    assert [key["kid"] for key in json.loads(published.read_text())["keys"]] == [new["kid"]]


def test_rotation_to_another_algorithm(keyfile: Path) -> None:
    """`--algorithm` beside `--rotate` is that of the new key."""
    said = licet("keygen", keyfile, "--rotate", "--algorithm", "ES256", "--json")
    assert [key["alg"] for key in said.document["jwks"]["keys"]] == ["EdDSA", "ES256"]


def test_a_key_id_that_looks_like_an_option(tmp_path: Path) -> None:
    """One id in 64 begins with a hyphen, and is retired like any other."""
    path = tmp_path / "issuer.json"
    while not (issuer := Issuer.generate(ISSUER_NAME)).kid.startswith("-"):
        pass
    old = issuer.kid
    issuer.rotate()
    issuer.save(path)
    said = licet("keygen", path, "--retire", old, "--json")
    assert said.document["kids"] == [issuer.kid]


def meet(keyfile: Path, monkeypatch: pytest.MonkeyPatch, *steps: list[str]) -> list[int]:
    """Type each step at once, so that all have read the file before one writes, if they may."""
    read = threading.Barrier(len(steps))
    load = Issuer.load

    def loaded(path: str) -> Issuer:
        issuer = load(path)
        with suppress(threading.BrokenBarrierError):
            read.wait(0.15)
        return issuer

    monkeypatch.setattr(Issuer, "load", loaded)
    # Redirected for all of them: in each, the threads would take the streams from each other.
    with ThreadPoolExecutor() as threads, redirect_stdout(io.StringIO()):
        done = [threads.submit(main, ["keygen", str(keyfile), *step]) for step in steps]
        statuses = [each.result() for each in done]
    monkeypatch.undo()
    return statuses


def test_two_at_once(
    keyfile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither of two rotations loses the key of the other, in the file nor in what is published."""
    jwks = keyfile.with_name("jwks.json")
    steps = [["--rotate", "--jwks", str(jwks)]] * 2
    assert meet(keyfile, monkeypatch, *steps) == [0, 0]
    kids = Issuer.load(keyfile).kids
    assert len(kids) == 3
    assert [key["kid"] for key in json.loads(jwks.read_text())["keys"]] == list(kids)
    assert meet(keyfile, monkeypatch, ["--retire", kids[0]], ["--retire", kids[1]]) == [0, 0]
    assert Issuer.load(keyfile).kids == kids[2:]
    assert sorted(keyfile.parent.iterdir()) == [keyfile, jwks]
    assert capsys.readouterr().err.count("serve the new key set") == 2


def test_who_is_held_up_for_long(keyfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another command changes the file it is status 2, and nothing changes."""
    before = keyfile.read_bytes()
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with lock.alone(str(keyfile)):
        said = licet("keygen", keyfile, "--rotate")
    assert said.status == 2
    assert "somebody else is changing" in said.err
    assert keyfile.read_bytes() == before
    assert licet("keygen", keyfile, "--rotate").status == 0


@posix
def test_a_lock_that_its_holder_has_removed_is_none(
    keyfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gets the lock of a file that is gone meanwhile takes that of the one that others find."""
    beside, take = keyfile.with_name(".issuer.json.lock"), lock.locked
    seen: list[int] = []

    def taken(descriptor: int) -> bool:
        if not seen:
            beside.unlink()
        seen.append(descriptor)
        return take(descriptor)

    monkeypatch.setattr(lock, "locked", taken)
    with lock.alone(str(keyfile)):
        assert beside.exists()
    assert len(seen) == 2


def test_what_a_crash_leaves_behind_holds_up_nobody(keyfile: Path) -> None:
    """The file of a lock is no lock."""
    left = keyfile.with_name(".issuer.json.lock")
    left.touch()
    assert licet("keygen", keyfile, "--rotate").status == 0
    assert not left.exists()


def test_where_there_can_be_no_lock(keyfile: Path) -> None:
    """A directory in the lock's place is status 2, and nothing changes."""
    before = keyfile.read_bytes()
    keyfile.with_name(".issuer.json.lock").mkdir()
    said = licet("keygen", keyfile, "--rotate")
    assert said.status == 2
    assert "cannot be written" in said.err
    assert keyfile.read_bytes() == before


def test_what_cannot_be_retired(keyfile: Path) -> None:
    """Neither the key that signs nor one that is not there is retired; the file stays as it is."""
    before = keyfile.read_bytes()
    kid = Issuer.load(keyfile).kid
    assert "rotate" in licet("keygen", keyfile, "--retire", kid).err
    said = licet("keygen", keyfile, "--retire", "another")
    assert said.status == 2
    assert kid in said.err
    assert keyfile.read_bytes() == before


@posix
@pytest.mark.parametrize("target", ["issuer.json", "linked.json", "other.json", "notes.txt"])
def test_a_key_set_replaces_nothing_but_a_key_set(keyfile: Path, target: str) -> None:
    """`--jwks` on a file of private keys, by another name too, or on any other file is status 2."""
    folder = keyfile.parent
    Issuer.generate("https://other.example").save(folder / "other.json")
    (folder / "notes.txt").write_text("[")
    (folder / "linked.json").symlink_to(keyfile)
    before = (folder / target).read_bytes()
    said = licet("keygen", keyfile, "--jwks", folder / target)
    assert said.status == 2
    assert "not overwritten" in said.err
    assert (folder / target).read_bytes() == before


@posix
@pytest.mark.parametrize("command", ["keygen", "issue"])
def test_a_file_that_others_can_read_is_not_used(keyfile: Path, command: str) -> None:
    """It is status 2, and the remedy is the chmod that mends it."""
    keyfile.chmod(0o644)
    said = licet(command, keyfile, *(["--audience", "a"] if command == "issue" else ["--rotate"]))
    assert said.status == 2
    assert f"chmod 600 {keyfile}" in said.err


def test_where_files_cannot_be_written(keyfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key set in no directory is status 2; an issuer that cannot be saved stays as it was."""
    assert licet("keygen", keyfile, "--jwks", keyfile.parent / "none" / "jwks.json").status == 2
    before = keyfile.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Issuer, "save", full)
    said = licet("keygen", keyfile, "--rotate")
    assert (said.status, said.out) == (2, "")
    assert "No space left" in said.err
    assert keyfile.read_bytes() == before
    assert sorted(keyfile.parent.iterdir()) == [keyfile]


def test_an_issuer_that_is_no_address(tmp_path: Path) -> None:
    """Its key set is served wherever the applications' setting points."""
    said = licet("keygen", tmp_path / "issuer.json", "--issuer", "acme")
    assert "LICET_JWKS_URL" in said.out


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"keys": []}', b"\xff"])
def test_what_is_no_key_file(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, or is none of `keygen`, is status 2, with a remedy."""
    path = tmp_path / "issuer.json"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    said = licet("keygen", path, "--rotate")
    assert said.status == 2
    assert ("licet keygen" in said.err) == (content is None)


@pytest.mark.parametrize(
    "options",
    [
        ["--issuer", ISSUER_NAME, "--rotate"],
        ["--rotate", "--retire", "x"],
        ["--json", "--jwks", "-"],
        ["--algorithm", "ES256"],
        ["--issuer", ""],
    ],
    ids=" ".join,
)
def test_contradictions(tmp_path: Path, options: list[str]) -> None:
    """Options that say two things, or nothing, are status 2, and no file is made."""
    path = tmp_path / "issuer.json"
    assert licet("keygen", path, *options).status == 2
    assert not path.exists()


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_no_private_member_is_shown(tmp_path: Path, algorithm: str) -> None:
    """Neither the output nor the published set holds anything private of the key."""
    path, published = tmp_path / "issuer.json", tmp_path / "jwks.json"
    options = ("--issuer", ISSUER_NAME, "--algorithm", algorithm)
    said = [
        licet("keygen", path, *options, "--jwks", published),
        licet("keygen", path, "--rotate", "--json"),
        licet("keygen", path, "--jwks", "-"),
    ]
    keys = json.loads(path.read_text())["keys"]
    secrets = [key[name] for key in keys for name in PRIVATE & key.keys()]
    assert secrets
    shown = published.read_text() + "".join(each.out + each.err for each in said)
    assert not any(secret in shown for secret in secrets)
