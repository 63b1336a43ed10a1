"""One gate per process and settings, whoever asks: frameworks build a middleware more than once."""

from __future__ import annotations

from cachetools import LRUCache

from licet.core.forks import Reentrant
from licet.core.gate import Gate
from licet.core.settings import Settings

_gates: LRUCache[bytes, Gate] = LRUCache(64)
# What is logged while a gate is made may have a handler of the log ask for that very gate.
_guard = Reentrant()


def gate_for(settings: Settings) -> Gate:
    """Return this process's gate for `settings`: the same for equal settings."""
    with _guard.lock:
        gate = _gates.get(settings.fingerprint)
        if gate is None:
            gate = _gates.setdefault(settings.fingerprint, Gate(settings))
        return gate


def every_gate() -> list[Gate]:
    """Return the gates of this process."""
    with _guard.lock:
        return list(_gates.values())


def admitted() -> int:
    """Return how many requests the gates of this process let in by a license."""
    return sum(gate.admitted() for gate in every_gate())
