"""What the database must not show, sealed under something that is not in it.

Decides how a secret is sealed: AES-256-GCM (NIST SP 800-38D) under a key made of a passphrase
(scrypt, RFC 7914) or of a file (HKDF, RFC 5869), with the name of what is sealed beside it, so that
nothing can be put in the place of another. It trusts the passphrase, or whoever may read the file.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from licet.core.errors import LicetError
from licet.issuer.signing import ExposedError, contents
from licet.server.errors import ServerError

#: Bytes that a file must have, and those of a salt and of a nonce.
LEAST, SALT, NONCE = 32, 16, 12
#: The largest file that is read: it holds a key, and is not a mistake.
MOST = 64 * 1024


class UnsealError(LicetError):
    """Sealed under something else, in another place, or damaged."""


class Vault:
    """Seals and unseals.

    Made by `from_passphrase` or `from_file`; it can be neither copied nor pickled.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def from_passphrase(cls, passphrase: str, salt: bytes) -> Self:
        """Make a key of a passphrase: 32 MiB and a tenth of a second for each guess.

        Args:
            passphrase: any text.
            salt: 16 random bytes, kept beside what is sealed.
        """
        derived = Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode())
        return cls(derived)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Make a key of all the bytes of a file.

        Raises:
            ServerError: it cannot be read, others may use it, or it has fewer than 32 bytes.
        """
        try:
            content = contents(path, MOST + 1)
        except ExposedError as error:
            problem = f"{path} unlocks private keys, and {error}"
            raise ServerError(problem, f"run chmod 600 {path}") from None
        except OSError as error:
            remedy = "name a file that this user may read"
            raise ServerError(f"{path} cannot be read ({error.strerror})", remedy) from None
        if not LEAST <= len(content) <= MOST:
            remedy = f"run openssl rand -out {path} 32 before the first start"
            raise ServerError(f"{path} holds {len(content)} bytes, no key of {LEAST}", remedy)
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"licet vault")
        return cls(derived.derive(content))

    def seal(self, name: str, secret: bytes) -> bytes:
        """Return `secret`, sealed; only under the same name can it be unsealed."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + self._cipher.encrypt(nonce, secret, name.encode())

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """Return what was sealed under `name`.

        Raises:
            UnsealError: that was not this, or not by this vault.
        """
        try:
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], name.encode())
        except (InvalidTag, ValueError):
            raise UnsealError(f"what is kept as {name} cannot be unsealed") from None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Vault holds a key and is neither copied nor pickled")


def new_salt() -> bytes:
    """Return a salt for `Vault.from_passphrase`."""
    return secrets.token_bytes(SALT)
