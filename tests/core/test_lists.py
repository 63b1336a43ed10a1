"""The status lists of an issuer: where they come from, how long they serve, and at what price."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import pytest

from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK
from licet.core.documents.schedule import State
from licet.core.errors import LicenseInvalid, LicenseUnavailable
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.keys.keystore import KeyStore
from licet.core.revocation.lists import KEPT, StatusDocument, StatusLists
from licet.core.revocation.statuslist import MAX_TOKEN, StatusList, StatusReference
from licet.core.settings import Settings
from licet.core.tls import TlsFailure
from licet.core.token import base64url
from licet.core.transport import Response, Transport, TransportError
from licet.issuer import Issuer
from tests.core.hands import Hands
from tests.core.loopback import Loopback, Request, reply, until
from tests.core.vendor import outcome, rest
from tests.licenses import AUDIENCE, license_token

NAME = "https://licenses.test"
URI = "https://licenses.test/status/1"
JWKS = "https://licenses.test/jwks.json"
TYPE = "application/statuslist+jwt"
DAY = 86_400.0


class World(Transport):
    """A vendor in memory: its lists, its key set, whether it answers, and what it was asked."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.hands = Hands()
        self.vendor = Issuer.generate(NAME, clock=self.hands.clock)
        self.jwks = self.vendor.jwks()
        self.asked: list[dict[str, str]] = []
        self.urls: list[str] = []
        self.trouble: TransportError | None = None
        self.keys_up = True
        self.before: Callable[[], object] = lambda: None
        self.answer: Response | None = None
        self.changes = 0
        self.events: list[Event] = []
        self.keys = KeyStore(
            NAME,
            jwks_url=JWKS if options.pop("remote_keys", False) else None,
            jwks=self.vendor.jwks(),
            algorithms=("EdDSA",),
            max_age=600.0,
            max_stale=DAY,
            cooldown=30.0,
            transport=self,
            clock=self.hands.clock,
            bus=EventBus(),
            random=lambda: 0.0,
        )
        given: dict[str, Any] = {
            "keys": self.keys,
            "transport": self,
            "clock": self.hands.clock,
            "bus": EventBus(self.events.append),
            "max_stale": 3 * DAY,
            "changed": self._changed,
            "random": lambda: 0.0,
        }
        issuer, origins = options.pop("issuer", NAME), options.pop("origins", ())
        document = partial(StatusDocument, issuer=issuer, **given | options)
        self.lists = StatusLists(issuer, origins=origins, document=document)

    def _changed(self) -> None:
        self.changes += 1

    def fetch(
        self, url: str, *, headers: Mapping[str, str], deadline: float, max_bytes: int
    ) -> Response:
        self.urls.append(url)
        if url == JWKS:
            if not self.keys_up:
                raise TransportError("connect")
            return Response(
                200, {"content-type": "application/json"}, json.dumps(self.jwks).encode()
            )
        self.asked.append(dict(headers))
        self.before()
        if self.trouble is not None:
            raise self.trouble
        assert self.answer is not None
        return self.answer

    def publish(
        self,
        statuses: Mapping[int, Any] | None = None,
        fields: Mapping[str, str] | None = None,
        without: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        """Serve a list from now on.

        Args:
            statuses: what it says.
            fields: header fields of the answer.
            without: claims that it lacks.
            options: as of `Issuer.status_list`; members of `more` are added to its claims.
        """
        more = options.pop("more", {})
        token = self.vendor.status_list(URI, statuses or {}, size=64, **options)
        claims = payload(token) | more
        self.serve(
            self.vendor.sign(
                {name: value for name, value in claims.items() if name not in without},
                header={"typ": "statuslist+jwt"},
            ),
            **dict(fields or {}),
        )

    def serve(self, token: str, status: int = 200, **fields: str) -> None:
        """Serve a text from now on."""
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        self.answer = Response(status, {"content-type": TYPE, **named}, token.encode())

    @property
    def document(self) -> StatusDocument:
        return self.lists.of(StatusReference(URI, 0))

    def find(self) -> StatusList:
        return flow.run(self.document.find())

    def unavailable(self) -> LicenseUnavailable:
        """Return what becomes of a license whose list cannot be had."""
        with pytest.raises(LicenseUnavailable) as caught:
            self.find()
        return caught.value

    def word(self, idx: int = 0) -> str:
        """Return what is said of a license now, or that nothing can be."""
        try:
            return self.find().word(idx)
        except LicenseUnavailable:
            return "503"
        finally:
            rest()

    def told(self) -> list[tuple[str, object]]:
        return [(event.name, event.data.get("reason")) for event in self.events]


def payload(token: str) -> dict[str, Any]:
    """Return the claims of a token."""
    found: dict[str, Any] = json.loads(base64url.decode(token.split(".")[1].encode()))
    return found


@pytest.fixture(name="world")
def _world() -> World:
    return World()


# -- a list that was never read --------------------------------------------------------------------


def test_a_cold_list_is_fetched_once(world: World) -> None:
    """Who comes first waits for it; who comes later finds it; and who has to hears of it."""
    world.publish({3: "revoked", 5: "suspended"})
    found = world.find()
    assert [found.word(idx) for idx in (0, 3, 5)] == ["valid", "revoked", "suspended"]
    assert world.find() is world.document.current() is world.document.snapshot
    assert [asked["accept"] for asked in world.asked] == [TYPE]
    assert world.changes == 1
    assert found.stale_until == world.hands.wall + DAY + 30
    with world.document._lock:
        assert world.document.current() is found


def test_a_list_that_lands_between_two_looks_costs_no_second_fetch(world: World) -> None:
    """Who saw nothing, and asks when it has just arrived, is given it."""
    world.publish()
    found, document = world.find(), world.document
    seen, looks = document.current, iter([None])
    document.current = lambda: next(looks, seen())  # type: ignore[method-assign]
    assert world.find() is found
    assert len(world.asked) == 1


def test_a_server_that_asks_to_be_left_alone_is(world: World) -> None:
    """And so are those who wait for it: they are told when to come back."""
    world.serve("", 503, retry_after="120")
    assert [world.unavailable().retry_after for _ in range(2)] == [120.0, 120.0]
    world.hands.advance(20)
    assert world.document.unavailable().retry_after == 100.0
    assert len(world.asked) == 1


def test_nothing_is_known_of_a_list_that_was_never_read(world: World) -> None:
    """Looking into memory waits for nothing and starts nothing."""
    assert world.document.current() is None
    assert world.asked == []


def test_a_list_that_cannot_be_had_refuses_for_now(world: World) -> None:
    """503, with the time of the next attempt and the outage's number; nobody asks meanwhile."""
    world.trouble = TransportError("timeout")
    first, second = world.unavailable(), world.unavailable()
    assert first.reason == second.reason == "status_unavailable:timeout"
    assert first.retry_after == second.retry_after == 1.0
    (event,) = world.events
    assert event.data == {
        "issuer": NAME,
        "host": "licenses.test",
        "reason": "status_failing:timeout",
        "retry_after": 0.5,
        "correlation_id": first.members["correlation_id"],
    }
    assert second.members == first.members
    assert len(world.asked) == 1
    world.hands.advance(0.5)
    world.publish()
    world.trouble = None
    assert world.word() == "valid"


def test_a_failure_of_tls_is_told_by_its_kind(world: World) -> None:
    """As for keys, and by the number of the refusal."""
    world.trouble = TransportError("tls", TlsFailure("certificate", "expired"))
    error = world.unavailable()
    assert world.events[0] == Event(
        "tls.failure",
        {
            "issuer": NAME,
            "host": "licenses.test",
            "kind": "certificate",
            "problem": "expired",
            "correlation_id": error.members["correlation_id"],
        },
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 404, 410, 429, 500, 503])
def test_only_a_200_is_a_list(world: World, status: int) -> None:
    """No redirect is followed, whatever it points to."""
    world.publish()
    assert world.answer is not None
    world.serve(world.answer.body.decode(), status, location=URI)
    assert world.unavailable().reason == f"status_unavailable:status_{status}"
    assert len(world.asked) == 1


@pytest.mark.parametrize(
    "content_type",
    ["application/jwt", "application/json", "text/plain", "application/statuslist+cwt", ""],
)
def test_only_its_own_media_type_is_a_list(world: World, content_type: str) -> None:
    """Section 8.2: `application/statuslist+jwt`."""
    world.publish(fields={"content_type": content_type})
    assert world.unavailable().reason == "status_unavailable:content_type"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"sub": URI + "2"}, "bad_claim:sub"),
        ({"iss": "https://evil.test"}, "bad_issuer"),
        ({"iat": Hands().wall + 31}, "from_the_future"),
        ({"exp": Hands().wall - 30}, "expired"),
        ({"status_list": {"bits": 3, "lst": "eNrbuRgAAhcBXQ"}}, "bad_claim:status_list"),
    ],
)
def test_what_is_no_list_of_this_issuer_for_now_is_not_believed(
    world: World, more: dict[str, Any], word: str
) -> None:
    """The refusal says why, and nothing has come into force."""
    world.publish(more=more)
    assert world.unavailable().reason == f"status_unavailable:{word}"
    assert world.document.snapshot is None
    assert world.changes == 0


# -- who has signed it -----------------------------------------------------------------------------


@pytest.mark.row("C13")
def test_c13_a_key_is_for_one_purpose_by_the_type_of_what_it_signed(world: World) -> None:
    """The issuer's key signs licenses, answers and lists: none of them passes for another."""
    world.publish()
    assert world.answer is not None
    body = world.answer.body
    for typ in ("license+jwt", "license-validation+jwt", "token-introspection+jwt", "JWT"):
        other = World()
        other.vendor, other.jwks = world.vendor, world.jwks
        claims = {**payload(body.decode()), "aud": AUDIENCE}
        other.serve(world.vendor.sign(claims, header={"typ": typ}))
        assert other.unavailable().reason == "status_unavailable:wrong_type"
    settings = Settings(issuer=NAME, audience=AUDIENCE, jwks=world.jwks, jwks_url=None)
    gate = Gate(settings, clock=world.hands.clock)
    whole = {**payload(body.decode()), "aud": AUDIENCE, "sub": "lic_1"}
    for token in (body, world.vendor.sign(whole, header={"typ": "statuslist+jwt"}).encode()):
        refusal = outcome(gate, token)
        assert isinstance(refusal, LicenseInvalid)
        assert refusal.reason == "wrong_type"


def test_a_license_is_no_list(world: World) -> None:
    """Also where it is served as one."""
    world.serve(license_token(world.vendor, iss=NAME))
    assert world.unavailable().reason == "status_unavailable:wrong_type"


def test_a_forged_list_is_not_believed(world: World) -> None:
    """Neither with a key that nobody published, nor in the name of one that was."""
    forger = Issuer.generate(NAME, clock=world.hands.clock)
    world.serve(forger.status_list(URI, {}))
    assert world.unavailable().reason == "status_unavailable:unknown_key"
    world.hands.advance(60)
    named = {"typ": "statuslist+jwt", "kid": world.vendor.kid}
    world.serve(forger.sign(payload(forger.status_list(URI, {})), header=named))
    assert world.unavailable().reason == "status_unavailable:bad_signature"


def test_a_list_of_a_new_key_brings_the_key(world: World) -> None:
    """A rotation is noticed by the list that it has signed, at the price of one more fetch."""
    world = World(remote_keys=True)
    world.publish()
    assert world.word() == "valid"
    world.vendor.rotate()
    world.jwks = world.vendor.jwks()
    world.hands.advance(300)
    world.publish({0: "revoked"})
    world.urls.clear()
    world.find()
    rest()
    assert world.word() == "revoked"
    assert world.urls == [URI, JWKS]


@pytest.mark.parametrize(("spent", "left"), [(0.0, 5.0), (2.0, 3.0), (7.0, 0.0)])
def test_a_key_is_waited_for_in_the_time_of_the_list(spent: float, left: float) -> None:
    """Whoever waits for both waits no longer than for one."""
    waited: list[float | None] = []

    class Patient(KeyStore):
        def find(self, kid: str, alg: str, patience: float | None = None) -> Any:
            waited.append(patience)
            return super().find(kid, alg, patience)

    world = World()
    world.keys.__class__ = Patient
    world.before = lambda: world.hands.advance(spent)
    world.publish()
    world.find()
    assert waited == [left]


def test_where_keys_cannot_be_had_the_list_cannot_either(world: World) -> None:
    """That is undecided, and the reason says what was missing."""
    world = World(remote_keys=True)
    world.keys_up = False
    world.vendor.rotate()
    world.publish()
    assert world.unavailable().reason == "status_unavailable:keys_unavailable"


# -- which list is in force ------------------------------------------------------------------------


def test_an_older_list_never_replaces_a_newer_one(world: World) -> None:
    """Whoever replays yesterday's list gives nobody a revoked license back."""
    world.publish({0: "revoked"})
    assert world.word() == "revoked"
    world.publish({0: "valid"}, issued_at=world.hands.wall - 1, expires_in=30 * DAY)
    world.hands.advance(300)
    assert world.word() == "revoked"
    assert world.document.health().error == "older"
    assert world.changes == 1


def test_a_list_of_the_same_second_replaces_the_one_at_hand(world: World) -> None:
    """Whole seconds do not tell them apart, and the later fetch counts."""
    world.publish(issued_at=world.hands.wall)
    assert world.word() == "valid"
    world.publish({0: "revoked"}, issued_at=world.hands.wall)
    world.document.hasten()
    rest()
    assert world.word() == "revoked"
    assert world.changes == 2


# -- for how long ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "said", "lifetime"),
    [
        (1, None, 1.0),
        (0.01, None, 1.0),
        (1, "max-age=3600", 1.0),
        (3600, "max-age=1, no-store", 3_600.0),
        (10**9, None, 30 * DAY),
        (None, None, 600.0),
        (None, "max-age=300", 300.0),
        (None, "max-age=5", 60.0),
        (None, "no-store", 60.0),
        (None, "max-age=86400", 600.0),
    ],
)
def test_a_list_says_itself_how_long_it_is_good(
    world: World, ttl: float | None, said: str | None, lifetime: float
) -> None:
    """Its `ttl`, a second at least and thirty days at most, before what the answer's fields say."""
    world.publish(
        fields={"cache_control": said} if said else {},
        more={} if ttl is None else {"ttl": ttl},
        without=("ttl", "exp") if ttl is None else ("exp",),
    )
    world.find()
    document, begun = world.document, world.hands.monotonic
    assert document.look_at == begun + 0.8 * lifetime
    world.hands.advance(lifetime - 0.001)
    assert document.health().state is State.DUE
    world.hands.advance(0.001)
    assert document.health().state is State.STALE


def test_a_second_is_honoured(world: World) -> None:
    """With a `ttl` of one second a revocation is known within two."""
    world.publish(ttl=1)
    assert world.word() == "valid"
    world.publish({0: "revoked"}, ttl=1)
    world.hands.advance(0.79)
    assert world.word() == "valid"
    assert len(world.asked) == 1, "it is good until then"
    released = threading.Event()
    world.before = lambda: released.wait(20)
    world.hands.advance(0.01)
    assert world.find().word(0) == "valid", "what is at hand is used, and a newer one fetched"
    released.set()
    rest()
    assert world.word() == "revoked"
    assert len(world.asked) == 2


def test_a_confirmed_list_is_good_for_as_long_again(world: World) -> None:
    """A 304 counts its `ttl` anew, and nobody has to look at anything."""
    world.publish(ttl=100, fields={"etag": '"1"'})
    world.find()
    world.serve("", 304)
    world.hands.advance(80)
    assert world.word() == "valid"
    assert world.asked[1]["if-none-match"] == '"1"'
    assert world.document.look_at == world.hands.monotonic + 80
    assert world.changes == 1


def test_a_list_serves_an_outage_until_it_is_too_old(world: World) -> None:
    """Past its `ttl` it is used, and said to be stale; past `status_max_stale` it is refused."""
    world.publish({1: "revoked"}, ttl=300, expires_in=30 * DAY)
    world.find()
    world.trouble = TransportError("connect")
    for seconds in (299.0, 1.0, 3 * DAY - 0.1):
        world.hands.advance(seconds)
        assert world.word() == "valid"
        assert world.word(1) == "revoked"
    assert world.document.health().state is State.STALE
    world.hands.advance(60)
    assert world.document.current() is None
    assert world.unavailable().reason == "status_unavailable:connect"
    assert world.told() == [
        ("online.unavailable", f"status_{trouble}:connect")
        for trouble in ("failing", "stale", "dead")
    ]
    world.trouble = None
    world.hands.advance(60)
    world.publish()
    assert world.word() == "valid"


def test_a_list_that_nobody_asked_for_is_no_trouble(world: World) -> None:
    """Past its `ttl`, and even too old, nothing is told as long as the next fetch succeeds."""
    world.publish(expires_in=30 * DAY)
    for seconds in (0.0, 300.0, 4 * DAY):
        world.hands.advance(seconds)
        assert world.word() == "valid"
    assert world.told() == []
    assert len(world.asked) == 3


def test_without_patience_a_list_ends_with_its_lifetime() -> None:
    """`status_max_stale` of 0 is fail closed."""
    world = World(max_stale=0.0)
    world.publish(ttl=300)
    world.find()
    world.trouble = TransportError("connect")
    world.hands.advance(299)
    assert world.word() == "valid"
    world.hands.advance(1)
    assert world.word() == "503"


def test_a_list_that_has_expired_serves_nobody(world: World) -> None:
    """Its issuer does not stand by it: half a minute for the clocks, and no outage any more."""
    world.publish(ttl=300, expires_in=200)
    world.find()
    document = world.document
    assert document.look_at == world.hands.monotonic + 160
    world.trouble = TransportError("connect")
    world.hands.advance(229.9)
    assert world.word() == "valid"
    assert document.health().state is State.STALE
    world.hands.suspend(0.2)
    assert document.current() is None
    assert document.health().state is State.DEAD
    assert world.word() == "503"


def test_what_has_expired_is_not_confirmed(world: World) -> None:
    """A cache that still has it answers 304 to whoever asks by its tag: nobody does."""
    world.publish(ttl=300, expires_in=200, fields={"etag": '"1"'})
    world.find()
    world.serve("", 304)
    world.hands.advance(231)
    assert world.unavailable().reason == "status_unavailable:status_304"
    assert "if-none-match" not in world.asked[-1]
    world.hands.advance(1)
    world.publish({0: "revoked"})
    assert world.word() == "revoked"


def test_a_list_about_to_expire_does_not_cost_a_fetch_each_time(world: World) -> None:
    """Between its end and the end of the leeway it is asked for once a second at most."""
    world.publish(ttl=300, expires_in=10)
    world.hands.advance(25)
    for _ in range(5):
        assert world.word() == "valid"
    assert len(world.asked) == 1
    world.hands.advance(1)
    assert world.word() == "valid"
    assert len(world.asked) == 2


# -- many at once ----------------------------------------------------------------------------------


@dataclass
class Served:
    """A vendor whose lists a real server hands out, as slowly as is wanted."""

    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.server = Loopback(self._answer)
        self.origin = f"http://127.0.0.1:{self.server.port}"
        self.vendor = Issuer.generate(self.origin)
        keys = KeyStore(
            self.origin,
            jwks_url=None,
            jwks=self.vendor.jwks(),
            algorithms=("EdDSA",),
            max_age=600.0,
            max_stale=DAY,
            cooldown=30.0,
            transport=Transport(),
            clock=SYSTEM_CLOCK,
            bus=EventBus(),
        )
        self.lists = StatusLists(
            self.origin,
            origins=(),
            document=partial(
                StatusDocument,
                issuer=self.origin,
                keys=keys,
                transport=Transport(),
                clock=SYSTEM_CLOCK,
                bus=EventBus(),
                max_stale=DAY,
                changed=lambda: None,
            ),
        )

    def _answer(self, request: Request) -> bytes:
        self.released.wait(20)
        if request.target == "/huge":
            return reply(200, b"x" * (MAX_TOKEN + 1), TYPE)
        listed = self.vendor.status_list(self.origin + request.target, {1: "revoked"})
        return reply(200, listed.encode(), TYPE)

    def document(self, path: str) -> StatusDocument:
        """Return the list at a path."""
        return self.lists.of(StatusReference(self.origin + path, 1))

    def asked(self, path: str) -> int:
        """Return how often it was asked for."""
        return sum(request.target == path for request in self.server.log)


@pytest.fixture(name="served", scope="module")
def _served() -> Iterator[Served]:
    served = Served()
    with served.server:
        yield served


def release_later(served: Served, waiting: Callable[[], bool]) -> threading.Thread:
    """Let the server answer once `waiting` holds."""
    served.released.clear()

    def release() -> None:
        try:
            until(waiting)
        finally:
            served.released.set()

    thread = threading.Thread(target=release)
    thread.start()
    return thread


def test_fifty_threads_wait_for_one_fetch(served: Served) -> None:
    """Cold, and at the same time: one of them fetches, and all have the same list."""
    document, begun = served.document("/threads"), threading.Barrier(50)

    def one() -> StatusList:
        begun.wait(20)
        return flow.run(document.find())

    released = release_later(served, lambda: served.asked("/threads") > 0)
    with ThreadPoolExecutor(50) as pool:
        found = [future.result(30) for future in [pool.submit(one) for _ in range(50)]]
    released.join(20)
    assert {id(each) for each in found} == {id(document.snapshot)}
    assert found[0].word(1) == "revoked"
    assert served.asked("/threads") == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_hundred_tasks_wait_for_one_fetch(served: Served, backend: str) -> None:
    """Cold, and at the same time; none of them blocks its event loop."""
    path = f"/{backend}"
    document, found = served.document(path), []
    begun = 0

    async def one() -> None:
        nonlocal begun
        begun += 1
        found.append(await flow.arun(document.find()))

    async def every() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(one)

    released = release_later(served, lambda: begun == 200 and served.asked(path) > 0)
    anyio.run(every, backend=backend)
    released.join(20)
    assert {id(each) for each in found} == {id(document.snapshot)}
    assert len(found) == 200
    assert served.asked(path) == 1


def test_a_list_that_is_too_long_is_not_read(served: Served) -> None:
    """Not one byte beyond the cap."""
    served.released.set()
    with pytest.raises(LicenseUnavailable) as caught:
        flow.run(served.document("/huge").find())
    assert caught.value.reason == "status_unavailable:too_large"


# -- where they may come from ----------------------------------------------------------------------


def of(lists: StatusLists, uri: str) -> StatusDocument:
    return lists.of(StatusReference(uri, 0))


@pytest.mark.parametrize(
    ("issuer", "origins", "uri"),
    [
        (NAME, (), URI),
        (NAME, (), "https://licenses.test:443/other"),
        (NAME, (), "https://LICENSES.test/other"),
        (NAME + "/tenants/7", (), URI),
        ("https://licenses.test:8443", (), "https://licenses.test:8443/status"),
        ("http://127.0.0.1:5000", (), "http://127.0.0.1:5000/status"),
        ("http://localhost", (), "http://localhost/status"),
        (NAME, ("https://cdn.test",), "https://cdn.test/status"),
        ("Acme", ("https://cdn.test",), "https://cdn.test/status"),
        ("Acme", ("http://intranet:8080",), "http://intranet:8080/status"),
    ],
)
def test_a_list_comes_from_the_issuer_or_from_where_the_settings_say(
    issuer: str, origins: tuple[str, ...], uri: str
) -> None:
    """Scheme, host and port are those of `iss`, or stand in `status_origins`."""
    document = of(World(issuer=issuer, origins=origins).lists, uri)
    assert document.uri == uri


@pytest.mark.parametrize(
    ("issuer", "uri"),
    [
        (NAME, "http://licenses.test/status"),
        (NAME, "https://licenses.test:8443/status"),
        (NAME, "https://evil.test/status"),
        (NAME, "https://licenses.test.evil.test/status"),
        (NAME, "https://sub.licenses.test/status"),
        (NAME, "https://169.254.169.254/latest/meta-data"),
        (NAME, "http://127.0.0.1:6379/"),
        ("Acme", URI),
        ("Acme", "http://acme/status"),
        ("http://licenses.test", "http://licenses.test/status"),
        ("https://user@licenses.test", URI),
        ("https://licenses.test:99999", "https://licenses.test:99/status"),
    ],
)
def test_no_other_place_is_ever_asked(issuer: str, uri: str) -> None:
    """A license names no other host to this server, and nobody is asked to find that out."""
    world = World(issuer=issuer)
    with pytest.raises(LicenseInvalid) as caught:
        of(world.lists, uri)
    assert caught.value.reason == "status_origin"
    assert world.urls == []
    assert world.lists.health() == {}


def test_one_address_is_one_list(world: World) -> None:
    """Whoever names it has the same object, as long as anybody has it."""
    held = of(world.lists, URI)
    for number in range(KEPT + 10):
        of(world.lists, f"{NAME}/{number}")
    gc.collect()
    assert of(world.lists, URI) is held
    assert len(world.lists.health()) == KEPT


def test_the_least_recently_named_list_is_forgotten(world: World) -> None:
    """Sixty-four are kept although nobody has a license that names them."""
    for number in range(KEPT):
        of(world.lists, f"{NAME}/{number}")
    of(world.lists, f"{NAME}/0")
    of(world.lists, f"{NAME}/new")
    gc.collect()
    assert f"{NAME}/0" in world.lists.health()
    assert f"{NAME}/1" not in world.lists.health()


# -- when somebody says that there is a newer one --------------------------------------------------


def test_a_hint_fetches_every_list_behind_the_back(world: World) -> None:
    """Whatever their `ttl`: a pushed event is heard at once."""
    world.publish(ttl=DAY)
    assert world.word() == "valid"
    world.publish({0: "revoked"}, ttl=DAY)
    world.lists.hasten()
    rest()
    current = world.document.current()
    assert current is not None
    assert current.word(0) == "revoked"
    assert world.changes == 2
    assert world.lists.health()[URI].state is State.FRESH


def test_a_list_knows_its_end_by_both_clocks(world: World) -> None:
    """A machine that slept for a week serves no list of before."""
    world.publish(ttl=DAY, expires_in=30 * DAY)
    world.find()
    world.trouble = TransportError("connect")
    world.hands.suspend(4 * DAY - 1)
    assert world.document.current() is not None
    world.hands.suspend(1)
    assert world.document.current() is None
