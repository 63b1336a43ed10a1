"""A key set as it was at one moment: what is swapped whole and read without a lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from licet.core.keys.jwk import Rejected, VerifyKey

Source: TypeAlias = Literal["remote", "floor", "file"]


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """A key set as it was at one moment; never changed, only replaced.

    Args:
        keys: what may verify, by `(kid, alg)`.
        thumbprints: of all these keys (RFC 7638).
        generation: grows when, and only when, the set of thumbprints changes.
        etag: what the answer called this version of the set.
        source: `remote`, `floor` for the keys that came with the installation, or `file` for a
            remote set that an earlier run has kept.
        stale_until: wall time, in seconds since the epoch, from which on it serves nobody.
        rejected: the keys in it that were not taken.
    """

    keys: Mapping[tuple[str, str], VerifyKey]
    thumbprints: frozenset[str]
    generation: int
    etag: str | None
    source: Source
    stale_until: float
    rejected: tuple[Rejected, ...]


def kids(snapshot: KeySnapshot, *, but: frozenset[str]) -> tuple[str, ...]:
    """Return the ids of the keys in `snapshot`, without those of the thumbprints `but`."""
    return tuple(sorted({key.kid for key in snapshot.keys.values() if key.thumbprint not in but}))
