"""Nonces a server gives out and never has to remember (RFC 9449, sections 8 and 9).

A nonce is a keyed hash of the time it was made in, so every worker with the secret knows it, and
no stranger can fill a store by asking for some.
"""

from __future__ import annotations

import hmac
from hmac import compare_digest
from typing import NoReturn

from licet.core.clock import Clock
from licet.core.token import base64url

#: Seconds for which one nonce is given out; it is accepted for as long again.
LIFETIME = 300
_PURPOSE = b"licet dpop nonce "


class Nonces:
    """The nonces of one secret.

    Args:
        secret: at least 32 random bytes, the same in all workers.
        clock: wall time.
    """

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._wall = clock.wall

    def current(self) -> str:
        """Return the nonce that a proof made now has to carry."""
        return self._made(self._now()).decode("ascii")

    def accepts(self, nonce: object) -> bool:
        """Return whether `nonce` is the current one or the one before it."""
        if not isinstance(nonce, str):
            return False
        given, now = nonce.encode(), self._now()
        # Both, so that the time taken does not tell which.
        return compare_digest(given, self._made(now)) | compare_digest(given, self._made(now - 1))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")

    def _now(self) -> int:
        return int(self._wall() // LIFETIME)

    def _made(self, number: int) -> bytes:
        return base64url.encode(hmac.digest(self._secret, _PURPOSE + b"%d" % number, "sha256"))
