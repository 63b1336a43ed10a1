"""What a view demands of its entitlements.

The decorators read the context variable, so they work on any function, in any framework. Each
call compares the license's end with now: a socket or job that asks again learns of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from licet.core.context import current_entitlements
from licet.core.entitlements import Entitlements
from licet.core.errors import FeatureNotLicensed, LicenseError, RoleNotGranted, ScopeNotGranted

F = TypeVar("F", bound=Callable[..., Any])


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
    return demand("@requires_feature", names, any_of, _features, FeatureNotLicensed)


def requires_scope(*names: str, any_of: bool = False) -> Callable[[F], F]:
    """Demand scopes of the current license (RFC 6749, section 3.3); else as `requires_feature`.

    The decorated function raises `ScopeNotGranted` where they are not granted.
    """
    return demand("@requires_scope", names, any_of, _scopes, ScopeNotGranted)


def requires_role(*names: str, any_of: bool = False) -> Callable[[F], F]:
    """Demand roles of the current license; else as `requires_feature`.

    The decorated function raises `RoleNotGranted` where they are not granted.
    """
    return demand("@requires_role", names, any_of, _roles, RoleNotGranted)


def _features(entitlements: Entitlements) -> frozenset[str]:
    return entitlements.features


def _scopes(entitlements: Entitlements) -> frozenset[str]:
    return entitlements.scopes


def _roles(entitlements: Entitlements) -> frozenset[str]:
    return entitlements.roles


def requirement(
    word: str,
    names: tuple[str, ...],
    any_of: bool,
    held: Callable[[Entitlements], frozenset[str]],
    error: type[LicenseError],
) -> Callable[[Entitlements], None]:
    """Return the check that entitlements hold `names`.

    Args:
        word: what the user wrote, for the message of a mistake.
        names: what is demanded.
        any_of: whether one of them is enough.
        held: what entitlements have of that kind.
        error: what is raised where they have not.

    Raises:
        TypeError: no names, or something else than names.
    """
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"write {word}('name'), with parentheses and at least one name")
    demanded = frozenset(names)

    def check(entitlements: Entitlements) -> None:
        entitlements.require_license()
        has = held(entitlements)
        if demanded.isdisjoint(has) if any_of else not demanded <= has:
            raise error(members={"required": list(names), "plan": entitlements.plan})

    return check


def demand(
    word: str,
    names: tuple[str, ...],
    any_of: bool,
    held: Callable[[Entitlements], frozenset[str]],
    error: type[LicenseError],
) -> Callable[[F], F]:
    """Return the decorator that runs a `requirement` before each call."""
    check = requirement(word, names, any_of, held, error)

    def decorate(function: F) -> F:
        if inspect.isclass(function) or not callable(function):
            raise TypeError(
                f"{word} goes on functions and methods; on a class-based view put it on the "
                "method, or use method_decorator"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                check(current_entitlements())
                return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                check(current_entitlements())
                return function(*args, **kwargs)

        return cast("F", wrapper)

    return decorate
