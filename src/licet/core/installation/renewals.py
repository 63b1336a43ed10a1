"""What an installation's license was refreshed to, as far as its state or another worker tells.

Nothing is believed of it here but the order in which tokens say that they were issued: what is
found is judged like any license before it counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import TYPE_CHECKING, TypeAlias

from licet.core.clock import Clock
from licet.core.errors import LicenseInvalid, LicenseUnavailable
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.installation.state import State
from licet.core.stores import Key, StoreUnavailable, key
from licet.core.token import strictjson
from licet.core.token.claims import read

if TYPE_CHECKING:
    from licet.core.judge import Judge

#: Licenses of which something is remembered: an installation has one, and another one at times.
CAPACITY = 8
#: Seconds after which a state that gave no answer is asked again.
LOOK_EVERY = 1.0
#: Seconds that a token is kept beyond its end, which is as long as grace may last.
KEPT_BEYOND = 90 * 86_400.0

#: Issuer and license id.
Name: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Token:
    """A license token, and what it says of itself.

    Args:
        credential: the token; a secret.
        name: of the license.
        issued_at: `iat`, seconds since the epoch.
        expires_at: `exp`, seconds since the epoch.
    """

    credential: bytes = field(repr=False)
    name: Name
    issued_at: float
    expires_at: float


def opened(judge: Judge, credential: bytes) -> Token:
    """Return what `credential` says of itself. Nobody has vouched for it.

    Raises:
        LicenseInvalid: it is no token, or none that could be a license here.
    """
    token, profile = judge.open(credential)
    claims = read(token.payload, profile)
    name = claims.issuer, claims.license_id
    return Token(credential, name, claims.issued_at, claims.expires_at)


def announcement(value: bytes) -> tuple[Name, bytes] | None:
    """Return which license was refreshed to what, None where `value` tells something else."""
    try:
        told = strictjson.value(value)
    except ValueError:
        return None
    match told:
        case ["token", str(issuer), str(license_id), str(token)] if token.isascii():
            return (issuer, license_id), token.encode()
    return None


class Renewals(Locked):
    """The latest refreshed token of each license that is or was in use.

    Args:
        state: outlives this process.
        judge: knows what could be a license here.
        clock: both clocks.
    """

    def __init__(self, state: State, judge: Judge, clock: Clock) -> None:
        super().__init__()
        self._state, self._clock = state, clock
        self._opened: Callable[[bytes], Token] = lambda credential: opened(judge, credential)
        self._known: dict[Name, Token | None] = {}
        self._silent: tuple[float, str] | None = None

    def candidates(self, credential: bytes) -> Flow[tuple[bytes, ...]]:
        """Return `credential` and what its license was refreshed to, the latest issued first.

        Raises:
            LicenseUnavailable: what it was refreshed to cannot be told.
        """
        try:
            token = self._opened(credential)
        except LicenseInvalid:
            # An opaque key, or nothing at all: there is no token to refresh.
            return (credential,)
        if token.name not in self._known:
            yield from self._look(token.name)
        renewed = self._known.get(token.name)
        if renewed is None or compare_digest(renewed.credential, credential):
            return (credential,)
        if (renewed.issued_at, renewed.expires_at) > (token.issued_at, token.expires_at):
            return renewed.credential, credential
        return credential, renewed.credential

    def remember(self, renewed: Token | None, name: Name) -> None:
        """Take note in this process of what a license was refreshed to."""
        with self.lock:
            if len(self._known) >= CAPACITY:
                self._known.clear()
            self._known[name] = renewed

    def forget(self, name: Name) -> None:
        """Have the state asked anew what a license was refreshed to."""
        with self.lock:
            self._known.pop(name, None)

    def announce(self, renewed: Token) -> Flow[None]:
        """Have every process hear of a refreshed token, also those to come.

        Raises:
            StoreUnavailable: they will not.
        """
        value = json.dumps(["token", *renewed.name, renewed.credential.decode("ascii")]).encode()
        left = renewed.expires_at - self._clock.wall()
        yield self._state.announce(_place(renewed.name), value, max(left, 0.0) + KEPT_BEYOND)

    def _look(self, name: Name) -> Flow[None]:
        now = self._clock.monotonic()
        if self._silent is not None and now < self._silent[0]:
            raise LicenseUnavailable(self._silent[1])
        try:
            value = yield self._state.get(_place(name))
        except StoreUnavailable as error:
            reason = f"state:{error.reason}"
            self._silent = now + LOOK_EVERY, reason
            raise LicenseUnavailable(reason) from None
        self.remember(self._read(value, name), name)

    def _read(self, value: bytes | None, name: Name) -> Token | None:
        told = None if value is None else announcement(value)
        if told is None:
            return None
        try:
            renewed = self._opened(told[1])
        except LicenseInvalid:
            # The settings may have changed since.
            return None
        return renewed if renewed.name == name else None


def _place(name: Name) -> Key:
    return key("token", *name)
