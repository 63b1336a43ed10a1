"""What a view demands of its entitlements.

The decorators read the context variable, so they work on any function, in any framework. Each
call compares the license's end with now: a socket or job that asks again learns of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from licet.core.entitlements.context import current_entitlements, get_current
from licet.core.entitlements.entitlements import Entitlements, Kind
from licet.core.errors import FeatureNotLicensed, LicenseError, RoleNotGranted, ScopeNotGranted

F = TypeVar("F", bound=Callable[..., Any])

_REFUSALS: dict[Kind, type[LicenseError]] = {
    "features": FeatureNotLicensed,
    "scopes": ScopeNotGranted,
    "roles": RoleNotGranted,
}


def requires_feature(*names: str, any_of: bool = False) -> Callable[[F], F]:
    """Demand features of the current license: all `names`, or one of them with `any_of`.

    Goes on sync and async functions and methods.

    Raises:
        TypeError: used without parentheses or without a name, at import.

    The decorated function raises:
        FeatureNotLicensed: the license does not name them.
        LicenseError: there is no license that holds now: what made it so.
        RuntimeError: no middleware of Licet saw this request.
    """
    return demand("@requires_feature", names, any_of, "features")


def requires_scope(*names: str, any_of: bool = False) -> Callable[[F], F]:
    """Demand scopes of the current license (RFC 6749, section 3.3); else as `requires_feature`.

    The decorated function raises `ScopeNotGranted` where they are not granted.
    """
    return demand("@requires_scope", names, any_of, "scopes")


def requires_role(*names: str, any_of: bool = False) -> Callable[[F], F]:
    """Demand roles of the current license; else as `requires_feature`.

    The decorated function raises `RoleNotGranted` where they are not granted.
    """
    return demand("@requires_role", names, any_of, "roles")


def requirement(
    word: str,
    names: tuple[str, ...],
    any_of: bool,
    kind: Kind,
) -> Callable[[Entitlements], None]:
    """Return the check that entitlements hold `names`.

    Args:
        word: what the user wrote, for the message of a mistake.
        names: what is demanded.
        any_of: whether one of them is enough.
        kind: what of the license must hold them.

    Raises:
        TypeError: no names, or something else than names.
    """
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"write {word}('name'), with parentheses and at least one name")
    demanded = frozenset(names)

    def check(entitlements: Entitlements) -> None:
        if not entitlements.holds(kind, demanded, any_of):
            entitlements.refuse(_REFUSALS[kind], names)

    return check


def demand(
    word: str,
    names: tuple[str, ...],
    any_of: bool,
    kind: Kind,
) -> Callable[[F], F]:
    """Return the decorator that runs a `requirement` before each call."""
    check = requirement(word, names, any_of, kind)
    demanded = frozenset(names)

    def decorate(function: F) -> F:
        if inspect.isclass(function) or not callable(function):
            raise TypeError(
                f"{word} goes on functions and methods; on a class-based view put it on the "
                "method, or use method_decorator"
            )
        # The wrappers ask what is at hand first, because they stand in front of every view;
        # everything else, and the refusal, is the check's.
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                entitlements = get_current()
                if entitlements is None or not entitlements.holds(kind, demanded, any_of):
                    check(current_entitlements())
                return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                entitlements = get_current()
                if entitlements is None or not entitlements.holds(kind, demanded, any_of):
                    check(current_entitlements())
                return function(*args, **kwargs)

        return cast("F", wrapper)

    return decorate
