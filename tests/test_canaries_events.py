"""What tells of licenses shows no secret, and no license.

Held against what a process may leave behind are the secret that webhooks are signed with, the
address that they go to, which may hold another, and the licenses that events are about.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from licet import ConfigError, Settings, events
from licet.core.events.event import Event
from licet.core.events.figures import Figures
from licet.core.events.webhook import Webhook
from licet.possession import ProofKey
from tests.cage import CANARY, Cage, Serve, caged, parts, serve_asgi, serve_wsgi
from tests.core.loopback import Answer, Loopback, Request, Reset, reply, until
from tests.licenses import FORGER, OPTIONS, license_token

pytestmark = pytest.mark.row("R01")

SECRET = "whsec_" + base64.b64encode(f"{CANARY}-key-of-webhooks".encode()).decode()
AUTHORITY = str(Path(__file__).with_name("core") / "authority.pem")


@pytest.fixture(name="cage")
def _cage() -> Iterator[Cage]:
    with caged() as cage:
        yield cage


def silent(cage: Cage, *secrets: str) -> None:
    """Hold everything heard against the secrets, but for what a receiver's own fields say."""
    cage.heard = [text for text in cage.heard if "receive_response_headers" not in text]
    cage.silent_about(*secrets)


def webhook_of(gate: Any) -> Webhook:
    """Return what tells the receiver of a gate."""
    [found] = [one for one in gate.events._subscribers if isinstance(one, Webhook)]
    return found


def test_the_secret_of_webhooks_stays_with_who_signs_them(cage: Cage) -> None:
    """Taken, refused, broken off and given up; nor does the address show, which may hold one."""

    def reset(request: Request) -> Answer:
        raise Reset

    echo = [
        lambda request: reply(500, request.headers["webhook-signature"].encode()),
        lambda request: reply(204, set_cookie=CANARY),
        reset,
        lambda request: b"HTTP/1.1 " + CANARY.encode(),
        lambda request: reply(410),
    ]
    with Loopback(echo[0]) as server:
        address = f"http://127.0.0.1:{server.port}/{CANARY}-path?key={CANARY}"
        settings = Settings(
            **OPTIONS, webhook_url=address, webhook_secret=SECRET, tls_ca_file=AUTHORITY
        )
        _, gate = serve_asgi(settings)
        tells = webhook_of(gate)
        tells._pauses = (0.0,)
        for number, answer in enumerate(echo):
            server.answer = answer
            gate.events.emit(Event("license.revoked", {"license_id": f"lic_{number}"}))
            until(lambda: tells._rests)
        cage.hear(gate, settings, tells, tells._incidents, tells._outbox, tells._transport)
        cage.pickled(gate)
        cage.pickled(settings)
        cage.pickled(tells)
        signatures = [request.headers["webhook-signature"] for request in server.log]
        assert all(CANARY in request.target for request in server.log)
    assert len(signatures) >= len(echo)
    silent(cage, CANARY, SECRET.removeprefix("whsec_"), *signatures)


def test_settings_that_cannot_work_do_not_quote_the_secret(cage: Cage) -> None:
    """Nor the address."""
    for wrong in (
        {"webhook_url": f"http://user:{CANARY}@a.example/", "webhook_secret": SECRET},
        {"webhook_url": f"http://a.example/{CANARY}", "webhook_secret": SECRET},
        {"webhook_url": f"https://a.example/{CANARY}"},
        {"webhook_secret": SECRET},
        {"webhook_url": "https://a.example/", "webhook_secret": CANARY},
    ):
        with pytest.raises(ConfigError) as caught:
            Settings(**{**OPTIONS, **wrong})
        cage.raised(caught.value)
    cage.silent_about(CANARY, SECRET.removeprefix("whsec_"))


@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi])
def test_no_event_holds_a_license_or_a_proof(serve: Serve, cage: Cage) -> None:
    """Good, forged, misplaced and replayed: what subscribers and metrics are told names its id."""
    heard: list[Event] = []
    subscription = events.subscribe()(heard.append)
    figures = Figures()
    settings = Settings(
        **OPTIONS, jwks_cooldown=51 + (serve is serve_wsgi), external_url="https://testserver"
    )
    client, _ = serve(settings)
    key = ProofKey.generate()
    good = license_token(sub="lic_shown", tenant=CANARY)
    forged = license_token(FORGER, sub="lic_shown", tenant=CANARY)
    misplaced = license_token(sub="lic_shown", domains=["elsewhere.example"], tenant=CANARY)
    bound = license_token(sub="lic_shown", cnf={"jkt": key.jkt}, tenant=CANARY)
    proof = key.proof("GET", "https://testserver/me", bound)
    for token in (good, good, forged, misplaced, f"{CANARY}-opaque"):
        client.request("GET", "/me", [("Authorization", f"Bearer {token}")])
    for _ in range(2):
        client.request("GET", "/me", [("Authorization", f"DPoP {bound}"), ("DPoP", proof)])
    subscription._relay.finish(10)
    subscription.cancel()
    figures.close()
    kinds = {str(event.data.get("kind")) for event in heard}
    assert {"replay", "domain_mismatch"} <= kinds
    assert {event.name for event in heard} >= {"license.verified", "license.denied"}
    cage.hear(*heard, figures.events(), figures.decisions(), figures.key_ages())
    tokens = (good, forged, misplaced, bound, proof)
    cage.silent_about(CANARY, *(part for token in tokens for part in parts(token)))
