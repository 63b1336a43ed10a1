"""What withdraws, refreshes and lists licenses shows no secret of theirs, and no license.

Held against what a process may leave behind are the secret of pushed events and the signatures
made with it, licenses that are sent to be refreshed and those that come in return, and licenses
that name a status list. Refreshed tokens stand in the state of an installation and nowhere else.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import licet.asgi
import licet.wsgi
from licet import ConfigError, Settings
from licet.core import gates
from licet.core.errors import LicenseError
from licet.core.installation.renewals import Token
from licet.core.revocation.pushed import Notice
from licet.core.revocation.receiver import Delivery, DeliveryInvalid, Receiver
from licet.core.revocation.statements import Subject, Withdrawal
from tests.adapters.posting import AsgiPost, WsgiPost
from tests.cage import CANARY, Cage, Serve, caged, parts, serve_asgi, serve_wsgi
from tests.core.hands import Hands
from tests.core.installed import DAY, LATEST, Renewer, Worker, given, token
from tests.core.license_server import LicenseServer
from tests.core.loopback import Answer, Request, reply, until
from tests.core.withdrawing import Withdrawing
from tests.core.wrong_answers import reset
from tests.licenses import FORGER, ISSUER_NAME, OPTIONS, license_token
from tests.pushed import PATH, event, lines, signature

pytestmark = pytest.mark.row("R01")

#: Each of its bytes can be told from chance, and so can its spelling.
KEY = f"{CANARY}-key-of-pushed-events-".encode()


def secret_of(number: int) -> str:
    """Return a secret that shares a gate with no other test."""
    return "whsec_" + base64.b64encode(KEY + b"%04d" % number).decode()


@pytest.fixture(name="cage")
def _cage() -> Iterator[Cage]:
    with caged() as cage:
        yield cage


def silent(cage: Cage, *secrets: str) -> None:
    """Hold everything heard against the secrets, but for what a server's own fields say.

    Those httpcore writes down, header by header, for whoever sets its logger to DEBUG.
    """
    cage.heard = [text for text in cage.heard if "receive_response_headers" not in text]
    cage.silent_about(*secrets)


# -- pushed events -------------------------------------------------------------------------------


@pytest.mark.parametrize("wsgi", [False, True], ids=["asgi", "wsgi"])
@pytest.mark.parametrize("broken", [False, True], ids=["sound", "broken"])
def test_the_secret_of_pushed_events_stays_with_who_checks_them(
    wsgi: bool, broken: bool, cage: Cage
) -> None:
    """Good, forged, late, repeated and unreadable deliveries, and where the core itself fails."""
    secret = secret_of(2 * wsgi + broken)
    options = {**OPTIONS, "webhook_receive_secret": secret}
    module: Any = licet.wsgi if wsgi else licet.asgi
    receiver = module.WebhookReceiver(**options)
    post: Any = (WsgiPost if wsgi else AsgiPost)(receiver)
    settings = Settings(**options)
    gate = gates.gate_for(settings)
    gate.events.subscribe(cage.hear)
    assert gate.pushed is not None
    if broken:

        def fail(delivery: Delivery) -> Any:
            raise RuntimeError("broken")

        gate.pushed.take = fail  # type: ignore[method-assign]
    spy = f"{CANARY}-of-a-stranger"
    body = event(license_id="lic_1", note=spy)
    now = int(time.time())
    secrets, statuses = [spy, secret, secret.removeprefix("whsec_"), KEY.decode()], set()
    for sent, changes in (
        (body, {}),
        (body, {"event_id": "evt_again"}),
        (body, {"event_id": "evt_again"}),
        (body, {"at": now - 1000}),
        (body, {"at": spy}),
        (body, {"event_id": f"{spy}\n"}),
        (body, {"event_id": f"{spy}.{spy}"}),
        (body, {"webhook_signature": f"v1,{spy}"}),
        (body, {"webhook_signature": secret}),
        (body, {"content_type": f"text/{spy}"}),
        (body, {"content_encoding": spy}),
        (event(kind=spy, license_id="lic_1"), {}),
        (event(license_id={"a": spy}), {}),
        (event(timestamp=spy, license_id="lic_1"), {}),
        (b"[" + json.dumps(spy).encode() + b"]", {}),
        (json.dumps(spy).encode() + body, {}),
    ):
        fields = lines(secret, sent, **changes)
        said = dict(fields)
        secrets.append(signature(secret, said["webhook-id"], said["webhook-timestamp"], sent))
        answer = post("POST", PATH, fields, sent)
        statuses.add(answer.status)
        cage.answered(answer)
    assert statuses == ({400, 401, 415, 503} if broken else {204, 400, 401, 415})
    cage.hear(settings, settings.fingerprint, receiver, gate, gate.pushed, gate.health())
    cage.hear(*vars(receiver).values())
    for thing in (settings, gate, receiver, gate.pushed):
        cage.pickled(thing)
    cage.silent_about(*secrets, *(one.removeprefix("v1,") for one in secrets[4:]))


def test_objects_about_a_delivery_do_not_show_the_secret(cage: Cage) -> None:
    """Who checks, what is checked, and every way to be refused."""
    secret = secret_of(9)
    receiver, body, now = Receiver(secret), event(license_id="lic_1"), time.time()
    said: list[str] = []
    for changes in (
        {},
        {"at": int(now) - 1000},
        {"webhook_signature": f"v1,{CANARY}"},
        {"webhook_signature": " ".join([f"v1,{CANARY}"] * 20)},
        {"webhook_id": None},
        {"webhook_timestamp": CANARY},
    ):
        fields = dict(lines(secret, body, event_id="evt_1", **changes))
        said.append(signature(secret, "evt_1", fields.get("webhook-timestamp"), body))

        def lookup(name: str, fields: dict[str, str] = fields) -> list[str]:
            return [fields[name]] if name in fields else []

        try:
            cage.hear(receiver.authentic(lookup, body, now))
        except DeliveryInvalid as error:
            cage.raised(error)
    cage.hear(receiver, Notice("license.revoked", [ISSUER_NAME], "lic_1", 1, now))
    cage.pickled(receiver)
    cage.silent_about(CANARY, secret.removeprefix("whsec_"), *said)


def test_a_secret_that_is_none_is_not_shown(cage: Cage) -> None:
    """Too short, in another alphabet, or where settings are wrong for another reason."""
    secret = secret_of(10)
    bad: list[dict[str, Any]] = [
        {"webhook_receive_secret": secret + "!"},
        {"webhook_receive_secret": secret + "\n"},
        {"webhook_receive_secret": [secret]},
        {"webhook_receive_secret": CANARY},
        {"webhook_receive_secret": secret, "leeway": -1},
        {"webhook_receive_secret": secret, "refresh_url": "https://a.example/"},
        {"webhook_receive_secret": secret, "leewey": 1},
        {"refresh_url": f"https://user:{CANARY}@a.example/", "license": "file:x"},
        {"refresh_url": f"http://a.example/?key={CANARY}", "license": "file:x"},
        {"status_origins": [f"https://user:{CANARY}@a.example"]},
        {"license": CANARY * 2, "license_state": "a\0b"},
    ]
    for changes in bad:
        with pytest.raises(ConfigError) as caught:
            Settings(**{**OPTIONS, **changes})
        cage.raised(caught.value)
    cage.silent_about(CANARY, secret.removeprefix("whsec_"))


# -- refresh -------------------------------------------------------------------------------------


def echoed(status: int) -> Callable[[Request], Answer]:
    """Return an answer that says again all that was sent."""

    def answer(request: Request) -> Answer:
        shown = json.loads(request.body)["token"]
        return reply(status, request.body, "application/json", X_Sent=shown)

    return answer


def away(request: Request) -> Answer:
    """Send the question elsewhere, the license in the address."""
    shown = json.loads(request.body)["token"]
    return reply(307, request.body, Location=f"http://127.0.0.1:9/{shown}?{shown}")


#: What comes in place of a later token.
TROUBLE: dict[str, Callable[[Hands], Callable[[Request], Answer]]] = {
    "echo 200": lambda hands: echoed(200),
    "echo 400": lambda hands: echoed(400),
    "echo 403": lambda hands: echoed(403),
    "echo 500": lambda hands: echoed(500),
    "redirect": lambda hands: away,
    "reset": lambda hands: lambda request: reset(None, request),  # type: ignore[arg-type]
    "garbage": lambda hands: lambda request: b"HTTP/1.1 2" + request.body,
    "the same": lambda hands: lambda request: given(json.loads(request.body)["token"]),
    "half of it": lambda hands: lambda request: given(json.loads(request.body)["token"][:-9]),
    "of another": lambda hands: (
        lambda request: given(token(hands.wall, sub=f"{CANARY}-other", tenant=CANARY))
    ),
    "forged": lambda hands: (
        lambda request: given(license_token(FORGER, iat=int(hands.wall), tenant=CANARY))
    ),
    "with odd claims": lambda hands: (
        lambda request: given(token(hands.wall, features=[f"{CANARY} "], must_understand=[CANARY]))
    ),
    "named oddly": lambda hands: (
        lambda request: reply(200, json.dumps({CANARY: json.loads(request.body)["token"]}).encode())
    ),
}


@pytest.mark.parametrize("trouble", [None, *TROUBLE])
def test_a_license_that_is_refreshed_shows_in_its_state_alone(
    trouble: str | None, cage: Cage, tmp_path: Path
) -> None:
    """Whatever comes in return; by who was sent it, who keeps it, and who hears of it."""
    hands = Hands()
    renewer = Renewer(hands)
    later: list[str] = []

    def renewed(request: Request) -> Answer:
        later.append(token(hands.wall, tenant=CANARY))
        return given(later[-1])

    renewer.trouble = renewed if trouble is None else TROUBLE[trouble](hands)
    with renewer.server:
        first = token(hands.wall, tenant=CANARY)
        path = tmp_path / "license.jwt"
        path.write_text(first)
        made = [
            Worker(tmp_path / "state", renewer.url, f"file:{path}", hands.clock) for _ in range(2)
        ]
        for worker in made:
            worker.gate.events.subscribe(cage.hear)
            assert worker.issued() == hands.wall
        hands.advance(LATEST)
        asking, hearing = made
        asking.ask()
        asking.at_rest()
        hearing.listen()
        for worker in made:
            worker.ask()
            worker.at_rest()
        assert renewer.shown
        assert (asking.issued() == hearing.issued() == hands.wall) is (trouble is None)
    hands.advance(30 * DAY)
    for worker in made:
        with pytest.raises(LicenseError) as caught:
            worker.ask()
        cage.raised(caught.value)
        worker.at_rest()
        refresher = worker.refresher
        cage.hear(worker.gate, worker.installation, worker.state, refresher, worker.gate.settings)
        cage.hear(refresher._held, refresher.renewals, refresher._turns, refresher._pace)
        cage.hear(refresher.renewals._known, worker.gate.withdrawals)
        for thing in (worker.gate, worker.installation, worker.state, refresher, refresher._held):
            if not isinstance(thing, Token):  # a plain value, which nobody hands out
                cage.pickled(thing)
    silent(cage, CANARY, *(part for one in (first, *later) for part in parts(one)))


def test_a_state_that_fails_shows_nothing_of_what_it_keeps(cage: Cage, tmp_path: Path) -> None:
    """Damaged, or not to be read: the license is refused or served, and its text is not told."""
    hands = Hands()
    renewer = Renewer(hands)
    renewer.trouble = lambda request: given(token(hands.wall, tenant=CANARY))
    with renewer.server:
        first = token(hands.wall, tenant=CANARY)
        worker = Worker(tmp_path / "state", renewer.url, first, hands.clock)
        assert worker.issued() == hands.wall
        hands.advance(LATEST)
        worker.ask()
        worker.at_rest()
        assert worker.issued() == hands.wall
    # A copy: a file that is mapped into memory is not to be cut short.
    copied = shutil.copytree(tmp_path / "state", tmp_path / "copy")
    files = [one for one in copied.iterdir() if one.is_file()]
    assert any(parts(first)[0].encode()[:8] in one.read_bytes() for one in files)
    for one in files:
        content = one.read_bytes()
        one.write_bytes(content.replace(b"SQLite", b"SQLate")[: len(content) // 2])
    try:
        again = Worker(copied, None, first, hands.clock)
        again.gate.events.subscribe(cage.hear)
        cage.hear(again.error(), again.gate, again.state, again.installation)
    except ConfigError as error:
        cage.raised(error)
    cage.hear(worker.gate, worker.state)
    silent(cage, CANARY, *parts(first))


# -- what is said of licenses --------------------------------------------------------------------


@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi])
def test_a_license_on_a_status_list_shows_no_more_than_any_other(serve: Serve, cage: Cage) -> None:
    """Valid, withdrawn, and where its list cannot be had or believed; nor the list's address."""
    hands = Hands(wall=time.time())
    with Withdrawing(hands) as vendor:
        settings = Settings(**vendor.options(leeway=11 + (serve is serve_asgi)))
        client, gate = serve(settings)
        gate.events.subscribe(cage.hear)
        vendor.statuses = {1: "revoked", 2: "suspended", 3: 3}
        elsewhere = f"{vendor.name}/{CANARY}/list?{CANARY}"
        shown: list[str] = []
        for idx, uri, status in (
            (0, vendor.uri, 200),
            (1, vendor.uri, 403),
            (2, vendor.uri, 403),
            (3, vendor.uri, 401),
            (64, vendor.uri, 401),
            (0, elsewhere, 503),
            (0, f"https://{CANARY}.example/list", 401),
        ):
            named = {"status_list": {"idx": idx, "uri": uri}}
            subject = f"lic_{len(shown)}"
            shown.append(vendor.license(None, status=named, tenant=CANARY, subject=subject))
            headers = [("Authorization", f"Bearer {shown[-1]}")]
            for _ in range(2):
                answer = client.request("GET", "/me", headers)
                assert answer.status == status, (idx, uri, answer)
                cage.answered(answer)
    standing = gate._standing
    cage.hear(gate, standing, standing.lists, *standing.lists.values(), gate.withdrawals)
    for thing in (gate, standing, gate.withdrawals, settings):
        cage.pickled(thing)
    silent(cage, CANARY, *(part for one in shown for part in parts(one)))


def test_a_store_is_not_told_what_was_presented(cage: Cage, tmp_path: Path) -> None:
    """A withdrawal names a license by its id, and an opaque key by its digest."""
    opaque, shown = f"lic_{CANARY.replace('-', '0')}opaque", license_token(tenant=CANARY)
    with LicenseServer() as server:
        server.error(server.add(opaque), "revoked")
        settings = Settings(**server.options(store=f"sqlite:///{tmp_path}/licet.db"))
        client, gate = serve_asgi(settings)
        gate.events.subscribe(cage.hear)
        for credential, status in ((opaque, 403), (shown, 200)):
            headers = [("Authorization", f"Bearer {credential}")]
            answer = client.request("GET", "/me", headers)
            assert answer.status == status
            cage.answered(answer)
    told = Subject("license", ISSUER_NAME, "lic_1"), Withdrawal("revoked", 1.0)
    cage.hear(*told, gate, gate.withdrawals)
    until(lambda: any(b"revoked" in one.read_bytes() for one in tmp_path.iterdir()))
    for one in tmp_path.iterdir():
        cage.heard.append(one.read_bytes().decode("latin-1"))
    silent(cage, CANARY, opaque, *parts(shown))
