"""What each call of a view uses of its license.

It is charged before the view runs, so that no two can have the last of it, and given back where
the view fails: it raises, answers 5xx, or is cancelled. A websocket that was accepted is used,
however it ends.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from licet.core import flow
from licet.core.entitlements.context import current_entitlements
from licet.core.usage.asked import request_of
from licet.core.usage.charge import Charge
from licet.core.usage.paid import Paid, paid
from licet.core.usage.use import Use

F = TypeVar("F", bound=Callable[..., Any])


def consumes(
    limit: str,
    *,
    cost: int | Callable[[Any], Any] = 1,
    by: Callable[[Any], Any] | None = None,
) -> Callable[[F], F]:
    """Charge each call to a limit of the current license, before it runs.

    Goes on sync and async functions and methods. What is charged is given back where the function
    raises, answers 5xx or is cancelled; a seat stays its user's.

    Args:
        limit: its name in the license.
        cost: how much of it a call uses, 1 or more; or what tells that of the framework's
            request, 0 or more.
        by: what tells of the framework's request who the user is: a text, a number or a UUID.
            The limit then counts different users. `seats` always needs it. In an async function
            it may be async itself, as may `cost`.

    The framework's request is the argument that carries the entitlements: Django's and Starlette's
    views are called with it, in FastAPI the path operation has to declare it (`request: Request`).
    In Flask it is `flask.request`.

    Raises:
        TypeError: used without parentheses or a name, with a cost that is none, or for seats
            without `by`; at import.

    The decorated function raises:
        LimitExceeded: the limit is used up.
        FeatureNotLicensed: the license does not name it.
        LicenseUnavailable: that cannot be told, because the store gives no answer.
        LicenseError: there is no license that holds now: what made it so.
        RuntimeError: no middleware of Licet saw this request.
    """
    use = Use("@consumes", limit, cost, by)

    def decorate(function: F) -> F:
        if inspect.isclass(function) or not callable(function):
            raise TypeError(
                "@consumes goes on functions and methods; on a class-based view put it on the "
                "method, or use method_decorator"
            )
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError("@consumes cannot follow a generator; call (a)consume inside it")
        return cast("F", _charged(function, use))

    return decorate


def _charged(function: Callable[..., Any], use: Use) -> Callable[..., Any]:
    """Return what is called in place of a view."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            entitlements = current_entitlements()
            told = use.tell(entitlements, lambda: request_of(function, args, kwargs))
            if inspect.isawaitable(told):
                told = await told
            paying = await paid(entitlements, use.charging(entitlements, told))
            return await _awaited(paying, lambda: function(*args, **kwargs))

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            entitlements = current_entitlements()
            told = use.tell(entitlements, lambda: request_of(function, args, kwargs))
            charge = flow.run(use.charging(entitlements, told))
            try:
                answer = function(*args, **kwargs)
            except BaseException:
                charge.refund()
                raise
            if inspect.iscoroutine(answer):
                return _awaited(Paid(entitlements.charged_so_far(), charge), lambda: answer)
            if has_failed(answer):
                charge.refund()
            return _followed(answer, charge)

    return wrapper


async def _awaited(paying: Paid, answering: Callable[[], Awaitable[Any]]) -> Any:
    """Return what a view answers; give back what it was charged where it fails."""
    async with paying:
        answer = await answering()
        paying.failed = has_failed(answer)
    return _followed(answer, paying.charge)


def _followed(answer: Any, charge: Charge) -> Any:
    """Return an answer; one of Django's that renders itself later gives back where it fails."""
    if getattr(answer, "is_rendered", None) is False:
        render = answer.render

        def rendering() -> Any:
            # Taken off again, or what is rendered could not be pickled for a cache.
            vars(answer).pop("render", None)
            try:
                rendered = render()
            except BaseException:
                charge.refund()
                raise
            if has_failed(rendered):
                charge.refund()
            return rendered

        answer.render = rendering
    return answer


def has_failed(answer: object) -> bool:
    """Return whether what a view answers is a 5xx, in any framework."""
    status = getattr(answer, "status_code", None)
    if isinstance(answer, tuple) and len(answer) in (2, 3):
        # As Flask has it: body and status, or body and header fields, or all three.
        status = answer[1]
        if isinstance(status, str):
            status = int(status[:3]) if status[:3].isdecimal() else None
    return isinstance(status, int) and 500 <= status <= 599
