"""`@consumes` on every kind of function: charged before, given back where the view fails."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID

import anyio
import pytest

from licet.core.entitlements import Entitlements
from licet.core.entitlements.context import bind
from licet.core.errors import FeatureNotLicensed, LicenseError, LicenseRequired, LimitExceeded
from licet.core.flow import Effect
from licet.core.stores import Count, Key
from licet.core.stores.effects import Blocking
from licet.core.stores.memory import MemoryStore
from licet.core.usage.consumption import aconsume, consume
from licet.core.usage.views import consumes, has_failed
from tests.core.counted import Counted
from tests.core.hands import Hands
from tests.core.loopback import until
from tests.core.test_requirements import run, worlds


@pytest.fixture
def licensed(hands: Hands) -> Iterator[Entitlements]:
    """Run the test under a license."""
    with bind(Counted(hands).license({"apiCalls": 3, "seats": 2})) as entitlements:
        yield entitlements


def used(limit: str = "apiCalls") -> int:
    """Return how much of a limit is used."""
    rate = consume(limit, 0).rate
    assert rate is not None
    return rate.used


def made(is_async: bool, answering: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return a decorated view, sync or async, that answers what `answering` returns."""
    if is_async:

        @consumes(*arguments, **options)
        async def view(request: Any = None) -> Any:
            await anyio.lowlevel.checkpoint()
            return answering()

    else:

        @consumes(*arguments, **options)
        def view(request: Any = None) -> Any:
            return answering()

    return view


def request(entitlements: Entitlements, **attributes: Any) -> Any:
    """Return a request as adapters leave it to views."""
    return SimpleNamespace(entitlements=entitlements, **attributes)


# -- charged ---------------------------------------------------------------------------------------


@worlds
def test_each_call_is_charged_before_it_runs(licensed: Entitlements, is_async: bool) -> None:
    """The last call that is refused does not run."""
    seen: list[int] = []
    view = made(is_async, lambda: seen.append(used()), "apiCalls")
    for _ in range(3):
        run(view)
    with pytest.raises(LimitExceeded):
        run(view)
    assert seen == [1, 2, 3]


@worlds
def test_a_call_may_cost_more(licensed: Entitlements, is_async: bool) -> None:
    """A number, or what tells it of the request, which may be nothing."""
    run(made(is_async, int, "apiCalls", cost=2))
    assert used() == 2
    view = made(is_async, int, "apiCalls", cost=lambda request: request.rows)
    run(view, request(licensed, rows=0))
    assert used() == 2
    with pytest.raises(LimitExceeded):
        run(view, request(licensed, rows=2))
    run(view, request(licensed, rows=1))
    assert used() == 3
    with pytest.raises(TypeError, match="0 or more"):
        run(view, request(licensed, rows=-1))


@worlds
def test_users_take_seats(licensed: Entitlements, is_async: bool) -> None:
    """Whoever comes again has a seat already; a failing view does not take it away."""
    view = made(is_async, lambda: (b"", 500), "seats", by=lambda request: request.user)
    for user in ("alice", 7, "7", "alice", UUID(int=7)):
        if isinstance(user, UUID):
            with pytest.raises(LimitExceeded) as refused:
                run(view, request(licensed, user=user))
            assert refused.value.code == "seat_limit_exceeded"
        else:
            run(view, request(licensed, user=user))
    with pytest.raises(TypeError, match="logged in"):
        run(view, request(licensed, user=None))


def test_who_it_is_may_be_asked_asynchronously(licensed: Entitlements) -> None:
    """An async view may have an async `by`, as it may have an async `cost`."""

    async def user(request: Any) -> str:
        await anyio.lowlevel.checkpoint()
        return str(request.user)

    async def rows(request: Any) -> int:
        return 2

    view = made(True, int, "seats", by=user)
    for name in ("alice", "bob"):
        run(view, request(licensed, user=name))
    with pytest.raises(LimitExceeded):
        run(view, request(licensed, user="carol"))
    run(made(True, int, "apiCalls", cost=rows), request(licensed))
    assert used() == 2


@worlds
def test_nobody_is_asked_of_without_a_license(is_async: bool) -> None:
    """What made it so is raised, before anybody looks for a user."""

    def never(request: Any) -> str:
        raise AssertionError

    view = made(is_async, never, "seats", by=never)
    with bind(Entitlements.unlicensed()), pytest.raises(LicenseRequired):
        run(view)
    with pytest.raises(RuntimeError, match="LicenseMiddleware"):
        run(view)


@worlds
def test_what_is_not_named_is_not_licensed(licensed: Entitlements, is_async: bool) -> None:
    """It is 403."""
    with pytest.raises(FeatureNotLicensed):
        run(made(is_async, int, "exports"))


def test_methods_and_stacked_decorators_are_charged(licensed: Entitlements) -> None:
    """Each in its turn, and the outer one is given back where the inner one refuses."""

    class View:
        @consumes("apiCalls")
        def get(self, request: Any) -> str:
            return "got"

        @consumes("apiCalls", cost=2)
        @consumes("seats", by=lambda request: request.user)
        async def post(self, request: Any) -> str:
            return "posted"

    assert View().get(request(licensed)) == "got"
    assert run(View().post, request(licensed, user="alice")) == "posted"
    assert used() == 3
    consume("apiCalls", 0)
    run(functools.partial(made(False, int, "seats", by=lambda request: "bob"), request(licensed)))
    with pytest.raises(LimitExceeded):
        View().get(request(licensed))


def test_a_function_keeps_its_signature() -> None:
    """Frameworks that read it see the view's own, and async ones stay async."""

    @consumes("apiCalls")
    async def view(request: str, number: int = 1) -> str:
        """Say something."""
        return request

    assert list(inspect.signature(view).parameters) == ["request", "number"]
    assert inspect.iscoroutinefunction(view)
    assert (view.__name__, view.__doc__) == ("view", "Say something.")


# -- given back ------------------------------------------------------------------------------------


@worlds
def test_a_view_that_raises_is_given_back(licensed: Entitlements, is_async: bool) -> None:
    """Whatever it raises goes on."""

    def fail() -> None:
        raise ZeroDivisionError

    view = made(is_async, fail, "apiCalls", cost=3)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            run(view)
    assert used() == 0


FAILED = {
    "an object": SimpleNamespace(status_code=503),
    "an enumeration": SimpleNamespace(status_code=HTTPStatus.BAD_GATEWAY),
    "Flask's pair": ("", 500),
    "Flask's text": ("", "503 Service Unavailable"),
    "Flask's three": ("", 599, {}),
}
FINE: dict[str, Any] = {
    "nothing": None,
    "a text": "500",
    "Flask's fields": ("", {"X": "y"}),
    "not found": SimpleNamespace(status_code=404),
    "Flask's not found": ("", 404, {}),
    "a tuple": (500, 500, 500, 500),
    "no number": ("", "five"),
    "beyond": SimpleNamespace(status_code=600),
}


@worlds
@pytest.mark.parametrize("answer", FAILED.values(), ids=FAILED)
def test_a_5xx_is_given_back(licensed: Entitlements, is_async: bool, answer: Any) -> None:
    """In whichever way a framework's views say it."""
    assert run(made(is_async, lambda: answer, "apiCalls")) is answer
    assert used() == 0


@pytest.mark.parametrize("answer", FINE.values(), ids=FINE)
def test_any_other_answer_is_not(answer: Any) -> None:
    """The view has done what it was asked for."""
    assert not has_failed(answer)


class Page:
    """An answer that is rendered behind the view, as Django's `TemplateResponse` is."""

    status_code = 200

    def __init__(self, outcome: Exception | int) -> None:
        self.is_rendered, self.outcome = False, outcome

    def render(self) -> Page:
        """Be rendered, or fail to."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        self.is_rendered, self.status_code = True, self.outcome
        return self


@worlds
@pytest.mark.parametrize(("outcome", "counted"), [(OSError(), 0), (503, 0), (200, 2)])
def test_a_page_that_cannot_be_rendered_is_given_back(
    licensed: Entitlements, is_async: bool, outcome: Exception | int, counted: int
) -> None:
    """It is a 5xx too; and what was rendered holds nothing that could not be cached."""
    with bind(licensed):
        view = made(is_async, lambda: Page(outcome), "apiCalls")
        page = run(consumes("apiCalls")(view))
        assert used() == 2
        with suppress(OSError):
            assert page.render() is page
        assert used() == counted
        assert "render" not in vars(page)


def test_what_a_sync_function_leaves_to_be_awaited_is_followed(licensed: Entitlements) -> None:
    """A coroutine that somebody else made fails as late as it is awaited."""

    async def late() -> None:
        raise ZeroDivisionError

    view = made(False, late, "apiCalls")
    with pytest.raises(ZeroDivisionError):
        run(view)
    assert used() == 0


@pytest.mark.anyio
@pytest.mark.row("P07")
async def test_a_cancelled_view_is_given_back(licensed: Entitlements) -> None:
    """Whether it is cancelled while it is charged or while it runs."""
    begun = anyio.Event()

    @consumes("apiCalls")
    async def view() -> None:
        begun.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(view)
        await begun.wait()
        assert used() == 1
        group.cancel_scope.cancel()
    assert used() == 0
    with anyio.CancelScope() as scope:
        scope.cancel()
        await view()
    assert used() == 0


@pytest.mark.row("P07")
def test_a_view_that_is_abandoned_is_given_back(licensed: Entitlements) -> None:
    """Its coroutine is closed, in no event loop, and has used nothing."""

    class Never:
        def __await__(self) -> Iterator[None]:
            yield

    @consumes("apiCalls")
    async def view() -> None:
        await Never()

    async def begun() -> Any:
        coroutine = view()
        while used() == 0:
            coroutine.send(None)
        return coroutine

    coroutine = anyio.run(begun)
    assert used() == 1
    coroutine.close()
    assert used() == 0


# -- mistakes --------------------------------------------------------------------------------------


def test_seats_need_to_know_who() -> None:
    """It is found out when the module is imported."""
    with pytest.raises(TypeError, match="by="):
        consumes("seats")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((lambda: None,), {}),
        (("",), {}),
        ((3,), {}),
        (("apiCalls",), {"cost": 0}),
        (("apiCalls",), {"cost": -1}),
        (("apiCalls",), {"cost": True}),
        (("apiCalls",), {"cost": 1.5}),
        (("editors",), {"cost": 2, "by": str}),
        (("editors",), {"cost": len, "by": str}),
    ],
)
def test_other_mistakes_are_found_at_import_too(arguments: Any, options: Any) -> None:
    """What cannot be counted is a `TypeError`."""
    with pytest.raises(TypeError):
        consumes(*arguments, **options)


def test_it_goes_on_what_can_be_called_alone() -> None:
    """Not on classes, and not on what is served piece by piece."""

    class View:
        pass

    async def pieces() -> AsyncIterator[int]:
        yield 1

    def steps() -> Iterator[int]:
        yield 1

    for wrong in (View, "view", pieces, steps):
        with pytest.raises(TypeError, match="@consumes"):
            consumes("apiCalls")(wrong)  # type: ignore[type-var]


# -- which argument is the request -----------------------------------------------------------------


def test_the_request_is_what_carries_entitlements(licensed: Entitlements) -> None:
    """However it is called, and wherever it stands; in tests without a middleware, by its name."""
    seen: list[Any] = []

    def cost(request: Any) -> int:
        seen.append(request)
        return 0

    @consumes("apiCalls", cost=cost)
    def view(*args: Any, **kwargs: Any) -> None: ...

    @consumes("apiCalls", cost=cost)
    def named(number: int, request: Any = None) -> None: ...

    class Endpoint:
        scope: ClassVar[Any] = {"state": {"entitlements": licensed}}

        @consumes("apiCalls", cost=cost)
        def get(self, *args: Any) -> None: ...

    django = request(licensed)
    starlette = SimpleNamespace(scope={"state": {"entitlements": licensed}})
    environ = {"licet.entitlements": licensed}
    view("self", django, 7)
    view(item=7, anything=starlette)
    view(starlette.scope, None, None)
    view(environ, None)
    named(1, "by place")
    named(1, request="by name")
    named("scope", django)
    Endpoint().get(starlette)
    expected = [
        django,
        starlette,
        starlette.scope,
        environ,
        "by place",
        "by name",
        django,
        starlette,
    ]
    assert seen == expected
    with pytest.raises(RuntimeError, match="declare it"):
        named(1)
    with pytest.raises(RuntimeError, match="declare it"):
        view(1, {"state": {}}, SimpleNamespace(scope="x"), entitlements="x")


# -- where nothing is enforced ---------------------------------------------------------------------


@worlds
def test_where_nothing_is_enforced_views_without_a_license_are_not_charged(is_async: bool) -> None:
    """They run, nobody is asked for a user, and what would have been refused is told."""
    refused: list[LicenseError] = []

    def never(request: Any) -> str:
        raise AssertionError

    with bind(Entitlements.unlicensed(LicenseRequired(), refused.append)):
        assert run(made(is_async, lambda: "ran", "seats", by=never)) == "ran"
        assert run(made(is_async, lambda: "ran", "apiCalls")) == "ran"
        assert consume("apiCalls").amount == 0
    assert [error.code for error in refused] == ["license_required"] * 3


# -- what was attacked -----------------------------------------------------------------------------


class Slow(MemoryStore):
    """A store that counts at once and answers late, in a thread as real ones do."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.counted, self.go_on = threading.Event(), threading.Event()

    def _increment(self, key: Key, amount: int, limit: int, window: float) -> Effect[Count]:
        effect = super()._increment(key, amount, limit, window)

        def late() -> Count:
            count = effect.run()
            self.counted.set()
            assert self.go_on.wait(10)
            return count

        return Blocking(late)


@consumes("apiCalls")
async def never() -> None:
    """Be charged, and no more."""
    raise AssertionError


@pytest.mark.row("P07")
@pytest.mark.parametrize("use", [never, lambda: aconsume("apiCalls")], ids=["view", "aconsume"])
def test_a_task_of_asyncio_that_is_cancelled_while_it_is_charged_is_given_back(
    hands: Hands, use: Callable[[], Any]
) -> None:
    """Also by asyncio's own cancellation, as Django has it of who disconnects."""
    store = Slow(hands.clock)

    async def cancelled() -> None:
        task = asyncio.create_task(use())
        await asyncio.to_thread(store.counted.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        store.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    with bind(Counted(hands, store).license({"apiCalls": 1})):
        asyncio.run(cancelled())
        assert used() == 0


@pytest.mark.row("P07")
@pytest.mark.parametrize("use", [never, lambda: aconsume("apiCalls")], ids=["view", "aconsume"])
def test_a_task_of_asyncio_that_is_cancelled_again_and_again_is_given_back(
    hands: Hands, use: Callable[[], Any]
) -> None:
    """However impatient whoever cancels it is: what has begun is given back without it."""
    store = Slow(hands.clock)

    async def cancelled() -> None:
        task = asyncio.create_task(use())
        await asyncio.to_thread(store.counted.wait, 10)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        store.go_on.set()
        await asyncio.to_thread(until, lambda: used() == 0)

    with bind(Counted(hands, store).license({"apiCalls": 1})):
        asyncio.run(asyncio.wait_for(cancelled(), 10))


@pytest.mark.anyio
@pytest.mark.row("P07")
@pytest.mark.parametrize("use", [never, lambda: aconsume("apiCalls")], ids=["view", "aconsume"])
async def test_a_task_that_is_cancelled_while_it_is_charged_is_given_back(
    hands: Hands, use: Callable[[], Any]
) -> None:
    """By a scope, under asyncio and trio alike, once the store has answered."""
    store = Slow(hands.clock)
    with bind(Counted(hands, store).license({"apiCalls": 1})):
        async with anyio.create_task_group() as group:
            group.start_soon(use)
            await anyio.to_thread.run_sync(store.counted.wait, 10)
            group.cancel_scope.cancel()
            store.go_on.set()
        assert used() == 0


@worlds
def test_a_view_that_cannot_even_be_called_is_given_back(
    licensed: Entitlements, is_async: bool
) -> None:
    """Arguments that do not fit are an error of the call."""
    with pytest.raises(TypeError):
        run(made(is_async, int, "apiCalls"), 1, 2, 3)
    assert used() == 0


@worlds
def test_nobody_takes_no_seat_of_any_limit(licensed: Entitlements, is_async: bool) -> None:
    """A limit that counts users is not used by one for who is not logged in."""
    view = made(is_async, int, "apiCalls", by=lambda request: None)
    with pytest.raises(TypeError, match="logged in"):
        run(view, request(licensed))
    with pytest.raises(TypeError, match="logged in"):
        consume("apiCalls", key=None)  # type: ignore[call-overload]
    assert used() == 0


@worlds
@pytest.mark.parametrize("told", [-1, 1.0, math.nan, math.inf, True, "1", None, 2**4000])
def test_what_a_request_says_it_costs_is_a_whole_number(
    licensed: Entitlements, is_async: bool, told: Any
) -> None:
    """Anything else is a crash, and more than there is a refusal; neither runs the view."""

    def never() -> None:
        raise AssertionError

    view = made(is_async, never, "apiCalls", cost=lambda request: told)
    with pytest.raises(LimitExceeded if told == 2**4000 else TypeError):
        run(view, request(licensed))
    assert used() == 0


@worlds
def test_what_by_raises_goes_on_and_charges_nothing(licensed: Entitlements, is_async: bool) -> None:
    """Nobody is charged before it is known who."""

    def unknown(request: Any) -> str:
        raise ZeroDivisionError

    for told in ({"by": unknown}, {"cost": unknown}):
        with pytest.raises(ZeroDivisionError):
            run(made(is_async, int, "apiCalls", **told), request(licensed))
    assert used() == 0


@worlds
def test_two_of_one_limit_are_charged_and_given_back_both(
    licensed: Entitlements, is_async: bool
) -> None:
    """On one view, or in one that calls another."""
    fine, answer = [0], {0: SimpleNamespace(status_code=200), 1: SimpleNamespace(status_code=500)}
    view = consumes("apiCalls", cost=2)(made(is_async, lambda: answer[fine[0]], "apiCalls"))
    fine[0] = 1
    run(view)
    assert used() == 0
    fine[0] = 0
    run(view)
    assert used() == 3
    with pytest.raises(LimitExceeded):
        run(view)
    assert used() == 3


USERS = ["a" * 10**6, "\u00e9", "e\u0301", "\ud800", "\0", "a\0", 2**64, -1]


def test_users_are_told_apart_by_what_they_are_called_to_the_letter(hands: Hands) -> None:
    """Of any length and in any script; two spellings of one name are two users."""
    limits = {"seats": len(USERS)}
    with bind(Counted(hands).license(limits)):
        for _ in range(2):
            for user in USERS:
                consume("seats", key=user)
        with pytest.raises(LimitExceeded):
            consume("seats", key="another")
        with pytest.raises(ValueError, match="digits"):
            consume("seats", key=10**5000)


@pytest.mark.anyio
async def test_what_has_begun_to_be_answered_is_had(licensed: Entitlements) -> None:
    """Whoever fails after that keeps what was charged, and a 5xx gives it back without an error."""

    @consumes("apiCalls")
    async def app(status: int, error: Exception | None = None) -> None:
        licensed.charged_so_far().answered(status)
        if error is not None:
            raise error

    await app(500)
    assert used() == 0
    licensed.charges = None
    with pytest.raises(ZeroDivisionError):
        await app(200, ZeroDivisionError())
    assert used() == 1
