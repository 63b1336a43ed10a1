"""What views demand, on every kind of function, at every moment."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from licet.core.entitlements import Entitlements
from licet.core.entitlements.context import bind
from licet.core.entitlements.requirements import requires_feature, requires_role, requires_scope
from licet.core.errors import (
    FeatureNotLicensed,
    LicenseError,
    LicenseExpired,
    LicenseRequired,
    LicenseUnavailable,
    RoleNotGranted,
    ScopeNotGranted,
)
from tests.core.hands import Hands
from tests.core.test_entitlements import LASTS, LEEWAY, view

#: Each decorator, two names the license has, and what is raised where it has not.
KINDS: dict[str, tuple[Callable[..., Any], str, str, type[LicenseError]]] = {
    "feature": (requires_feature, "analytics", "export", FeatureNotLicensed),
    "scope": (requires_scope, "reports:read", "reports:write", ScopeNotGranted),
    "role": (requires_role, "admin", "owner", RoleNotGranted),
}
kinds = pytest.mark.parametrize(
    ("requires", "one", "two", "error"), list(KINDS.values()), ids=list(KINDS)
)


@pytest.fixture
def hands() -> Hands:
    """A clock to move."""
    return Hands()


@pytest.fixture
def licensed(hands: Hands) -> Iterator[Entitlements]:
    """Run the test under a license with all names of `KINDS`."""
    scope, roles = "reports:read reports:write", ["admin", "owner"]
    with bind(view(hands, scope=scope, roles=roles)) as entitlements:
        yield entitlements


def run(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of either kind to its end."""
    result = function(*arguments)

    async def awaited() -> Any:
        return await result

    return anyio.run(awaited) if inspect.isawaitable(result) else result


def decorated(decorator: Callable[[Any], Any], is_async: bool) -> Callable[..., Any]:
    """Return a decorated function that returns its argument, sync or async."""
    if is_async:

        @decorator
        async def function(value: int = 1) -> int:
            return value

    else:

        @decorator
        def function(value: int = 1) -> int:
            return value

    return function  # type: ignore[no-any-return]


worlds = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@kinds
@worlds
@pytest.mark.usefixtures("licensed")
def test_all_names_are_demanded(
    requires: Any, one: str, two: str, error: type[LicenseError], is_async: bool
) -> None:
    """With every name the function runs; with one missing it does not, and the error names all."""
    assert run(decorated(requires(one), is_async), 5) == 5
    assert run(decorated(requires(one, two), is_async), 5) == 5
    with pytest.raises(error) as caught:
        run(decorated(requires(one, "other"), is_async), 5)
    assert caught.value.members == {"required": [one, "other"], "plan": "professional"}


@kinds
@worlds
@pytest.mark.usefixtures("licensed")
def test_any_of_demands_one(
    requires: Any, one: str, two: str, error: type[LicenseError], is_async: bool
) -> None:
    """With `any_of` one name is enough, and none is not."""
    assert run(decorated(requires("other", one, any_of=True), is_async), 5) == 5
    with pytest.raises(error) as caught:
        run(decorated(requires("other", "another", any_of=True), is_async), 5)
    assert caught.value.members["required"] == ["other", "another"]


@kinds
def test_names_of_one_kind_are_none_of_another(
    hands: Hands, requires: Any, one: str, two: str, error: type[LicenseError]
) -> None:
    """A role that is called as a feature is demanded grants no feature, and so on."""
    everything: dict[str, Any] = {"features": ["same"], "scope": "same", "roles": ["same"]}
    own = {requires_feature: "features", requires_scope: "scope", requires_role: "roles"}[requires]
    others = {**everything, own: "" if own == "scope" else []}
    with bind(view(hands, **everything)):
        assert decorated(requires("same"), False)() == 1
    with bind(view(hands, **others)), pytest.raises(error):
        decorated(requires("same"), False)()


@worlds
def test_a_missing_middleware_is_a_crash(is_async: bool) -> None:
    """Without middleware nothing passes: RuntimeError, and a sentence that says what is missing."""
    with pytest.raises(RuntimeError, match="LicenseMiddleware"):
        run(decorated(requires_feature("analytics"), is_async))


@worlds
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (None, LicenseRequired),
        (LicenseExpired(), LicenseExpired),
        (LicenseUnavailable(), LicenseUnavailable),
    ],
    ids=["absent", "expired", "undecided"],
)
def test_without_a_license_the_error_is_what_made_it_so(
    is_async: bool, error: LicenseError | None, kind: type[LicenseError]
) -> None:
    """An unlicensed request learns why; where nothing was presented, that it must be."""
    with bind(Entitlements.unlicensed(error)), pytest.raises(kind):
        run(decorated(requires_feature("analytics"), is_async))


@worlds
@pytest.mark.usefixtures("licensed")
def test_the_end_of_the_license_is_noticed(hands: Hands, is_async: bool) -> None:
    """A socket or a job that asks again later learns of the end."""
    function = decorated(requires_feature("analytics"), is_async)
    hands.advance(LASTS + LEEWAY - 1)
    assert run(function) == 1
    hands.advance(1)
    with pytest.raises(LicenseExpired):
        run(function)


@pytest.mark.usefixtures("licensed")
def test_a_refused_coroutine_is_told_when_it_is_awaited() -> None:
    """Calling an async function only makes a coroutine, as with any other."""

    async def main() -> None:
        coroutine = decorated(requires_feature("other"), True)()
        with pytest.raises(FeatureNotLicensed):
            await coroutine

    anyio.run(main)


@pytest.mark.usefixtures("licensed")
def test_methods_are_functions() -> None:
    """On methods of all kinds, with `self` and `cls` where they belong."""

    class View:
        @requires_feature("analytics")
        def get(self, value: int) -> tuple[object, int]:
            return self, value

        @requires_feature("analytics")
        async def post(self, value: int) -> tuple[object, int]:
            return self, value

        @classmethod
        @requires_feature("analytics")
        def make(cls, value: int) -> tuple[object, int]:
            return cls, value

        @staticmethod
        @requires_feature("other")
        def refused() -> None:
            raise AssertionError

    it = View()
    assert it.get(1) == run(it.post, 1) == (it, 1)
    assert View.make(1) == (View, 1)
    with pytest.raises(FeatureNotLicensed):
        View.refused()


@pytest.mark.usefixtures("licensed")
def test_callables_of_other_kinds() -> None:
    """Partials, objects and generators are asked when they are called."""

    class Service:
        async def __call__(self) -> int:
            return 3

    def rows() -> Iterator[int]:
        yield 4

    async def stream() -> AsyncIterator[int]:
        yield 5

    async def add(one: int, two: int) -> int:
        return one + two

    has, has_not = requires_feature("analytics"), requires_feature("other")
    assert run(has(functools.partial(add, 1)), 1) == 2
    assert run(has(Service())) == 3
    assert list(has(rows)()) == [4]
    assert inspect.isasyncgen(has(stream)())
    for function in (rows, stream, Service()):
        with pytest.raises(FeatureNotLicensed):
            has_not(function)()


@pytest.mark.usefixtures("licensed")
def test_requirements_stack() -> None:
    """Several on one function all hold."""
    both = requires_feature("analytics")(decorated(requires_role("other"), False))
    with pytest.raises(RoleNotGranted):
        both()


@worlds
def test_a_decorated_function_looks_like_itself(is_async: bool) -> None:
    """Name, documentation, signature and kind stay: frameworks read them."""

    def plain(request: object, *, page: int = 1) -> str:
        """Show a page."""
        return f"{request}{page}"

    async def coroutine(request: object, *, page: int = 1) -> str:
        """Show a page."""
        return f"{request}{page}"

    function: Callable[..., Any] = coroutine if is_async else plain
    wrapped = requires_feature("analytics")(function)
    assert wrapped.__name__ == function.__name__
    assert wrapped.__doc__ == "Show a page."
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert inspect.iscoroutinefunction(wrapped) is is_async


def view_function() -> None:
    """Something to decorate."""


@kinds
@pytest.mark.parametrize(
    "names",
    [(), (view_function,), ("",), ("a", ""), ("a", None), (["a"],), (b"a",)],
    ids=["none", "no parentheses", "empty", "one empty", "None", "a list", "bytes"],
)
def test_misuse_fails_at_import(
    requires: Any, one: str, two: str, error: type[LicenseError], names: tuple[Any, ...]
) -> None:
    """Without parentheses, without a name, or with what is no name: TypeError, with the remedy."""
    with pytest.raises(TypeError, match=f"write @{requires.__name__}"):
        requires(*names)


@pytest.mark.parametrize("what", [type("View", (), {}), 3, classmethod(view_function)])
def test_a_class_cannot_be_decorated(what: Any) -> None:
    """A decorated class would be checked when it is made, if ever: TypeError at import."""
    with pytest.raises(TypeError, match="goes on functions and methods"):
        requires_feature("analytics")(what)
