"""Which of a view's arguments is the framework's request: the one that carries entitlements.

Views are called in as many ways as there are frameworks; what Licet's adapters have in common is
that they leave the entitlements on the request. Where no argument carries any, as in Flask, whose
requests are no arguments, a source that the adapter has registered is asked, and at last, where a
view is called without a middleware, the parameter that is called like a request.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from licet.core.entitlements import Entitlements

#: What parameters for requests are called.
NAMES = ("request", "websocket", "connection")

_sources: list[Callable[[], object]] = []


def register_request_source(source: Callable[[], object]) -> None:
    """Let `source` be asked for the current request; it returns None where there is none."""
    if source not in _sources:
        _sources.append(source)


def request_of(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Return the request that a view is called with.

    Args:
        function: the view.
        args: what it is called with by position.
        kwargs: and by name.

    Raises:
        RuntimeError: there is none.
    """
    # The first one last: endpoints of Starlette have the scope of their request themselves.
    for argument in (*kwargs.values(), *reversed(args)):
        if _is_licensed(argument):
            return argument
    for source in _sources:
        found = source()
        if found is not None:
            return found
    for place, name in enumerate(inspect.signature(function).parameters):
        if name in NAMES and (name in kwargs or place < len(args)):
            return kwargs[name] if name in kwargs else args[place]
    raise RuntimeError(
        "the view is called without its request, which by= or cost= is to be called with: declare "
        "it as a parameter, in FastAPI `request: Request`, or call licet.consume(...) inside the "
        "view"
    )


def _is_licensed(argument: object) -> bool:
    """Whether an adapter has left entitlements on `argument`."""
    if not isinstance(argument, Mapping):
        # Django and Django REST framework; Starlette and FastAPI.
        found = getattr(argument, "entitlements", None)
        return isinstance(found, Entitlements) or _is_scope(getattr(argument, "scope", None))
    return "licet.entitlements" in argument or _is_scope(argument)


def _is_scope(scope: object) -> bool:
    state = scope.get("state") if isinstance(scope, Mapping) else None
    return isinstance(state, Mapping) and isinstance(state.get("entitlements"), Entitlements)
