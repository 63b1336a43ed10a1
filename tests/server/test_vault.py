"""The vault: what it seals is shown to nobody else, and taken from nobody else."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from licet.server.errors import ServerError
from licet.server.signing.vault import UnsealError, Vault

SALT = bytes(16)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "unlock"
    path.write_bytes(bytes(range(32)))
    path.chmod(0o600)
    return path


def test_what_is_sealed_is_unsealed_by_the_same_only(key_file: Path) -> None:
    """The same passphrase and salt, or the same file, unseal; another of any of them does not."""
    sealed = Vault.from_passphrase("correct horse", SALT).seal("a", b"secret")
    assert Vault.from_passphrase("correct horse", SALT).unseal("a", sealed) == b"secret"
    for other in (
        Vault.from_passphrase("correct house", SALT),
        Vault.from_passphrase("correct horse", bytes(15) + b"1"),
        Vault.from_file(key_file),
    ):
        with pytest.raises(UnsealError):
            other.unseal("a", sealed)
    sealed = Vault.from_file(key_file).seal("a", b"secret")
    assert Vault.from_file(key_file).unseal("a", sealed) == b"secret"


def test_what_is_sealed_has_one_place_and_no_flaw(key_file: Path) -> None:
    """Under another name, with any bit changed, cut or empty, it is refused."""
    vault = Vault.from_file(key_file)
    sealed = vault.seal("a", b"secret")
    assert b"secret" not in sealed
    assert vault.seal("a", b"secret") != sealed
    flipped = [
        sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))
    ]
    for name, wrong in [
        ("b", sealed),
        ("a", sealed[:-1]),
        ("a", b""),
        *(("a", f) for f in flipped),
    ]:
        with pytest.raises(UnsealError):
            vault.unseal(name, wrong)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_use_unlocks_nothing(key_file: Path, mode: int) -> None:
    """A file that its group or everybody can read or write is refused, with the remedy."""
    key_file.chmod(mode)
    with pytest.raises(ServerError, match="others") as refused:
        Vault.from_file(key_file)
    assert refused.value.remedy == f"run chmod 600 {key_file}"


@pytest.mark.parametrize("size", [0, 31, 64 * 1024 + 1])
def test_a_file_without_a_key_unlocks_nothing(key_file: Path, size: int) -> None:
    """A file with fewer than 32 bytes, or with so many that it is a mistake, is refused."""
    key_file.write_bytes(b"x" * size)
    with pytest.raises(ServerError, match="no key"):
        Vault.from_file(key_file)


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    """A missing file is named, with what to do."""
    with pytest.raises(ServerError, match="cannot be read"):
        Vault.from_file(tmp_path / "unlock")


def test_it_does_not_travel(key_file: Path) -> None:
    """A vault is neither copied nor pickled, and its repr shows no key."""
    vault = Vault.from_file(key_file)
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied"):
            travel(vault)
    assert "Vault object at" in repr(vault)
