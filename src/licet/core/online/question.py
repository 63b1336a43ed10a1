"""What a license server is asked, and what it may answer: the words every dialect is written in.

A question names one credential at one domain and carries a nonce of its own, so that an answer
counts for this question and no other. What an answer is worth is the dialect's to say; what
follows from it is the validator's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias

from licet.core.keys.jwk import VerifyKey
from licet.core.token import base64url
from licet.core.transport import Request, Response


@dataclass(frozen=True)
class Question:
    """Whether one credential holds, asked once.

    Args:
        credential: a license token or an opaque license key; a secret.
        issuer: of whom a license must be.
        audience: what it must be for.
        domain: the normalised host or origin that it is presented at; an empty text where a
            request tells none, None where there is no request.
        nonce: 256 random bits, base64url; never used before.
        asked_at: wall time, in seconds since the epoch.
        license_id: the `sub` that the credential itself names, where it is a token.
    """

    credential: str = field(repr=False)
    issuer: str
    audience: str
    domain: str | None
    nonce: str = field(repr=False)
    asked_at: float
    license_id: str | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the credential, base64url: what an answer names it by."""
        return base64url.encode(hashlib.sha256(self.credential.encode()).digest()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Granted:
    """The license holds.

    Args:
        license: its claims, as in a license token; they are checked like any others.
        signed: whether a signature vouches for it.
        issued_at: when it was said, in seconds since the epoch; None where that is not told.
        cache_for: seconds that it may be relied on; None where that is not told.
    """

    license: Mapping[str, Any]
    signed: bool = False
    issued_at: float | None = None
    cache_for: float | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """The license does not hold.

    Args:
        error: `unknown`, `expired`, `revoked`, `cancelled`, `suspended`, `domain_mismatch`,
            `over_limit`; any other word is a rejection.
        signed: whether a signature vouches for it; only then it outlives its minute.
        issued_at: when it was said, in seconds since the epoch; None where that is not told.
        license_id: which license it is about, where the answer says so.
        license: what it said, as in `Granted`, where it has ended and the answer says that much:
            its conditions still count for what may be left of it.
    """

    error: str
    signed: bool = False
    issued_at: float | None = None
    license_id: str | None = None
    license: Mapping[str, Any] | None = None


Answer: TypeAlias = Granted | Denied


class Undecided(Exception):
    """What came back is no answer to the question.

    Args:
        reason: a fixed word, for the log; nothing of what came.
        suspicion: what a right answer in the wrong place is reported as.
    """

    def __init__(self, reason: str, suspicion: Literal["replay"] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.suspicion = suspicion


class KeyMissing(Exception):
    """An answer names a key that is not at hand; it is read again once that was looked for."""

    def __init__(self, kid: str, alg: str) -> None:
        super().__init__("key_missing")
        self.kid = kid
        self.alg = alg


class LicenseServer(Protocol):
    """What a dialect is told of the server it speaks to."""

    @property
    def url(self) -> str:
        """The whole address of its endpoint."""
        ...

    @property
    def credentials(self) -> str | None:
        """What it knows this application by; a secret."""
        ...

    @property
    def unsigned(self) -> bool:
        """Whether answers without a signature are believed."""
        ...

    def key(self, kid: str, alg: str) -> VerifyKey:
        """Return the key that may have signed an answer.

        Raises:
            KeyMissing: there is none at hand; let it through.
        """
        ...


class Dialect(Protocol):
    """How one kind of license server is spoken to. Holds no state that changes.

    `request` and `read` must not wait for anything. Only answers of status 200 come to `read`.
    """

    @property
    def asks_domain(self) -> bool:
        """Whether the server judges the domain; if not, one answer counts for every domain."""
        ...

    def request(self, question: Question, server: LicenseServer) -> Request:
        """Return what to send."""
        ...

    def read(self, question: Question, response: Response, server: LicenseServer) -> Answer:
        """Return what the response says about this very question.

        Raises:
            Undecided: it is no answer to it, or none that may be believed.
            KeyMissing: from `server.key`.
        """
        ...
