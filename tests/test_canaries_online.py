"""What is asked of a license server, and by whom, shows itself in its questions alone.

Held against what a process may leave behind are credentials, opaque keys, tokens, nonces, and the
key of a client certificate; beside what is said also everything that a gate still refers to once
nothing is under way, the errors it keeps and their tracebacks among it.
"""

from __future__ import annotations

import gc
import json
import logging
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

import pytest
import trustme

from licet import ConfigError, Settings
from licet.core.gate import Gate
from licet.core.online.answers import NoAnswer
from licet.core.online.presented import Presented
from licet.core.online.question import KeyMissing, Question, Undecided
from licet.core.online.server import Server
from licet.core.settings.issuers import IssuerSettings
from licet.core.transport import Request, Response, TransportError
from licet.issuer import Issuer
from tests.adapters.clients import AsgiClient
from tests.cage import CANARY, Cage, Serve, caged, parts, serve_asgi, serve_wsgi
from tests.core import license_server, loopback
from tests.core.license_server import VALIDATE, LicenseServer, asked, says
from tests.core.loopback import reply, until
from tests.core.worlds import at_rest, gate_of
from tests.core.wrong_answers import hang, redirect, reset
from tests.licenses import ISSUER, ISSUER_NAME, license_token

SECRET = f"val_{CANARY}-credentials"
KEY = "lic_canary0a4f1c9opaque0key"
#: Signs answers and nothing else, in the issuer's name.
VALIDATOR = Issuer.generate(ISSUER_NAME)


@pytest.fixture(name="cage")
def _cage() -> Iterator[Cage]:
    with caged() as cage:
        yield cage


@pytest.fixture(name="server")
def _server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LicenseServer]:
    monkeypatch.setattr(license_server, "CREDENTIALS", SECRET)
    monkeypatch.setattr("licet.core.online.asker.PAUSE", 0.005)
    with LicenseServer(signer=VALIDATOR) as server:
        server.serves_jwks = False
        yield server


def serve_trio(settings: Settings) -> tuple[Any, Gate]:
    """Serve under trio."""
    client, gate = serve_asgi(settings)
    return AsgiClient(client.app, [], "trio"), gate


worlds = pytest.mark.parametrize("serve", [serve_asgi, serve_trio, serve_wsgi])


def kept(root: object) -> Iterator[str]:
    """Yield every text that `root` refers to, through whatever objects, frames among them.

    But for settings, and what a dialect is told of the server: it is theirs to hold credentials.
    """
    seen: set[int] = set()
    left: deque[object] = deque([root])
    while left:
        thing = left.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, str):
            yield thing
        elif isinstance(thing, bytes | bytearray):
            yield bytes(thing).decode("latin-1")
        elif isinstance(thing, FunctionType):
            left += [thing.__closure__, thing.__defaults__, thing.__kwdefaults__, thing.__dict__]
        elif isinstance(thing, FrameType):
            left.append(dict(thing.f_locals))
        elif isinstance(thing, TracebackType):
            left += [thing.tb_frame, thing.tb_next]
        elif isinstance(thing, Server):
            left.append(thing.keys)
        elif not isinstance(thing, type | ModuleType | Settings | IssuerSettings | logging.Logger):
            left += gc.get_referents(thing)


def echoed(status: int, content_type: str) -> Callable[[LicenseServer, Any], Any]:
    """Return an answer that says again all that was sent."""

    def answer(server: LicenseServer, request: loopback.Request) -> loopback.Answer:
        sent = json.dumps(dict(request.headers)).encode() + request.body
        return reply(status, sent, content_type, X_Sent=asked(request)["licenseKey"])

    return answer


def away(server: LicenseServer, request: loopback.Request) -> loopback.Answer:
    """Send the question elsewhere, secrets in the address."""
    location = f"http://127.0.0.1:9/{asked(request)['licenseKey']}?{SECRET}"
    return redirect(302, location)(server, request)


def worded(word: str) -> Callable[[LicenseServer, Any], Any]:
    """Return a signed no."""
    return lambda server, request: says(
        server.answer_for(request.body, valid=False, error=word, license=license_server.GONE)
    )


def quoting(server: LicenseServer, request: loopback.Request) -> loopback.Answer:
    """Sign for another license, named by the secrets of this question."""
    question = asked(request)
    told = {"req": question["licenseKey"], "domain": question["nonce"], "iss": SECRET}
    return says(server.answer_for(request.body, **told))


def keyed(server: LicenseServer, request: loopback.Request) -> loopback.Answer:
    """Sign under the name of a secret."""
    return says(server.answer_for(request.body, header={"kid": SECRET}))


#: What comes of a question, and the statuses that an application then answers with.
ANSWERS: dict[str, tuple[Callable[[LicenseServer, Any], Any] | None, int]] = {
    "yes": (None, 200),
    "unknown": (worded("unknown"), 401),
    "revoked": (worded("revoked"), 403),
    "domain mismatch": (worded("domain_mismatch"), 403),
    "another word": (worded("fraud"), 403),
    "echo 200": (echoed(200, "application/json"), 503),
    "echo as jwt": (echoed(200, "application/jwt"), 503),
    "echo 400": (echoed(400, "text/html"), 503),
    "echo 401": (echoed(401, "application/json"), 503),
    "echo 500": (echoed(500, "text/html"), 503),
    "redirect": (away, 503),
    "reset": (reset, 503),
    "silence": (hang, 503),
    "another license": (quoting, 503),
    "another key": (keyed, 503),
    "garbage": (lambda server, request: SECRET.encode() + request.body, 503),
}


def silent(cage: Cage, *secrets: str) -> None:
    """Hold everything heard against the secrets, but for what a server's own fields say.

    Those httpcore writes down, header by header, for whoever sets its logger to DEBUG.
    """
    cage.heard = [text for text in cage.heard if "receive_response_headers" not in text]
    cage.silent_about(*secrets)


def ask_and_listen(
    serve: Serve, server: LicenseServer, status: int, cage: Cage, **changes: Any
) -> None:
    """Present a key and a token to an application that asks, and hear all that shows."""
    token = license_token(tenant=CANARY, sub="lic_canaries")
    for credential in (KEY, token):
        server.add(credential, sub="lic_canaries")
    away_ = {"jwks": None, "jwks_url": server.options()["jwks_url"], "online_timeout": 0.5}
    settings = Settings(**server.options(**away_, **changes))
    client, gate = serve(settings)
    gate.events.subscribe(cage.hear)
    for credential in (KEY, KEY, token):
        answer = client.request("GET", "/me", [("Authorization", f"Bearer {credential}")])
        assert answer.status == status, answer
        cage.answered(answer)
    assert server.questions
    cage.hear(settings, settings.by_issuer, settings.fingerprint, gate, gate.health())
    for thing in (settings, *settings.by_issuer.values(), gate):
        cage.pickled(thing)
    gc.collect()
    cage.heard += kept(gate)
    nonces = [asked(request)["nonce"] for request in server.questions]
    assert {asked(request)["licenseKey"] for request in server.questions} <= {KEY, token}
    silent(cage, CANARY, SECRET, KEY, *nonces, *parts(token))


@pytest.mark.row("R01")
@worlds
@pytest.mark.parametrize("said", ANSWERS)
def test_a_question_stays_between_two(
    said: str, serve: Serve, server: LicenseServer, cage: Cage
) -> None:
    """Whatever comes in return, and from whomever: garbage made of its secrets as well."""
    how, status = ANSWERS[said]
    server.trouble = None if how is None else partial(how, server)
    ask_and_listen(serve, server, status, cage)


@pytest.mark.row("R01")
@worlds
def test_a_server_that_cannot_be_reached_shows_nothing(
    serve: Serve, server: LicenseServer, cage: Cage
) -> None:
    """Where nobody listens, and where the dialect itself fails."""

    def fail(*arguments: object) -> Any:
        raise RuntimeError("broken")

    key = server.add(KEY)
    server.close()
    for broken in (False, True):
        client, gate = serve(Settings(**server.options(leeway=3 + broken, online_timeout=0.5)))
        gate.events.subscribe(cage.hear)
        if broken:
            [validator] = gate._judgements.arbiter._validators.values()  # type: ignore[union-attr]
            validator._asker._heard = fail  # type: ignore[method-assign]
        answer = client.request("GET", "/me", [("Authorization", f"Bearer {key}")])
        assert answer.status == 503
        cage.answered(answer)
        cage.heard += kept(gate)
    cage.silent_about(SECRET, KEY)


@pytest.mark.row("R01")
@worlds
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("what", ["licenseKey", "nonce", "credentials"])
def test_a_no_in_the_words_of_the_question_is_not_repeated(
    what: str, signed: bool, serve: Serve, server: LicenseServer, cage: Cage
) -> None:
    """A word that quotes a secret is no word for the log."""

    def answer(request: loopback.Request) -> loopback.Answer:
        word = {**asked(request), "credentials": SECRET}[what]
        if signed:
            return worded(word)(server, request)
        return reply(200, json.dumps({"valid": False, "error": word}).encode())

    server.trouble = answer
    key = server.add(KEY)
    options = server.options(jwks=ISSUER.jwks(), jwks_url=None, validation_unsigned=not signed)
    client, gate = serve(Settings(**options))
    gate.events.subscribe(cage.hear)
    for _ in range(2):
        refused = client.request("GET", "/me", [("Authorization", f"Bearer {key}")])
        assert refused.status == 403
        cage.answered(refused)
    cage.heard += kept(gate)
    cage.silent_about(SECRET, KEY, asked(server.questions[0])["nonce"])


@pytest.mark.row("R01")
@worlds
def test_what_is_asked_behind_requests_shows_nothing(
    serve: Serve, server: LicenseServer, cage: Cage
) -> None:
    """A token that holds here and is asked about, whether the server says yes, no, or nothing."""
    for number, trouble in enumerate((None, worded("unknown"), echoed(200, "application/jwt"))):
        server.trouble = trouble and partial(trouble, server)
        asked_before = len(server.questions)
        token = license_token(tenant=CANARY, sub=f"lic_behind_{number}")
        server.add(token, sub=f"lic_behind_{number}")
        options = {"jwks": ISSUER.jwks(), "jwks_url": None, "revalidate_every": 60 + number}
        client, gate = serve(Settings(**server.options(**options)))
        gate.events.subscribe(cage.hear)
        answer = client.request("GET", "/me", [("Authorization", f"Bearer {token}")])
        cage.answered(answer)
        until(lambda before=asked_before: len(server.questions) > before)
        at_rest(gate)
        cage.answered(client.request("GET", "/me", [("Authorization", f"Bearer {token}")]))
        cage.heard += kept(gate)
        nonces = [asked(request)["nonce"] for request in server.questions]
        silent(cage, SECRET, *nonces, *parts(token))


@pytest.mark.row("R01")
def test_objects_about_a_question_do_not_show_it(cage: Cage) -> None:
    """Question, request, answer, server and every error of theirs can be logged."""
    nonce = f"{CANARY}-nonce"
    question = Question(KEY, ISSUER_NAME, "acme", "a.example", nonce, 0.0)
    keys: Any = None
    with LicenseServer() as server:
        gate = gate_of(server, validation_credentials=SECRET)
        [validator] = gate._judgements.arbiter._validators.values()  # type: ignore[union-attr]
        cage.hear(gate._judgements.arbiter, validator, validator._asker, validator._asker._server)
        request = validator._asker._dialect.request(question, validator._asker._server)
    assert SECRET in request.headers["authorization"]
    assert KEY.encode() in request.body
    cage.hear(
        question,
        request,
        Request("POST", f"https://a.example{VALIDATE}", {"authorization": SECRET}, KEY.encode()),
        Response(200, {"x-sent": SECRET}, f"{KEY}{nonce}".encode()),
        Presented(KEY.encode(), b"digest", "acme", "a.example"),
        Server(ISSUER_NAME, "https://a.example", SECRET, False, keys),
    )
    for error in (
        Undecided("nonce", "replay"),
        KeyMissing("kid", "EdDSA"),
        TransportError("connect"),
        NoAnswer("timeout", cause=TransportError("timeout")),
    ):
        cage.raised(error)
    cage.silent_about(SECRET, KEY, nonce)


@pytest.mark.row("R01")
def test_credentials_that_cannot_be_sent_are_not_shown(cage: Cage) -> None:
    """Nor those that stand in an address, nor those that nobody is sent."""
    url = "https://licenses.acme.example/validate"
    bad: list[dict[str, Any]] = [
        {"validation_url": url, "validation_credentials": f"{SECRET} x"},
        {"validation_url": url, "validation_credentials": f"{SECRET}é"},
        {"validation_url": url, "validation_credentials": f"{SECRET}\r\n"},
        {"validation_url": url, "validation_credentials": [SECRET]},
        {"validation_credentials": SECRET},
        {"validation_url": f"https://user:{SECRET}@licenses.acme.example/"},
        {"validation_url": f"http://licenses.acme.example/?key={SECRET}"},
        {"validation_url": url, "validation_jwks": {"keys": [{"kty": "oct", "k": SECRET}]}},
        {"validation_url": url, "validation_jwks": f"/nowhere/{SECRET}"},
    ]
    for options in bad:
        for make in (
            lambda given: Settings(issuer=ISSUER_NAME, audience="acme", **given),
            lambda given: Settings(issuers={ISSUER_NAME: {"audience": "acme", **given}}),
        ):
            with pytest.raises(ConfigError) as caught:
                make(options)
            cage.raised(caught.value)
    cage.silent_about(SECRET)


@pytest.mark.row("R01", "I12")
@worlds
def test_the_key_of_a_client_certificate_stays_in_its_file(
    serve: Serve, cage: Cage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown to a server, refused by one, or damaged: nobody hears what is in it."""
    monkeypatch.setattr(license_server, "CREDENTIALS", SECRET)
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca_file, cert, key = (tmp_path / name for name in ("ca.pem", "app.pem", "app.key"))
    ca.cert_pem.write_to_path(str(ca_file))
    issued = ca.issue_cert("app@example.com", key_type=trustme.KeyType.ECDSA)
    cert.write_bytes(issued.cert_chain_pems[0].bytes())
    pem = issued.private_key_pem.bytes()
    key.write_bytes(pem)
    key.chmod(0o600)
    secrets = [line for line in pem.decode().splitlines() if "-" not in line and len(line) > 8]
    assert secrets
    for trusted in (ca, trustme.CA(key_type=trustme.KeyType.ECDSA)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        trusted.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        with LicenseServer(context=context) as server:
            files = {"tls_ca_file": str(ca_file), "tls_client_cert": cert, "tls_client_key": key}
            at_hand = {"jwks": ISSUER.jwks(), "jwks_url": None}
            settings = Settings(**server.options(**files, **at_hand))
            client, gate = serve(settings)
            gate.events.subscribe(cage.hear)
            held = [("Authorization", f"Bearer {server.add(KEY)}")]
            answer = client.request("GET", "/me", held)
            assert answer.status == (200 if trusted is ca else 503)
            cage.answered(answer)
            cage.hear(settings, gate)
            cage.pickled(settings)
            cage.heard += kept(gate)
    for damaged in (pem[:-40], pem.replace(b"BEGIN", b"BEGUN"), pem[60:]):
        key.write_bytes(damaged)
        with pytest.raises(ConfigError) as caught:
            Settings(**server.options(**files, **at_hand))
        cage.raised(caught.value)
    cage.silent_about(SECRET, KEY, *secrets)


def test_what_a_gate_refers_to_is_found() -> None:
    """A secret in the traceback of an error that is kept does not escape the search."""

    def fail(secret: str) -> None:
        raise ValueError(len(secret))

    class Keeper:
        error: BaseException | None = None

    keeper = Keeper()
    assert not any(SECRET in text for text in kept(keeper))
    try:
        fail("".join(SECRET))
    except ValueError as error:
        keeper.error = error
    assert any(SECRET in text for text in kept(keeper))
