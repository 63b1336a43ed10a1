"""What is presented to be judged by its license server, and how long what may last."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Presented:
    """A credential whose license server may be asked.

    Args:
        credential: the license token or key; a secret.
        digest: its SHA-256.
        audience: what its license must be for.
        domain: where it is presented, as in `Question`.
        license_id: the `sub` of a token.
        verified: whether that is more than the token's own word.
        last_resort: whether it is a token that nothing here can verify.
    """

    credential: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    audience: str
    domain: str | None
    license_id: str | None = None
    verified: bool = False
    last_resort: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what may last, in seconds.

    Args:
        outage: a last signed yes while nobody answers.
        grant: a verdict in the grant cache.
    """

    outage: float
    grant: float
