"""An issuer's keys at work: what signs, what is published, and how both change.

Decides which key signs and which are published. It trusts its caller and the key file, which it
therefore refuses to read when others could have; what it signs it does not judge.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import NoReturn, Self

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.token import base64url
from licet.issuer import signing
from licet.issuer.signing import SigningKey

#: What gates read of a key set; one key more and they refuse it whole.
MOST_KEYS = 100


class Signer:
    """Signs in an issuer's name and publishes the keys that verify it.

    Made by `generate` or `load`. Safe to share between threads. It can be neither copied nor
    pickled: a private key travels by `save` only.
    """

    def __init__(self, name: str, keys: Iterable[SigningKey], *, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        # Oldest first, the last one signs. Swapped whole, so that readers take no lock.
        self._keys = tuple(keys)
        self._changing = Lock()

    @classmethod
    def generate(cls, name: str, *, algorithm: str = "EdDSA", clock: Clock = SYSTEM_CLOCK) -> Self:
        """Make an issuer with one new key.

        Args:
            name: the `iss` of its licenses, usually an https URL; compared exactly by gates.
            algorithm: `EdDSA` or `Ed25519`, or one of the ES, RS and PS families (RFC 7518,
                section 3.1), written into every header as given.
            clock: where `iat` comes from.

        Raises:
            ValueError: the name is empty or the algorithm is not one of these.
        """
        if not name:
            raise ValueError("an issuer needs a name, usually its https URL")
        return cls(name, [SigningKey.generate(algorithm)], clock=clock)

    @property
    def kid(self) -> str:
        """The id of the key that signs now (RFC 7638 thumbprint)."""
        return self._keys[-1].kid

    @property
    def kids(self) -> tuple[str, ...]:
        """The ids of all published keys, oldest first; the last one signs."""
        return tuple(key.kid for key in self._keys)

    def sign(
        self, claims: Mapping[str, object], *, header: Mapping[str, object] | None = None
    ) -> str:
        """Sign `claims` as they are, for other profiles and for tests; nothing is judged.

        Args:
            claims: the payload.
            header: members beside or instead of `typ` and `kid`; None leaves one out.

        Returns:
            A compact JWS.

        Raises:
            ValueError: the claims are not JSON, or `header` names an `alg`, which is the key's.
        """
        key = self._keys[-1]
        members: dict[str, object] = {"typ": "license+jwt", "alg": key.algorithm, "kid": key.kid}
        members.update(header or {})
        if members["alg"] != key.algorithm:
            raise ValueError(f"the signing key's algorithm is {key.algorithm} and no other")
        named = {name: value for name, value in members.items() if value is not None}
        signing_input = base64url.encode(_json(named)) + b"." + base64url.encode(_json(claims))
        signature = base64url.encode(key.sign(signing_input))
        return (signing_input + b"." + signature).decode("ascii")

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys, oldest first (RFC 7517, section 5)."""
        return {"keys": [key.public_jwk() for key in self._keys]}

    def rotate(self, *, algorithm: str | None = None) -> str:
        """Sign with a new key from now on; the old ones stay published.

        Args:
            algorithm: of the new key; that of the present one where not given.

        Returns:
            The new key's id.

        Raises:
            ValueError: the algorithm is not one that `generate` takes, or gates would not read
                so many keys.
        """
        key = SigningKey.generate(self._keys[-1].algorithm if algorithm is None else algorithm)
        with self._changing:
            if len(self._keys) >= MOST_KEYS:
                raise ValueError(f"{MOST_KEYS} keys are published, all that gates read: retire one")
            self._keys = (*self._keys, key)
        return key.kid

    def retire(self, kid: str) -> None:
        """Publish the key `kid` no longer: licenses signed with it end as gates learn of it.

        Raises:
            KeyError: there is no such key.
            ValueError: it is the key that signs.
        """
        with self._changing:
            if kid == self.kid:
                raise ValueError("this key signs; rotate() first, then retire it")
            if kid not in self.kids:
                raise KeyError("no key of this issuer has that id")
            self._keys = tuple(key for key in self._keys if key.kid != kid)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write name and private keys to `path`, whole or not at all, mode 0600.

        A link at `path` is replaced, not followed.

        Raises:
            OSError: it cannot be written.
        """
        signing.write(path, self.name, self._keys)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> Self:
        """Read what `save` wrote.

        Raises:
            KeyFileError: others than its owner may use the file, or it is no key file.
            OSError: it cannot be read.
        """
        name, keys = signing.read(path)
        return cls(name, keys, clock=clock)

    def __repr__(self) -> str:
        return f"<Issuer {self.name!r}, {len(self._keys)} keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Issuer holds private keys and is neither copied nor pickled; save() it")


def _json(value: Mapping[str, object]) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the claims cannot be written as JSON: {error}") from None
