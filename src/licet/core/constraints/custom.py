"""Constraints of an application's own: claims that a function was registered for.

Trusted is whoever registers one. What it raises, or answers in a way that is no answer, refuses.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from licet.core.errors import LicenseInvalid

if TYPE_CHECKING:
    from licet.core.request.circumstances import Circumstances

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,128}", re.ASCII)
#: Claims with a meaning of their own: nobody can give them another one.
TAKEN = frozenset(
    "iss sub aud exp nbf iat jti plan customer features limits scope role roles trial grace"
    " must_understand domain domains ip_range ip_ranges region regions time_window time_windows"
    " time_limit cnf status".split()
)
_judges: dict[str, Callable[..., Any]] = {}
#: What is called and has not answered yet; and what it answers with, which is true whatever comes.
_WAITS = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
_UNDECIDED = (Iterator, AsyncIterator, type(NotImplemented))


def constraint(name: str) -> Callable[[F], F]:
    """Register what the custom claim `name` demands of a request; a decorator.

    On a function it is `(value, facts) -> bool`: the claim's value as the license has it, and the
    circumstances of the request (`Circumstances` in `licet.core.request.circumstances`). A falsy
    answer is 403 `license_constraint`, an exception 503. A class is made from the value once for
    all licenses that say the same, and its instances are called with `facts`, perhaps by many
    threads at a time; a `ValueError` or `TypeError` from making one makes the license invalid.

    Register at import: licenses that were read before do not know of it.

    Args:
        name: of the claim; a license enforces it wherever it stands, and insists on somebody
            knowing it with `must_understand`.

    Raises:
        TypeError: used without parentheses, on a coroutine function or on a generator (what a
            request may do is decided without waiting), or on a class without `__call__`.
        ValueError: `name` has a meaning already, or is no name.
    """
    if not isinstance(name, str):
        raise TypeError("write @constraint('name'), with parentheses")
    if not _NAME.fullmatch(name) or name in TAKEN:
        raise ValueError(f"{name!r} cannot be the claim of a constraint of your own")

    def register(judge: F) -> F:
        call: object = judge
        if inspect.isclass(judge):
            # By its own, for every class can itself be called.
            members = (vars(each).get("__call__") for each in judge.__mro__)
            call = next(filter(None, members), None)
        if not callable(call) or any(waits(call) for waits in _WAITS):
            raise TypeError(
                "@constraint goes on a plain function, or a class with a plain __call__:"
                " no coroutine, no generator"
            )
        if name in _judges:
            raise ValueError(f"there is a constraint {name!r} already")
        _judges[name] = judge
        return judge

    return register


def custom_names() -> tuple[str, ...]:
    """Return the claims that are registered, in the order in which they are judged."""
    return tuple(_judges)


@dataclass(frozen=True, slots=True)
class Custom:
    """A custom claim, compiled.

    Attributes:
        judge: answers whether the license holds for a request.
    """

    code: ClassVar[str] = "license_constraint"

    judge: Callable[[Circumstances], object]

    @classmethod
    def read(cls, name: str, value: Any) -> Custom:
        """Compile the claim `name`, which is registered.

        Raises:
            LicenseInvalid: the class registered for it can make nothing of `value`.
        """
        judge = _judges[name]
        if not inspect.isclass(judge):
            return cls(lambda circumstances: judge(value, circumstances))
        make: Callable[[Any], Any] = judge
        try:
            return cls(make(value))
        except (TypeError, ValueError):
            raise LicenseInvalid(f"bad_claim:{name}") from None

    def holds(self, circumstances: Circumstances) -> bool:
        """Whether the function registered says so.

        Raises:
            TypeError: it answered with something to be awaited or gone through, or with
                `NotImplemented`: these are true whatever comes of them.
        """
        answer = self.judge(circumstances)
        if isinstance(answer, bool):
            return answer
        if inspect.isawaitable(answer) or isinstance(answer, _UNDECIDED):
            raise TypeError("a constraint answered with what is to be awaited or gone through")
        return bool(answer)
