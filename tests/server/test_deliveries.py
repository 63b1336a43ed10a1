"""Deliveries, as receivers on loopback see them; time passes when a test says so."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from licet.core.transport import Transport
from licet.server.signing.vault import Vault
from licet.server.storage.database import Database
from licet.server.webhooks import deliveries as module
from licet.server.webhooks import lanes, outbox
from licet.server.webhooks.deliveries import PAUSES, TRIED_FOR, Deliveries
from licet.server.webhooks.receivers import Receivers, new_secret
from tests.core.hands import Hands
from tests.server import stock
from tests.server.ears import PATIENCE, Answer, Ear, Heard, listening

pytestmark = pytest.mark.anyio

SECRET = new_secret()
#: One for all: it makes a TLS context that nothing here uses.
TRANSPORT = Transport()


@pytest.fixture
def anyio_backend() -> str:
    """What servers run on."""
    return "asyncio"


class World:
    """A database, its receivers, and a clock."""

    def __init__(self, path: Path, opened: ExitStack) -> None:
        # Signatures are held against the real time.
        self.hands = Hands(wall=time.time())
        self.database = Database(path)
        self.receivers = Receivers(self.database, None)
        self._opened = opened
        self.deliveries: Deliveries

    def ear(self, name: str = "wh_1", secret: bytes = SECRET.encode()) -> Ear:
        """Return a receiver of everything, which is told from now on."""
        ear = self._opened.enter_context(listening())
        events = " ".join(outbox.EVENTS)
        stock.receiver(self.database, name, events, url=ear.url, secret=secret)
        return ear

    def tell(self, event: str, name: str = "lic_1", **data: object) -> None:
        """Have an event about a license told, which is made where there is none."""
        if stock.one(self.database, "SELECT 1 FROM licenses WHERE id = ?", name) is None:
            stock.license_(self.database, name)
        # As changes of licenses are dated: the next millisecond, which need not have come.
        at = self.hands.wall + 0.001
        self.database.write_now(
            lambda connection: outbox.tell(
                connection, at, f"license.{event}", name, stock.ISSUER, **data
            )
        )

    @asynccontextmanager
    async def delivering(self, *, random: float = 0.5) -> AsyncIterator[Deliveries]:
        """Deliver in the block. Half of the dice means that pauses are as they are listed."""
        deliveries = Deliveries(
            self.database,
            self.receivers,
            self.hands.clock,
            transport=TRANSPORT,
            random=lambda: random,
        )
        self.deliveries = deliveries
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliveries.run)
            yield deliveries
            tasks.cancel_scope.cancel()

    def attempts(self) -> int:
        """Return how many attempts have failed that may be repeated."""
        return int(stock.one(self.database, "SELECT total(attempts) FROM outbox")[0])

    async def failed(self, number: int) -> None:
        """Wait until so many attempts have failed, and those who deliver know it too."""
        await until(lambda: self.attempts() == number and not self.deliveries._lanes.sending)

    def problem(self, name: str = "wh_1") -> str | None:
        (found,) = [one for one in self.receivers.listing() if one["id"] == name]
        problem: str | None = found["problem"]
        return problem

    def due_in(self) -> float:
        """Return in how many seconds the first event is due."""
        return float(stock.one(self.database, "SELECT due_at FROM outbox ORDER BY id")[0]) - (
            self.hands.wall
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as opened:
        world = World(tmp_path / "licet.db", opened)
        opened.callback(world.database.close)
        yield world


async def hear(ear: Ear, secret: str = SECRET) -> Heard:
    return await anyio.to_thread.run_sync(ear.hear, secret)


async def types(ear: Ear, number: int) -> list[str]:
    return [(await hear(ear)).body["type"].partition(".")[2] for _ in range(number)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - of a database, or of a server in a thread
            await anyio.sleep(0.002)


async def test_an_event_is_delivered_signed_and_then_forgotten(world: World) -> None:
    """As Standard Webhooks has it, at its whole address; nothing of it is kept afterwards."""
    ear = world.ear()
    async with world.delivering():
        world.tell("revoked", reason="a test")
        heard = await hear(ear)
        await until(lambda: not stock.waiting(world.database))
    assert heard.id.startswith("msg_")
    assert heard.body["type"] == "license.revoked"
    assert heard.body["data"]["reason"] == "a test"
    assert int(heard.fields["webhook-timestamp"]) == int(world.hands.wall)
    assert world.receivers.listing()[0]["waiting"] == 0


async def test_what_was_told_while_nobody_delivered_is_delivered_in_order(world: World) -> None:
    """A start takes up what the last one left, and each license's events keep their order."""
    ear = world.ear()
    words = ("suspended", "resumed", "revoked")
    for word in words:
        for name in ("lic_1", "lic_2"):
            world.tell(word, name)
    async with world.delivering():
        heard = [await hear(ear) for _ in range(6)]
    for name in ("lic_1", "lic_2"):
        about = [one.body for one in heard if one.body["data"]["license_id"] == name]
        assert [body["type"] for body in about] == [f"license.{word}" for word in words]
        numbers = [body["data"]["sequence"] for body in about]
        assert numbers == sorted(set(numbers))


async def test_what_fails_is_repeated_ever_more_rarely_for_three_days(world: World) -> None:
    """The same id each time, signed anew, at the listed pauses and not a moment before."""
    ear = world.ear()
    ear.answer([500] * 3)
    async with world.delivering() as deliveries:
        world.tell("revoked")
        first = await hear(ear)
        for number, pause in enumerate(PAUSES[:3], 1):
            await world.failed(number)
            assert world.due_in() == pytest.approx(pause)
            world.hands.monotonic += pause - 0.5
            deliveries.wake()
            await anyio.wait_all_tasks_blocked()
            assert ear.is_quiet()
            world.hands.monotonic += 0.5
            deliveries.wake()
            again = await hear(ear)
            assert again.id == first.id
            assert again.body == first.body
        await until(lambda: world.problem() is None)
    assert 3 * 86_400 < TRIED_FOR < 3.2 * 86_400


@pytest.mark.parametrize(("dice", "pause"), [(0.0, 4.0), (0.999, 6.0)])
async def test_pauses_are_drawn(world: World, dice: float, pause: float) -> None:
    """Not everybody comes back in the same moment."""
    world.ear().answer([500])
    async with world.delivering(random=dice):
        world.tell("revoked")
        await world.failed(1)
    assert world.due_in() == pytest.approx(pause, abs=0.01)


async def test_the_last_attempt_is_not_put_off(world: World) -> None:
    """Whatever pause is next, an event is tried once more when its three days are over."""
    world.ear().answer([500])
    world.tell("revoked")
    left = 60.0
    world.database.write_now(
        lambda connection: connection.execute(
            "UPDATE outbox SET attempts = 9, created_at = created_at - ?", (TRIED_FOR - left,)
        )
    )
    async with world.delivering():
        await world.failed(10)
    assert world.due_in() == pytest.approx(left, abs=0.01)


async def test_a_license_waits_for_its_own_events_only(world: World) -> None:
    """What comes after an event that fails waits for it; other licenses and receivers do not."""
    ear, other = world.ear(), world.ear("wh_2")
    ear.answer([500])
    async with world.delivering() as deliveries:
        world.tell("suspended", "lic_1")
        assert await types(ear, 1) == ["suspended"]
        await world.failed(1)
        world.tell("revoked", "lic_1")
        world.tell("expiring", "lic_2")
        assert await types(ear, 1) == ["expiring"]
        assert sorted(await types(other, 3)) == ["expiring", "revoked", "suspended"]
        assert ear.is_quiet()
        world.hands.advance(PAUSES[0])
        deliveries.wake()
        assert await types(ear, 2) == ["suspended", "revoked"]


async def test_what_is_never_taken_is_given_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """After three days an event is dropped, the log says so, and the next one is told."""
    ear = world.ear()
    ear.answer([500, 500])
    async with world.delivering() as deliveries:
        world.tell("suspended")
        message = (await hear(ear)).id
        await world.failed(1)
        world.database.write_now(
            lambda connection: connection.execute(
                "UPDATE outbox SET created_at = created_at - ?", (TRIED_FOR,)
            )
        )
        world.tell("revoked")
        world.hands.advance(PAUSES[0])
        deliveries.wake()
        assert await types(ear, 2) == ["suspended", "revoked"]
    assert f"webhook given up: receiver=wh_1 message={message} problem=status 500" in caplog.text


async def test_what_was_under_way_at_the_end_is_delivered_again(world: World) -> None:
    """Stopped before the receiver has said yes, the next start tells it the same again."""
    ear, held = world.ear(), threading.Event()
    ear.answer([Answer(after=held)])
    world.tell("revoked")
    async with world.delivering():
        first = await hear(ear)
    assert len(stock.waiting(world.database)) == 1
    async with world.delivering():
        again = await hear(ear)
        await until(lambda: not stock.waiting(world.database))
    held.set()
    assert (again.id, again.body) == (first.id, first.body)


async def test_a_receiver_that_is_gone_is_removed(world: World) -> None:
    """410 ends it, with everything that waits for it; the record says why."""
    ear = world.ear()
    ear.answer([410])
    async with world.delivering():
        world.tell("suspended")
        world.tell("revoked")
        await until(lambda: not world.receivers.listing())
        await hear(ear)
    assert stock.waiting(world.database) == []
    line = stock.one(world.database, "SELECT actor, action, subject, detail FROM audit")
    assert line == ("server", "webhook.removed", "wh_1", '{"reason": "410 Gone"}')
    assert ear.is_quiet()


async def test_a_receiver_that_wants_to_be_left_alone_is(world: World) -> None:
    """`Retry-After` holds for all that it is told, an hour at most, and for nobody else."""
    ear, other = world.ear(), world.ear("wh_2")
    ear.answer([Answer(429, (("Retry-After", "99999"),))])
    async with world.delivering() as deliveries:
        world.tell("revoked", "lic_1")
        await hear(ear)
        await world.failed(1)
        assert world.due_in() == pytest.approx(3600)
        world.tell("revoked", "lic_2")
        assert await types(other, 2) == ["revoked", "revoked"]
        world.hands.monotonic += 3599
        deliveries.wake()
        await anyio.wait_all_tasks_blocked()
        assert ear.is_quiet()
        world.hands.monotonic += 1
        deliveries.wake()
        assert await types(ear, 2) == ["revoked", "revoked"]


async def test_a_receiver_that_hangs_holds_up_no_other(world: World) -> None:
    """So many attempts hang at one receiver at most, and everybody else is told meanwhile."""
    hanging, other, held = world.ear(), world.ear("wh_2"), threading.Event()
    hanging.answer([Answer(after=held)] * lanes.AT_RECEIVER)
    for number in range(8):
        world.tell("revoked", f"lic_{number}")
    async with world.delivering():
        await types(other, 8)
        await types(hanging, lanes.AT_RECEIVER)
        await anyio.wait_all_tasks_blocked()
        assert hanging.is_quiet()
        held.set()
        await types(hanging, 8 - lanes.AT_RECEIVER)


async def test_a_receiver_that_says_nothing_is_waited_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the attempt has failed; until somebody answers it is tried one at a time."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    ear, held = world.ear(), threading.Event()
    ear.answer([Answer(after=held)])
    async with world.delivering():
        world.tell("revoked")
        await hear(ear)
        await until(lambda: world.problem() == "timeout")
        monkeypatch.setattr(module, "PATIENCE", PATIENCE)
        ear.answer([Answer(after=held)] * 4)
        for name in ("lic_2", "lic_3"):
            world.tell("revoked", name)
        await hear(ear)
        await anyio.wait_all_tasks_blocked()
        assert ear.is_quiet()
        held.set()
        await types(ear, 2)


async def test_those_that_say_nothing_take_not_all_places(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many receivers hang, one that answers finds a place."""
    monkeypatch.setattr(lanes, "AT_ALL", 2)
    monkeypatch.setattr(lanes, "AT_ALL_SILENT", 1)
    hanging, held = [world.ear("wh_1"), world.ear("wh_2")], threading.Event()
    for ear in hanging:
        ear.answer([503, Answer(after=held), Answer(after=held)])
    async with world.delivering() as deliveries:
        world.tell("revoked", "lic_1")
        for ear in hanging:
            await hear(ear)
        await world.failed(2)
        world.hands.advance(PAUSES[0])
        deliveries.wake()
        other = world.ear("wh_3")
        for name in ("lic_2", "lic_3"):
            world.tell("revoked", name)
        await types(other, 2)
        await anyio.wait_all_tasks_blocked()
        assert sum(not ear.is_quiet() for ear in hanging) == 1
        held.set()
        for ear in hanging:
            await types(ear, 3)


async def test_what_waits_for_a_receiver_goes_with_it(world: World) -> None:
    """Once the vendor has removed it, nothing that was to be repeated is."""
    ear = world.ear()
    ear.answer([500])
    async with world.delivering() as deliveries:
        world.tell("suspended")
        world.tell("revoked")
        await hear(ear)
        await world.failed(1)
        assert await world.receivers.remove(0.0, "lak_1", "wh_1")
        assert stock.waiting(world.database) == []
        world.hands.advance(PAUSES[0])
        deliveries.wake()
        await until(lambda: not len(deliveries._lanes))
    assert ear.is_quiet()


async def test_a_redirect_is_not_followed(world: World) -> None:
    """What is told goes to the address that was named, and to no other."""
    ear, other = world.ear(), world.ear("wh_2")
    ear.answer([Answer(307, (("Location", other.url),))])
    async with world.delivering():
        world.tell("revoked")
        await hear(ear)
        await until(lambda: world.problem() == "status 307")
        await hear(other)
        assert other.is_quiet()


async def test_an_answer_is_read_up_to_a_size(world: World) -> None:
    """A yes with a flood behind it is none."""
    ear = world.ear()
    ear.answer([Answer(200, body=bytes(module.MAX_ANSWER + 1)), Answer(200, body=b"thanks")])
    async with world.delivering() as deliveries:
        world.tell("revoked")
        await world.failed(1)
        assert world.problem() == "too_large"
        world.hands.advance(PAUSES[0])
        deliveries.wake()
        await until(lambda: not stock.waiting(world.database))
    assert world.problem() is None


async def test_a_receiver_that_is_back_need_not_wait_for_the_rest(world: World) -> None:
    """What waits because nobody was there is tried when somebody is there again."""
    ear = world.ear()
    ear.answer([503])
    async with world.delivering():
        world.tell("revoked", "lic_1")
        await world.failed(1)
        assert await types(ear, 1) == ["revoked"]
        world.tell("suspended", "lic_2")
        assert await types(ear, 2) == ["suspended", "revoked"]


async def test_a_clock_that_is_set_back_delays_nothing(world: World) -> None:
    """Pauses are measured by the clock that nobody sets."""
    ear = world.ear()
    ear.answer([500])
    async with world.delivering() as deliveries:
        world.tell("revoked")
        await hear(ear)
        await world.failed(1)
        world.hands.wall -= 200.0
        world.hands.monotonic += PAUSES[0]
        deliveries.wake()
        await hear(ear)


async def test_a_disk_that_takes_nothing_delays_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was taken and cannot be written down as that is told again, by the same id."""
    ear, tried = world.ear(), stock.full_once(world.database, monkeypatch)
    async with world.delivering() as deliveries:
        world.tell("revoked")
        first = await hear(ear)
        await until(lambda: bool(tried) and not deliveries._lanes.sending)
        assert ear.is_quiet()
        world.hands.advance(module.LOOK)
        deliveries.wake()
        assert (await hear(ear)).id == first.id
        await until(lambda: not stock.waiting(world.database))
    assert "StorageError" in caplog.text


async def test_a_file_that_cannot_be_read_for_a_while_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, and the next look finds everything."""
    monkeypatch.setattr(module, "LOOK", 0.001)
    ear, read, failed = world.ear(), world.database.read, 0

    def failing(act: Callable[[sqlite3.Connection], object]) -> object:
        nonlocal failed
        failed += 1
        if failed <= 3:
            raise sqlite3.OperationalError("disk I/O error")
        return read(act)

    stock.license_(world.database)
    async with world.delivering():
        await anyio.wait_all_tasks_blocked()
        monkeypatch.setattr(world.database, "read", failing)
        at = world.hands.wall
        world.database.write_now(
            lambda connection: outbox.tell(connection, at, "license.revoked", "lic_1", "us")
        )
        await hear(ear)
    assert "webhooks cannot be read: disk I/O error" in caplog.text


async def test_a_secret_that_is_sealed_is_unsealed_for_the_signature_only(world: World) -> None:
    """The vault's receiver is told by its secret; without the vault nothing goes out."""
    vault = Vault(bytes(range(32)))
    ear = world.ear(secret=vault.seal("webhook:wh_1", SECRET.encode()))
    world.tell("revoked")
    async with world.delivering():
        await world.failed(1)
        assert world.problem() == "secret"
    assert ear.is_quiet()
    world.receivers = Receivers(world.database, vault)
    world.hands.advance(PAUSES[0])
    async with world.delivering():
        await hear(ear)


async def test_nothing_is_read_or_written_while_nothing_happens(world: World) -> None:
    """It sleeps: a commit that tells nobody anything does not even wake it."""
    world.ear()
    async with world.delivering():
        await anyio.wait_all_tasks_blocked()
        read, reads = world.database.read, 0

        def counted(act: Callable[[sqlite3.Connection], object]) -> object:
            nonlocal reads
            reads += threading.current_thread() is threading.main_thread()
            return read(act)

        world.database.read = counted  # type: ignore[method-assign, assignment]
        for name in ("lic_1", "lic_2", "lic_3"):
            stock.license_(world.database, name)
        await anyio.wait_all_tasks_blocked()
        assert reads == 0
