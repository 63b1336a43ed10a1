"""Every event of the closed list, brought about as it happens, and heard by public means."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from licet import LicenseError, Settings, events
from licet.core import flow
from licet.core.events.event import EventName
from licet.core.gate import Gate
from licet.issuer import Issuer
from tests.cage import serve_asgi
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer
from tests.core.loopback import Answer, Loopback, Request, reply, until
from tests.core.secure import server_context
from tests.core.test_relay import documented
from tests.core.withdrawing import Withdrawing
from tests.core.worlds import ask, gate_of, token_of, verdict
from tests.licenses import ISSUER, ISSUER_NAME, OPTIONS, license_token

AUTHORITY = str(Path(__file__).with_name("core") / "authority.pem")
DAY = 86_400
#: Seconds that a request waits for a server, so that a busy machine is no outage.
PATIENT = 10


class World:
    """A clock, a directory, and what is ended with the test."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.hands, self.path, self.stack = Hands(), path, stack

    def gate(self, **options: Any) -> Gate:
        """Return a gate by this clock."""
        return Gate(Settings(**{**OPTIONS, **options}), clock=self.hands.clock)

    def judge(self, gate: Gate, **claims: Any) -> None:
        """Have a request judged, whatever comes of it."""
        ask(gate, token_of(self.hands, **claims))

    def publishing(self, *issuers: Issuer, trouble: Answer | None = None) -> Gate:
        """Return a gate that fetches the keys of issuers, one after the other."""
        sets = list(issuers)

        def answer(request: Request) -> Answer:
            one = sets.pop(0) if len(sets) > 1 else sets[0] if sets else None
            if one is None:
                return reply(500) if trouble is None else trouble
            return reply(200, json.dumps(one.jwks()).encode(), "application/jwk-set+json")

        server = self.stack.enter_context(Loopback(answer))
        return self.gate(jwks=None, jwks_url=server.url, tls_ca_file=AUTHORITY)


def verified(world: World) -> None:
    world.judge(world.gate())


def denied(world: World) -> None:
    client, _ = serve_asgi(Settings(**OPTIONS))
    assert client.request("GET", "/me", []).status == 401


def expiring(world: World) -> None:
    now = int(world.hands.wall)
    world.judge(world.gate(), iat=now - 90 * DAY, exp=now + 5 * DAY)


def grace_entered(world: World) -> None:
    now = int(world.hands.wall)
    world.judge(world.gate(), iat=now - 90 * DAY, exp=now - DAY, grace=5 * DAY)


def revoked(world: World) -> None:
    with Withdrawing() as vendor:
        vendor.statuses[7] = "revoked"
        gate, token = vendor.gate(), vendor.license()
        ask(gate, token)
        until(lambda: verdict(gate, token) != "yes")


def suspicious(world: World) -> None:
    world.judge(world.gate(), domains=["elsewhere.example"])


def rotated(world: World) -> None:
    other = Issuer.generate(ISSUER_NAME)
    gate = world.publishing(other, ISSUER)
    ask(gate, token_of(world.hands))
    world.hands.advance(700)
    until(lambda: bool(ask(gate, token_of(world.hands))))


def stale(world: World) -> None:
    gate = world.publishing(ISSUER)
    ask(gate, token_of(world.hands))
    world.stack.close()
    world.hands.advance(3600)
    ask(gate, token_of(world.hands))


def unavailable(world: World) -> None:
    ask(world.publishing(), token_of(world.hands))


def keys_refused(world: World) -> None:
    weak = {"keys": [{"kty": "oct", "k": "AAAA", "kid": "weak"}, *ISSUER.jwks()["keys"]]}
    body = json.dumps(weak).encode()
    gate = world.publishing(trouble=reply(200, body, "application/jwk-set+json"))
    ask(gate, token_of(world.hands))


def snapshot(world: World) -> None:
    gate = world.publishing(ISSUER)
    [one] = gate.settings.by_issuer.values()
    options = {"jwks": None, "jwks_url": one.jwks_url, "tls_ca_file": AUTHORITY}
    kept = world.gate(**options, jwks_snapshot=world.path / "nowhere" / "keys.json")
    ask(kept, token_of(world.hands))


def tls_failure(world: World) -> None:
    context = server_context(trustme.CA().issue_cert("127.0.0.1"))
    server = world.stack.enter_context(Loopback(lambda request: reply(500), context))
    gate = world.gate(jwks=None, jwks_url=server.url, tls_ca_file=AUTHORITY)
    ask(gate, token_of(world.hands))


def online_unavailable(world: World) -> None:
    with LicenseServer(hands=world.hands) as server:
        gate, key = gate_of(server, world.hands, online_timeout=PATIENT), server.add()
    ask(gate, key)


def exceeded(world: World) -> None:
    gate = world.gate()
    found = ask(gate, token_of(world.hands, limits={"calls": 1}))
    for _ in range(2):
        with pytest.raises(LicenseError) if _ else ExitStack():
            flow.run(found.charged(lambda ledger, account: ledger.charge(account, "calls", 1)))  # type: ignore[union-attr]


def clock(world: World) -> None:
    ahead = Hands(wall=world.hands.wall + 3600)
    with LicenseServer(hands=ahead) as server:
        ask(gate_of(server, world.hands, online_timeout=PATIENT), server.add())


#: What brings each about, and what it tells at least.
TABLE: dict[EventName, tuple[Callable[[World], None], dict[str, object]]] = {
    "license.verified": (verified, {"license_id": "lic_1", "verified_by": "local"}),
    "license.denied": (denied, {"code": "license_required"}),
    "license.expiring": (expiring, {"license_id": "lic_1", "days": 7}),
    "license.grace_entered": (grace_entered, {"license_id": "lic_1"}),
    "license.revoked": (revoked, {"license_id": "lic_1", "word": "revoked"}),
    "license.suspicious_activity": (suspicious, {"kind": "domain_mismatch"}),
    "keys.rotated": (rotated, {"issuer": ISSUER_NAME}),
    "keys.stale": (stale, {"state": "stale"}),
    "keys.unavailable": (unavailable, {"state": "empty"}),
    "keys.refused": (keys_refused, {"issuer": ISSUER_NAME}),
    "keys.snapshot": (snapshot, {"reason": "unwritable:FileNotFoundError"}),
    "tls.failure": (tls_failure, {"kind": "certificate", "host": "127.0.0.1"}),
    "online.unavailable": (online_unavailable, {"host": "127.0.0.1", "reason": "connect"}),
    "usage.exceeded": (exceeded, {"limit": "calls", "code": "limit_exceeded"}),
    "clock.suspicious": (clock, {"difference": 3600}),
}


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


@pytest.mark.parametrize("name", events.NAMES)
def test_every_event_is_heard_when_it_happens(
    name: EventName, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """By who subscribed to it, with what it is about; and the log has its line."""
    caplog.set_level(logging.DEBUG, "licet")
    bring_about, told = TABLE[name]
    heard: list[events.Event] = []
    subscription = events.subscribe(name)(heard.append)
    bring_about(world)
    until(lambda: heard)
    subscription.cancel()
    assert {event.name for event in heard} == {name}
    assert told.items() <= dict(heard[0].data).items()
    assert any(line.startswith(f"{name} ") for line in caplog.messages)


@pytest.mark.parametrize("trouble", ["tls.failure", "online.unavailable"])
def test_one_id_leads_from_the_refusal_to_the_failure(
    trouble: EventName, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The same in the body of the 503, in both events, and in both lines of the log."""
    caplog.set_level(logging.INFO, "licet")
    heard: list[events.Event] = []
    subscription = events.subscribe(trouble, "license.denied")(heard.append)
    with LicenseServer() as server:
        presented = server.add()
        options = server.options(jwks=ISSUER.jwks(), jwks_url=None, online_timeout=PATIENT)
    if trouble == "tls.failure":
        context = server_context(trustme.CA().issue_cert("127.0.0.1"))
        keys = world.stack.enter_context(Loopback(lambda request: reply(500), context))
        options = {**OPTIONS, "tls_ca_file": AUTHORITY, "jwks": None, "jwks_url": keys.url}
        presented = license_token()
    client, _ = serve_asgi(Settings(**options))
    answer = client.request("GET", "/me", [("Authorization", f"Bearer {presented}")])
    until(lambda: {event.name for event in heard} == {trouble, "license.denied"})
    subscription.cancel()
    assert answer.status == 503
    said = json.loads(answer.body)["correlation_id"]
    assert {str(event.data["correlation_id"]) for event in heard} == {said}
    for name in (trouble, "license.denied"):
        assert any(
            line.startswith(f"{name} ") and f"correlation_id={said}" in line
            for line in caplog.messages
        )


HOSTILE = "x\r\nlicense.verified forged=1\x1b[2J\u2028%s %(name)s {0.__class__} ${jndi:ldap://a}"


@pytest.mark.row("R02", "R03")
@pytest.mark.parametrize("name", events.NAMES)
def test_no_member_of_any_event_leaves_its_line(
    name: EventName, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a stranger puts into each; nothing of it is used as a format."""
    caplog.set_level(logging.DEBUG, "licet")
    data: dict[str, object] = dict.fromkeys(sorted(documented()[name]), HOSTILE)
    data |= {"sequence": (HOSTILE, HOSTILE)}
    Gate(Settings(**OPTIONS)).events.emit(events.Event(name, data))
    [line] = [line for line in caplog.messages if line.startswith(name)]
    assert line.isascii()
    assert line.isprintable()
    assert line.count("%s %(name)s") == len(data)
    outside = re.sub(r'"(?:\\.|[^"\\])*"', "", line)
    assert re.fullmatch(rf"{name}( [a-z_]+=)+", outside)
    assert len(line) < 250 * len(data)
