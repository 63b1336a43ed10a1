"""One gate per process and settings, whoever asks: frameworks build a middleware more than once."""

from __future__ import annotations

from cachetools import LRUCache

from licet.core.forks import Locked
from licet.core.gate import Gate
from licet.core.settings import Settings

_gates: LRUCache[bytes, Gate] = LRUCache(64)
_guard = Locked()


def gate_for(settings: Settings) -> Gate:
    """Return this process's gate for `settings`: the same for equal settings."""
    with _guard.lock:
        gate = _gates.get(settings.fingerprint)
        if gate is None:
            gate = _gates[settings.fingerprint] = Gate(settings)
        return gate
