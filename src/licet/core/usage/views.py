"""What each call of a view uses of its license.

It is charged before the view runs, so that no two can have the last of it, and given back where
the view fails: it raises, answers 5xx, or is cancelled. A websocket that was accepted is used,
however it ends.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from licet.core import flow
from licet.core.context import current_entitlements
from licet.core.entitlements import Entitlements
from licet.core.flow import Flow
from licet.core.usage.asked import request_of
from licet.core.usage.charge import Charge
from licet.core.usage.consumption import SEATS, charging

F = TypeVar("F", bound=Callable[..., Any])
_NOTHING: Any = object()


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
    if not isinstance(limit, str) or not limit:
        raise TypeError("write @consumes('name'), with parentheses and the name of a limit")
    if by is None and limit == SEATS:
        raise TypeError("write @consumes('seats', by=…): seats are counted by who sits on them")
    if not callable(cost):
        if by is not None and cost != 1:
            raise TypeError("a user takes one seat: write by= or cost=, not both")
        if type(cost) is not int or cost < 1:
            raise TypeError("cost is a whole number of 1 or more, or tells it of a request")
    elif by is not None:
        raise TypeError("a user takes one seat: write by= or cost=, not both")

    def decorate(function: F) -> F:
        if inspect.isclass(function) or not callable(function):
            raise TypeError(
                "@consumes goes on functions and methods; on a class-based view put it on the "
                "method, or use method_decorator"
            )
        if inspect.isasyncgenfunction(function):
            raise TypeError("@consumes cannot follow a generator; call aconsume inside it")
        told, seated = (cost, False) if by is None else (by, True)
        return cast("F", _View(function, limit, told, seated).charged())

    return decorate


class _View:
    """A function, and what its calls use.

    Args:
        function: the view.
        limit: the name of the limit.
        told: how much, or what tells of a request how much, or who.
        seated: whether it tells who.
    """

    def __init__(self, function: Callable[..., Any], limit: str, told: Any, seated: bool) -> None:
        self._function = function
        self._limit = limit
        self._told = told
        self._seated = seated

    def charged(self) -> Callable[..., Any]:
        """Return what is called in place of the function."""
        function = self._function
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                entitlements = current_entitlements()
                told = self._tell(entitlements, args, kwargs)
                if inspect.isawaitable(told):
                    told = await told
                charge = await _shielded(self._charging(entitlements, told))
                return await _awaited(charge, function(*args, **kwargs))

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                entitlements = current_entitlements()
                told = self._tell(entitlements, args, kwargs)
                charge = flow.run(self._charging(entitlements, told))
                try:
                    answer = function(*args, **kwargs)
                except BaseException:
                    charge.refund()
                    raise
                if inspect.iscoroutine(answer):
                    return _awaited(charge, answer)
                if has_failed(answer):
                    charge.refund()
                return answer

        return wrapper

    def _tell(self, entitlements: Entitlements, args: Any, kwargs: Any) -> Any:
        if not callable(self._told):
            return self._told
        # First of all: nobody without a license has anything looked up.
        entitlements.require_license()
        if not entitlements:
            return _NOTHING
        return self._told(request_of(self._function, args, kwargs))

    def _charging(self, entitlements: Entitlements, told: Any) -> Flow[Charge]:
        if told is _NOTHING:
            # Nothing is enforced, and there is no license that could be charged.
            return Charge(self._limit, 0, None)
        if self._seated:
            return (yield from charging(entitlements, self._limit, key=told))
        return (yield from charging(entitlements, self._limit, told))


async def _shielded(charging: Flow[Charge]) -> Charge:
    """Return what was charged.

    What has begun to be charged is charged or not, and it is known which; only then may a
    cancellation come, and have it given back.
    """
    # Here, because whoever imports `licet` need not have an event loop.
    import anyio

    with anyio.CancelScope(shield=True):
        charge = await flow.arun(charging)
    return charge  # noqa: RET504  # a scope may, for all that mypy knows, swallow what is raised


async def _awaited(charge: Charge, answering: Coroutine[Any, Any, Any]) -> Any:
    """Return what a view answers; give back what it was charged where it fails."""
    try:
        answer = await answering
    except GeneratorExit:
        # A coroutine that nobody awaits any more is closed wherever it is, and cannot wait.
        charge.refund()
        raise
    except BaseException:
        await charge.arefund()
        raise
    if has_failed(answer):
        await charge.arefund()
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
