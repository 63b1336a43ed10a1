"""Websockets and event streams end with their license, under asyncio and trio."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from licet import RoleNotGranted, current_entitlements, requires_feature
from licet.asgi import connections
from licet.core.connections import Recheck
from licet.core.entitlements import Status
from licet.core.flow import Flow, run
from licet.core.gate import Gate
from licet.core.revocation.statements import Subject, Withdrawal
from tests.adapters.wire import EVENTS, Wire, World, open_up, piece
from tests.licenses import ISSUER_NAME

pytestmark = pytest.mark.anyio
KINDS = pytest.mark.parametrize("kind", ["websocket", "http"])
DISCONNECT = {"websocket": "websocket.disconnect", "http": "http.disconnect"}
LAST = {"websocket": "websocket.close", "http": "http.response.body"}


@pytest.fixture(name="world")
def _world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture(name="moment")
def _moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOMENT", 0.05)


def revoke(world: World, license_id: str = "lic_1") -> None:
    """Have the issuer withdraw a license, as a pushed event does."""
    withdrawal = Withdrawal("revoked", world.hands.wall)
    run(world.gate.withdrawals.record(withdrawal, Subject("license", ISSUER_NAME, license_id)))


async def listen(receive: Any) -> dict[str, Any]:
    """Return the disconnect that a connection ends with."""
    while not (message := await receive())["type"].endswith(".disconnect"):
        pass
    return message  # type: ignore[no-any-return]


async def idle(scope: Any, receive: Any, send: Any) -> None:
    """Open up, and listen."""
    await open_up(scope, receive, send)
    await listen(receive)


async def others_end() -> None:
    """Wait for as long as connections of others take to end, twice."""
    for _ in range(2):
        with pytest.MonkeyPatch.context() as patch:
            world = World(patch, exempt_paths=["/elsewhere"])
            wire = Wire("websocket", world.token())
            await wire.serve(world.guard(idle), world.end)
            assert wire.over.is_set()


# -- the end ---------------------------------------------------------------------------------------


@KINDS
async def test_an_idle_connection_ends_with_its_license(kind: str, world: World) -> None:
    """The client sees a proper end, with the reason where there is a word for it; so does the
    application, which returns by itself, also where it goes on to listen."""
    heard: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        heard.append(await listen(receive))
        heard.append(await receive())

    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app), world.end)
    assert wire.sent[-1] == LAST[kind]
    assert [message["type"] for message in heard] == [DISCONNECT[kind]] * 2
    if kind == "websocket":
        assert (wire.last["code"], wire.last["reason"]) == (1008, "license_expired")
        assert (heard[0]["code"], heard[0]["reason"]) == (1008, "license_expired")
    else:
        assert not wire.last.get("body")
        assert not wire.last["more_body"]


@KINDS
@pytest.mark.row("J08", adapter="asgi")
async def test_a_connection_lives_through_a_grace_and_ends_with_it(kind: str, world: World) -> None:
    """J08: looks at it in between find that it serves; the first one after is the last."""
    seen: list[Status] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        for seconds in (3_600 + 30, 569):
            world.hands.advance(seconds)
            await others_end()
            seen.append(current_entitlements().status)
        world.hands.advance(1)
        await listen(receive)
        seen.append(current_entitlements().status)

    wire = Wire(kind, world.token(grace=600))
    await wire.serve(world.guard(app))
    assert seen == [Status.GRACE, Status.GRACE, Status.UNLICENSED]
    assert wire.sent[-1] == LAST[kind]


async def test_a_revoked_license_ends_its_connections_and_no_others(world: World) -> None:
    """The word at the end is `license_revoked`; a socket with another license stays open."""

    revoked, other = (Wire("websocket", world.token(sub=name)) for name in ("lic_1", "lic_2"))
    async with anyio.create_task_group() as group:
        group.start_soon(revoked.serve, world.guard(idle))
        group.start_soon(other.serve, world.guard(idle))
        await other.opened.wait()
        await revoked.opened.wait()
        revoke(world)
        with anyio.fail_after(5):
            await revoked.over.wait()
        assert (revoked.last["code"], revoked.last["reason"]) == (1008, "license_revoked")
        assert not other.over.is_set()
        other.say({"type": "websocket.disconnect", "code": 1001})


async def test_what_cannot_be_decided_asks_the_client_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever goes wrong in a look fails closed: 1013, try again later."""

    class Broken(Gate):
        def recheck(self, *args: Any) -> Flow[None]:
            raise ZeroDivisionError

    world = World(monkeypatch, Broken)
    wire = Wire("websocket", world.token())
    await wire.serve(world.guard(idle))
    assert (wire.last["code"], wire.last["reason"]) == (1013, "license_unavailable")


@KINDS
@pytest.mark.usefixtures("moment")
async def test_an_application_that_does_not_listen_is_ended(kind: str, world: World) -> None:
    """It is cancelled a moment later, cleans up, and nobody is told of an error."""
    cleaned = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal cleaned
        await open_up(scope, receive, send)
        try:
            await anyio.sleep_forever()
        finally:
            cleaned = True

    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app), world.end)
    assert cleaned
    assert wire.over.is_set()


@KINDS
async def test_nothing_is_sent_after_the_end(kind: str, world: World) -> None:
    """`send` raises an `OSError`, as where the client has left, in other tasks too; only what
    would end the connection once more is taken and forgotten."""
    raised: list[OSError] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def push() -> None:
            try:
                while True:
                    await anyio.sleep(0.01)
                    await send(piece(scope))
            except OSError as error:
                raised.append(error)

        await open_up(scope, receive, send)
        async with anyio.create_task_group() as group:
            group.start_soon(push)
            await listen(receive)
        await send({"type": LAST[kind]})
        await send(piece(scope))  # and this one comes out of the application

    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app), world.end)
    assert len(raised) == 1
    assert wire.over.is_set()


@KINDS
@pytest.mark.usefixtures("moment")
async def test_a_client_that_takes_nothing_holds_nothing_up(kind: str, world: World) -> None:
    """A message that is stuck is waited for only for a moment, and no second one is sent."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        wire.stuck = anyio.Event()
        await send(piece(scope))

    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app), world.end)
    assert not wire.over.is_set()


@KINDS
async def test_the_end_waits_for_a_message_that_is_on_its_way(kind: str, world: World) -> None:
    """What was sent before the end arrives, and then the end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        wire.stuck = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(send, piece(scope))
            await listen(receive)
            wire.stuck.set()

    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app), world.end)
    assert wire.sent[-2:] == [piece({"type": kind})["type"], LAST[kind]]
    assert wire.over.is_set()


@KINDS
async def test_a_client_that_leaves_at_the_same_moment_is_no_error(kind: str, world: World) -> None:
    """The last message finds nobody; the application ends as it would."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        wire.gone = True
        await listen(receive)

    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app), world.end)
    assert not wire.over.is_set()


@KINDS
async def test_what_the_application_closed_is_not_closed_again(kind: str, world: World) -> None:
    """And its work after that is its own: nobody ends it."""
    done = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal done
        await open_up(scope, receive, send)
        await send({"type": LAST[kind]})
        world.end()
        await others_end()
        done = True

    await Wire(kind, world.token()).serve(world.guard(app))
    assert done


@KINDS
async def test_a_client_that_left_is_not_closed(kind: str, world: World) -> None:
    """Once the application has heard of it the connection is over; it may clean up in peace."""
    done = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal done
        await open_up(scope, receive, send)
        wire.say({"type": DISCONNECT[kind]})
        await listen(receive)
        world.end()
        await others_end()
        done = True

    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app))
    assert done
    assert not wire.over.is_set()


async def test_nothing_is_closed_before_it_is_open(world: World) -> None:
    """A socket that is slow to be accepted is accepted, and then closed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        world.end()
        await others_end()
        await open_up(scope, receive, send)
        await listen(receive)

    wire = Wire("websocket", world.token())
    await wire.serve(world.guard(app))
    assert wire.sent == ["websocket.accept", "websocket.close"]


# -- what stays as it is ---------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), ExceptionGroup("ours", [ValueError()]), RoleNotGranted(), SystemExit(3)],
)
async def test_errors_come_out_as_they_are(kind: str, world: World, error: BaseException) -> None:
    """The very object, and not as one of a group; a refusal after `accept` still closes it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        raise error

    wire = Wire(kind, world.token())
    if kind == "websocket" and isinstance(error, RoleNotGranted):
        await wire.serve(world.guard(app))
        assert (wire.last["code"], wire.last["reason"]) == (1008, "role_not_granted")
        return
    came: BaseException | None = None
    try:
        await wire.serve(world.guard(app))
    except BaseException as raised:
        came = raised
    assert came is error


async def test_an_error_after_the_end_comes_out_too(world: World) -> None:
    """But not a refusal: the connection has been refused."""
    wire = Wire("websocket", world.token())

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        await listen(receive)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await wire.serve(world.guard(failing), world.end)


async def test_what_the_server_makes_of_the_end_comes_out(world: World) -> None:
    """A server that cannot be told to close fails for all to see, and the application ends."""
    wire, heard = Wire("websocket", world.token()), anyio.Event()

    def send(message: Any) -> Any:
        if message["type"] == "websocket.close":
            raise ZeroDivisionError
        return wire.send(message)

    async def app(scope: Any, receive: Any, _: Any) -> None:
        await world.guard(ending)(scope, receive, send)

    async def ending(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        world.end()
        await listen(receive)
        heard.set()

    with pytest.raises(ZeroDivisionError):
        await wire.serve(app)
    assert heard.is_set()


@KINDS
async def test_the_end_in_a_group_of_tasks_is_no_error(kind: str, world: World) -> None:
    """As in applications that send in one task and listen in another."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(push, scope, send)

    async def push(scope: Any, send: Any) -> None:
        while True:
            async with turn:
                await send(piece(scope))

    turn = anyio.Lock()
    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app), world.end)
    assert wire.over.is_set()


async def test_a_refusal_after_the_end_is_no_second_close(world: World) -> None:
    """A requirement that fails at the same moment says what was said."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        await listen(receive)
        current_entitlements().require("analytics")

    wire = Wire("websocket", world.token())
    await wire.serve(world.guard(app), world.end)
    assert wire.sent == ["websocket.accept", "websocket.close"]


@KINDS
async def test_a_cancelled_request_is_cancelled(kind: str, world: World) -> None:
    """The server may give a connection up at any moment; nothing is left of it."""
    cancelled = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal cancelled
        try:
            await open_up(scope, receive, send)
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled = True
            raise

    wire = Wire(kind, world.token())
    async with anyio.create_task_group() as group:
        group.start_soon(wire.serve, world.guard(app))
        await wire.opened.wait()
        group.cancel_scope.cancel()
    assert cancelled


@KINDS
async def test_the_application_stays_in_the_task_of_its_request(kind: str, world: World) -> None:
    """With the context variables of the server, into which it may write."""
    variable: ContextVar[str] = ContextVar("variable")
    tasks: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(anyio.get_current_task().id)
        await open_up(scope, receive, send)
        assert current_entitlements().license_id == "lic_1"
        variable.set("written")

    await Wire(kind, world.token()).serve(world.guard(app))
    assert tasks == [anyio.get_current_task().id]
    assert variable.get() == "written"


async def test_only_what_stays_open_ends(world: World) -> None:
    """A download that began with a license is finished, however long it takes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [EVENTS[0][::-1]]})
        world.end()
        await others_end()
        await send({"type": "http.response.body", "body": b"whole"})

    wire = Wire("http", world.token())
    await wire.serve(world.guard(app))
    assert wire.last["body"] == b"whole"


@pytest.mark.parametrize(
    ("token", "options"),
    [(False, {"required": False}), (True, {"exempt_paths": ["/"]})],
    ids=["unlicensed", "exempt"],
)
async def test_what_needs_no_license_does_not_end_with_one(
    token: bool, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it where a license was presented for nothing."""
    world = World(monkeypatch, **options)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        assert bool(current_entitlements()) is token
        world.end()
        await others_end()
        await send({"type": "websocket.close", "code": 1000})

    wire = Wire("websocket", world.token() if token else None)
    await wire.serve(world.guard(app))
    assert wire.last["code"] == 1000


async def test_an_installation_license_ends_its_connections(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Though no request carries it: 1008 with the word for it."""
    file = tmp_path / "license.jwt"
    file.write_text(World(monkeypatch).token())
    world = World(monkeypatch, license=str(file), sources=None)

    wire = Wire("websocket", None)
    await wire.serve(world.guard(idle), world.end)
    assert (wire.last["code"], wire.last["reason"]) == (1008, "installation_unlicensed")


@KINDS
async def test_where_nothing_is_enforced_nothing_is_closed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would have been is told once, however often a look finds the same."""
    world = World(monkeypatch, mode="report")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        world.end()
        await others_end()
        assert not current_entitlements()
        await send({"type": LAST[kind]})

    wire = Wire(kind, world.token())
    await wire.serve(world.guard(app))
    assert wire.last == {"type": LAST[kind]}
    assert world.gate.would_refuse() == {"license_expired": 1}


async def test_without_the_setting_nothing_stands_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The application is called with nothing of this around it, and nothing ends it."""
    world = World(monkeypatch, recheck_every=None)
    assert world.guard(open_up)._serve is open_up

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        world.end()
        await others_end()

    wire = Wire("websocket", world.token())
    await wire.serve(world.guard(app))
    assert not wire.over.is_set()


# -- asked at each call ----------------------------------------------------------------------------


@pytest.mark.parametrize("recheck_every", [None, 60.0])
@pytest.mark.parametrize(
    ("end", "code"), [(World.end, "license_expired"), (revoke, "license_revoked")]
)
async def test_a_requirement_notices_by_itself(
    recheck_every: float | None, end: Any, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service function that is called on an open socket, whatever `recheck_every` says."""
    world = World(monkeypatch, recheck_every=recheck_every)

    @requires_feature("analytics")
    def report() -> str:
        return "report"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        while True:
            await send({"type": "websocket.send", "text": report()})
            if wire.sent.count("websocket.send") == 3:
                end(world)

    wire = Wire("websocket", world.token())
    await wire.serve(world.guard(app))
    assert wire.sent == ["websocket.accept", *["websocket.send"] * 3, "websocket.close"]
    assert (wire.last["code"], wire.last["reason"]) == (1008, code)


async def test_entitlements_notice_by_themselves(world: World) -> None:
    """`current_entitlements()` of an open connection says at each look whether it holds."""
    told: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await open_up(scope, receive, send)
        entitlements = current_entitlements()
        told.extend([bool(entitlements), entitlements.allows("analytics")])
        revoke(world)
        told.extend([bool(entitlements), entitlements.allows("analytics")])

    await Wire("websocket", world.token()).serve(world.guard(app))
    assert told == [True, True, False, False]


def test_looks_are_spread(world: World) -> None:
    """Never later than `recheck_every`, and not all at one moment."""
    pauses = {Recheck(world.gate, None, None, 10.0).pause() for _ in range(100)}  # type: ignore[arg-type]
    assert len(pauses) > 90
    assert all(8 <= pause <= 10 for pause in pauses)


async def test_many_idle_connections_end_together(world: World) -> None:
    """Three hundred sockets, each with a look of its own."""

    token = world.token()
    wires = [Wire("websocket", token) for _ in range(300)]
    guarded = world.guard(idle)
    async with anyio.create_task_group() as group:
        for wire in wires:
            group.start_soon(wire.serve, guarded)
        for wire in wires:
            await wire.opened.wait()
        world.end()
    assert all(wire.last.get("code") == 1008 for wire in wires)
