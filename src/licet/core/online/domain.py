"""Where a credential is presented, as far as a license server is told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

#: Returns the normalised host or origin: an empty text where a request tells none, None where
#: there is no request. Raises BadHost.
Domain: TypeAlias = Callable[[], str | None]


def nowhere() -> str | None:
    """Return the domain of what no request presents."""
    return None
