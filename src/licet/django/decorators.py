"""The mark of views that need no license."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction

F = TypeVar("F", bound=Callable[..., Any])

#: The attribute that marks a view, as Django's own marks do. Decorators that use
#: `functools.wraps`, `method_decorator` and `as_view()` hand it on.
MARK = "license_exempt"


def license_exempt(view: F) -> F:
    """Let requests to a view through without a license.

    Goes on functions, sync and async, on what `as_view()` returns, and with
    `method_decorator(license_exempt, name="dispatch")` on classes. The view given is not changed:
    elsewhere it needs a license still. A subclass inherits the mark with its `dispatch`.
    `request.entitlements` are those of a license that is presented and can be judged without
    waiting, else `UNLICENSED` ones.

    Raises:
        TypeError: put on a class, which it would not mark.
    """
    if inspect.isclass(view):
        raise TypeError(
            "@license_exempt goes on functions and on as_view(); on a class use "
            '@method_decorator(license_exempt, name="dispatch")'
        )
    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await view(*args, **kwargs)

    else:

        @functools.wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs)

    setattr(wrapper, MARK, True)
    return cast("F", wrapper)


def is_exempt(view: Callable[..., Any]) -> bool:
    """Whether `view` is marked."""
    return getattr(view, MARK, False) is True
