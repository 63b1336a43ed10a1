"""The vendor's side: keys, their public set, and licenses signed with them.

Decides what a license looks like when it leaves the vendor. It trusts its caller and the key
file, which it therefore refuses to read when others could have; what it signs it reads back
with the core's own reader first, so that it issues nothing that no gate would accept.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Iterable, Mapping
from datetime import timedelta
from threading import Lock
from typing import NoReturn, Self

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.token import base64url
from licet.issuer import arguments, signing
from licet.issuer.arguments import Instant, Seconds
from licet.issuer.proofreading import proofread
from licet.issuer.signing import KeyFileError, SigningKey

__all__ = ["Issuer", "KeyFileError", "LicenseSizeWarning"]

#: What gates accept unless they are told otherwise (`Settings.max_token_size`), in bytes.
COMFORTABLE_SIZE = 4096
#: What gates read of a key set; one key more and they refuse it whole.
MOST_KEYS = 100
ONE_YEAR = timedelta(days=365)

_OWN_ARGUMENT = {
    "iss": "the issuer's name, set where the issuer is made",
    "aud": "audience",
    "sub": "subject",
    "iat": "issued_at",
    "exp": "expires_in",
    "nbf": "not_before",
}


class LicenseSizeWarning(UserWarning):
    """A license too large for gates with the default `max_token_size`."""


class Issuer:
    """Signs licenses and publishes the keys that verify them.

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

    def issue(
        self,
        *,
        audience: str | Iterable[str],
        subject: str,
        plan: str | None = None,
        features: Iterable[str] | None = None,
        limits: Mapping[str, object] | None = None,
        domains: Iterable[str] | None = None,
        ip_ranges: Iterable[str] | None = None,
        regions: Iterable[str] | None = None,
        time_windows: Iterable[Mapping[str, object]] | None = None,
        cnf: Mapping[str, str] | None = None,
        must_understand: Iterable[str] | None = None,
        expires_in: Seconds = ONE_YEAR,
        customer: str | None = None,
        scope: str | Iterable[str] | None = None,
        roles: Iterable[str] | None = None,
        trial: bool = False,
        grace: Seconds | None = None,
        jti: str | None = None,
        not_before: Instant | None = None,
        issued_at: Instant | None = None,
        **claims: object,
    ) -> str:
        """Sign a license token.

        Args:
            audience: the product, or products, it is for.
            subject: the license id, 1 to 256 printable characters.
            plan: text for people.
            features: what it grants, each 1 to 128 of `A-Za-z0-9._:-`.
            limits: name to a whole number, `"unlimited"` or `{"max": …, "per": …}`.
            domains: the hosts it holds for; `*.example.com` is one label more.
            ip_ranges: the networks of the clients it holds for.
            regions: where they are, ISO 3166-1 or -2, as `DE` or `US-CA`.
            time_windows: when it holds: `{"days": "mon-fri", "from": "07:00", "to": "19:00",
                "tz": "Europe/Berlin"}`, and others; without `days` on every day.
            cnf: what its holder has to prove: `{"jkt": key.jkt}` of a `licet.possession.ProofKey`,
                or `{"x5t#S256": certificate_thumbprint(pem)}` (RFC 7800).
            must_understand: claims without whose enforcement it does not hold.
            expires_in: seconds from `issued_at` to the end.
            customer: text for people.
            scope: words, or one text with spaces between (RFC 8693, section 4.2).
            roles: what `requires_role` asks for.
            trial: whether it is a trial.
            grace: seconds it still serves after its end.
            jti: the id of this one token; random where not given.
            not_before: when it begins; a datetime must know its zone.
            issued_at: now where not given.
            **claims: further claims, as they are; None leaves one out.

        Returns:
            A compact JWS (RFC 7515, section 7.1).

        Warns:
            LicenseSizeWarning: it is larger than gates accept by default.

        Raises:
            ValueError: no gate would accept it; the sentence says why.
        """
        for claim in _OWN_ARGUMENT.keys() & claims.keys():
            raise ValueError(f"the claim {claim!r} has its own argument: {_OWN_ARGUMENT[claim]}")
        begin = self._clock.wall() if issued_at is None else issued_at
        start = int(arguments.instant("issued_at", begin))
        lifetime = arguments.seconds("expires_in", expires_in)
        if lifetime < 1:
            raise ValueError("expires_in is a second at least: this license would never be valid")
        members: dict[str, object] = {
            "iss": self.name,
            "aud": arguments.one_or_texts("audience", audience),
            "sub": subject,
            "jti": secrets.token_hex(16) if jti is None else jti,
            "iat": start,
            "exp": start + lifetime,
            "nbf": None if not_before is None else arguments.instant("not_before", not_before),
            "customer": customer,
            "plan": plan,
            "features": arguments.texts("features", features),
            "limits": arguments.members("limits", limits),
            "domains": arguments.texts("domains", domains),
            "ip_ranges": arguments.texts("ip_ranges", ip_ranges),
            "regions": arguments.texts("regions", regions),
            "time_windows": arguments.objects("time_windows", time_windows),
            "cnf": arguments.members("cnf", cnf),
            "must_understand": arguments.texts("must_understand", must_understand),
            "roles": arguments.texts("roles", roles),
            "scope": arguments.words("scope", scope),
            "trial": True if trial else None,
            "grace": None if grace is None else arguments.seconds("grace", grace),
            **claims,
        }
        token = self.sign({name: value for name, value in members.items() if value is not None})
        proofread(token)
        if len(token) > COMFORTABLE_SIZE:
            warnings.warn(
                f"this license takes {len(token)} bytes; gates accept {COMFORTABLE_SIZE} unless "
                "max_token_size says otherwise, and many servers refuse headers over 8 KiB",
                LicenseSizeWarning,
                stacklevel=2,
            )
        return token

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
