"""Where code far from the request finds its entitlements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from licet.core.entitlements.entitlements import Entitlements

#: The entitlements of what runs now. Adapters set it, and set it back to what it was.
current: ContextVar[Entitlements | None] = ContextVar("licet.entitlements", default=None)
#: Its methods, bound once: they stand in the way of every request and of every licensed view.
get_current, set_current, reset_current = current.get, current.set, current.reset

#: Where else to look, in the order of registration; for frameworks whose own request storage
#: outlives the context variable.
_sources: list[Callable[[], Entitlements | None]] = []


def register_source(source: Callable[[], Entitlements | None]) -> None:
    """Let `current_entitlements` ask `source` where the context variable is empty."""
    if source not in _sources:
        _sources.append(source)


def find_entitlements() -> Entitlements | None:
    """Return the entitlements of the current request or `bind` block, None outside both."""
    entitlements = get_current()
    if entitlements is None:
        for source in _sources:
            entitlements = source()
            if entitlements is not None:
                break
    return entitlements


def current_entitlements() -> Entitlements:
    """Return the entitlements of the current request, or of the `bind` block around.

    Raises:
        RuntimeError: there are none, because no middleware of Licet saw this request.
    """
    entitlements = find_entitlements()
    if entitlements is None:
        raise RuntimeError(
            "no license was checked here: add Licet's LicenseMiddleware to the application, "
            "or use licet.bind(entitlements) outside of requests"
        )
    return entitlements


@contextmanager
def bind(entitlements: Entitlements) -> Iterator[Entitlements]:
    """Make `entitlements` the current ones inside a `with` block: jobs, commands, consumers."""
    before = get_current()
    set_current(entitlements)
    try:
        yield entitlements
    finally:
        # Not by the token of `set`, which cannot be used from another context, where generators
        # that hold a block open are sometimes closed.
        set_current(before)
