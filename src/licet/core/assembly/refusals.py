"""What becomes of refusals at a gate."""

from __future__ import annotations

from functools import partial

from licet.core.assembly.surroundings import Surroundings
from licet.core.enforcement import Enforcement
from licet.core.stores import open_store
from licet.core.tally import Tally


def enforcement(around: Surroundings) -> Enforcement:
    """Return what refuses, or lets pass and counts.

    Args:
        around: in which mode, and where it is told.
    """
    return Enforcement(around.settings.mode, around.bus, around.clock, _tally(around))


def _tally(around: Surroundings) -> Tally:
    """Return what counts refusals that are let pass."""
    settings = around.settings
    shared = settings.mode == "report" and around.is_shared
    whose = sorted(f"{name} {one.audiences}" for name, one in settings.by_issuer.items())
    store = partial(open_store, around.store, around.clock) if shared else None
    return Tally(store, whose, around.clock)
