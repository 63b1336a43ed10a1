"""The receivers of pushed events, each in its framework."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest

import licet.asgi
import licet.wsgi
from licet import ConfigError, Settings
from licet.core.events.event import Event
from licet.core.gates import gate_for
from tests.adapters.clients import http_scope
from tests.adapters.contract import bearer
from tests.adapters.posting import AsgiPost, Body, Broken, WsgiPost
from tests.licenses import OPTIONS, license_token
from tests.pushed import JSON, PATH, event, lines, new_secret, revocation

BACKENDS = ("asyncio", "trio")
RECEIVERS = [
    pytest.param(licet.asgi.WebhookReceiver, id="asgi"),
    pytest.param(licet.wsgi.WebhookReceiver, id="wsgi"),
]


@pytest.fixture(name="options")
def _options() -> dict[str, Any]:
    """Return settings with a secret of their own."""
    return {**OPTIONS, "webhook_receive_secret": new_secret()}


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_a_receiver_takes_the_settings_of_a_middleware(
    receiver: Any, options: dict[str, Any]
) -> None:
    """As one object or as keywords, with the secret, and never both."""
    settings = Settings(**options)
    assert receiver(settings).settings == receiver(**options).settings == settings
    for wrong in ((), (Settings(**OPTIONS),)):
        with pytest.raises(ConfigError, match=r"webhook_receive_secret|issuer"):
            receiver(*wrong)
    with pytest.raises(ConfigError, match="webhook_receive_secret"):
        receiver(**OPTIONS)
    with pytest.raises(ConfigError):
        receiver(settings, **options)
    with pytest.raises(ConfigError, match="did you mean"):
        receiver(**options, webhook_recieve_secret="x")


def test_a_receiver_whose_settings_judge_nothing_is_told_of(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """What it takes would be in force for nobody; a store, or one license judged, mends that."""
    words = "give the receiver the settings of the middleware"

    def delivered(**changes: Any) -> str:
        caplog.clear()
        fields, body = revocation({**options, **changes})
        post = WsgiPost(licet.wsgi.WebhookReceiver(**{**options, **changes}))
        assert post("POST", PATH, fields, body).status == 204
        return caplog.text

    assert words in delivered()
    licet.verify(license_token(sub="lic_2"), Settings(**options))
    assert words not in delivered()
    assert words not in delivered(
        webhook_receive_secret=new_secret(), store=f"sqlite:///{tmp_path}/licet.db"
    )


# -- ASGI ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_runs_alone(backend: str, options: dict[str, Any]) -> None:
    """A server starts it, delivers to it and stops it, as any application."""
    receiver = licet.asgi.WebhookReceiver(**options)
    sent: list[str] = []

    async def live() -> None:
        told = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> Any:
            return {"type": next(told)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await receiver({"type": "lifespan"}, receive, send)

    anyio.run(live, backend=backend)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    headers, body = revocation(options)
    assert AsgiPost(receiver, backend)("POST", "/", headers, body).status == 204


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_body_may_come_in_pieces(backend: str, options: dict[str, Any]) -> None:
    """Also in empty ones."""
    headers, body = revocation(options)
    pieces = Body([b"", body[:7], b"", body[7:8], body[8:]])
    post = AsgiPost(licet.asgi.WebhookReceiver(**options), backend)
    assert post("POST", "/", headers, pieces).status == 204


@pytest.mark.parametrize("backend", BACKENDS)
def test_whoever_hangs_up_is_not_answered(backend: str, options: dict[str, Any]) -> None:
    """What came before is no delivery."""
    receiver = licet.asgi.WebhookReceiver(**options)
    headers, body = revocation(options)
    messages: Iterator[Any] = iter(
        [{"type": "http.request", "body": body, "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    async def serve() -> None:
        await receiver(http_scope("POST", "/", headers), receive, send)

    anyio.run(serve, backend=backend)
    assert sent == []
    assert accepted(options, "lic_1")


def accepted(options: dict[str, Any], license_id: str) -> bool:
    """Whether a license holds by these settings."""
    settings = Settings(**options)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    post = WsgiPost(licet.wsgi.LicenseMiddleware(app, settings))
    return post("GET", "/", bearer(license_token(sub=license_id))).status == 200


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_takes_no_websockets(backend: str, options: dict[str, Any]) -> None:
    """One is closed before it opens; what is neither is an error of whoever mounted it."""
    receiver = licet.asgi.WebhookReceiver(**options)
    sent: list[Any] = []

    async def connect(kind: str) -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        await receiver({"type": kind, "path": "/", "headers": []}, receive, send)

    anyio.run(connect, "websocket", backend=backend)
    assert sent == [{"type": "websocket.close", "code": 1008}]
    with pytest.raises(RuntimeError, match="telnet"):
        anyio.run(connect, "telnet", backend=backend)


@pytest.mark.parametrize("make", RECEIVERS)
def test_what_is_received_counts_for_whoever_has_the_same_settings(
    make: Any, options: dict[str, Any]
) -> None:
    """Wherever the receiver stands: there is one gate for both."""
    headers, body = revocation(options)
    receiver = make(Settings(**options))
    post = (AsgiPost if make is licet.asgi.WebhookReceiver else WsgiPost)(receiver)
    assert accepted(options, "lic_1")
    assert post("POST", "/anywhere", headers, body).status == 204
    assert not accepted(options, "lic_1")
    assert accepted(options, "lic_2")
    assert post("HEAD", "/").body == b""


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_shares_a_store_knows_what_was_delivered_to_others(
    backend: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """A delivery has its one effect and its order whichever worker takes it."""
    secret = options["webhook_receive_secret"]
    told: list[Event] = []
    posts = []
    for cooldown in (30, 31):
        settings = Settings(
            **options, store=f"sqlite:///{tmp_path}/licet.db", jwks_cooldown=cooldown
        )
        gate_for(settings).events.subscribe(told.append)
        posts.append(AsgiPost(licet.asgi.WebhookReceiver(settings), backend))
    first, second = posts

    def deliver(post: AsgiPost, kind: str, event_id: str, sequence: int) -> None:
        body = event(kind, license_id="lic_1", sequence=sequence)
        assert post("POST", "/", lines(secret, body, event_id=event_id), body).status == 204

    deliver(first, "license.suspended", "evt_1", 5)
    assert [one.data["word"] for one in told] == ["suspended"]
    deliver(second, "license.revoked", "evt_1", 9)
    deliver(second, "license.revoked", "evt_2", 4)
    assert len(told) == 1
    deliver(second, "license.revoked", "evt_3", 6)
    assert [one.data["word"] for one in told] == ["suspended", "revoked"]


# -- WSGI ------------------------------------------------------------------------------------------


def test_nothing_is_read_beyond_what_was_announced(options: dict[str, Any]) -> None:
    """What stands behind it on the connection is the next request."""
    post = WsgiPost(licet.wsgi.WebhookReceiver(**options))
    headers, body = revocation(options)
    behind = BytesIO(body + b"POST / HTTP/1.1")
    said = [*headers, ("Content-Length", str(len(body)))]
    answer = post("POST", "/", said, **{"body": b"", "wsgi.input": behind})
    assert answer.status == 204
    assert behind.read() == b"POST / HTTP/1.1"


@pytest.mark.parametrize("length", ["", "0", "-1", "+5", "5.0", "x", "\xb2", None])
def test_without_a_length_nothing_is_read(length: str | None, options: dict[str, Any]) -> None:
    """Where the server does not end the body, reading on would wait for ever."""
    post = WsgiPost(licet.wsgi.WebhookReceiver(**options))
    headers, body = revocation(options)
    stream = BytesIO(body)
    variables: dict[str, Any] = {"wsgi.input": stream}
    if length is not None:
        variables["CONTENT_LENGTH"] = length
    assert post("POST", "/", headers, **variables).status == 401
    assert stream.tell() == 0


def test_a_body_that_is_shorter_than_announced_is_none(options: dict[str, Any]) -> None:
    """Half a delivery is not signed; a connection that breaks is a body that cannot be read."""
    post = WsgiPost(licet.wsgi.WebhookReceiver(**options))
    headers, body = revocation(options)
    said = [*headers, ("Content-Length", str(len(body)))]
    half = {"wsgi.input": BytesIO(body[:-5])}
    assert post("POST", "/", said, **half).status == 401
    answer = post("POST", "/", said, **{"wsgi.input": Broken()})
    assert (answer.status, answer.json["code"]) == (400, "webhook_unreadable")


# -- Flask -----------------------------------------------------------------------------------------


class TestFlask:
    """The blueprint."""

    @pytest.fixture(autouse=True)
    def _flask(self) -> None:
        pytest.importorskip("flask")

    def app(self, **config: Any) -> Any:
        """Return an application with one view."""
        from flask import Flask

        app = Flask(__name__)
        app.config.update(config)
        app.add_url_rule("/me", view_func=lambda: "served", endpoint="me")
        return app

    def check(self, app: Any, options: dict[str, Any], path: str = PATH) -> None:
        """See to it that a revocation is taken without a license, and is in force."""
        post, token = WsgiPost(app.wsgi_app), bearer(license_token())
        assert post("GET", "/me", token).status == 200
        assert post("GET", "/me").status == 401
        headers, body = revocation(options)
        assert post("POST", path, [JSON], b"{}").json["code"] == "webhook_invalid"
        assert post("POST", path, headers, body).status == 204
        assert post("GET", "/me", token).status == 403

    @pytest.mark.parametrize("first", ["licet", "receiver"])
    @pytest.mark.parametrize("by", ["options", "config"])
    def test_it_needs_no_license(self, first: str, by: str, options: dict[str, Any]) -> None:
        """Whichever was registered first, and wherever the settings are."""
        from licet.flask import Licet, webhook_blueprint

        config = {f"LICET_{name.upper()}": value for name, value in options.items()}
        app = self.app(**(config if by == "config" else {}))
        steps = [
            lambda: Licet(app, **(options if by == "options" else {})),
            lambda: app.register_blueprint(webhook_blueprint()),
        ]
        for step in steps if first == "licet" else steps[::-1]:
            step()
        self.check(app, options)

    def test_one_licet_and_one_blueprint_may_serve_several_applications(self) -> None:
        """Each by its own settings."""
        from licet.flask import Licet, webhook_blueprint

        licet, blueprint = Licet(), webhook_blueprint("/pushed")
        for first in (True, False):
            options = {**OPTIONS, "webhook_receive_secret": new_secret()}
            app = self.app(**{f"LICET_{name.upper()}": one for name, one in options.items()})
            if first:
                licet.init_app(app)
            app.register_blueprint(blueprint, url_prefix="/at")
            if not first:
                licet.init_app(app)
            self.check(app, options, "/at/pushed")

    def test_it_may_stand_where_nothing_else_needs_a_license(self, options: dict[str, Any]) -> None:
        """Behind the plain WSGI middleware, say, with settings of its own."""
        from licet.flask import webhook_blueprint

        settings = Settings(**options, exempt_paths=[PATH])
        app = self.app()
        app.register_blueprint(webhook_blueprint(settings=settings))
        app.wsgi_app = licet.wsgi.LicenseMiddleware(app.wsgi_app, settings)
        self.check(app, options)

    def test_without_a_secret_it_is_not_registered(self) -> None:
        """It is told at once, where the settings are known."""
        from licet.flask import Licet, webhook_blueprint

        with pytest.raises(ConfigError, match="webhook_receive_secret"):
            webhook_blueprint(**OPTIONS)
        app = self.app()
        Licet(app, **OPTIONS)
        with pytest.raises(ConfigError, match="webhook_receive_secret"):
            app.register_blueprint(webhook_blueprint())
        unsettled = self.app()
        unsettled.register_blueprint(webhook_blueprint())
        Licet(unsettled, **OPTIONS)
        unsettled.testing = True
        with pytest.raises(ConfigError, match="webhook_receive_secret"):
            WsgiPost(unsettled.wsgi_app)("POST", PATH, [JSON], b"{}")

    def test_a_body_that_flask_has_read_already_is_the_body(self, options: dict[str, Any]) -> None:
        """Something before the view may have asked for it; longer than allowed it stays."""
        import flask

        from licet.flask import Licet, webhook_blueprint

        app = self.app()

        @app.before_request
        def reading() -> None:
            flask.request.get_data()

        Licet(app, **options)
        app.register_blueprint(webhook_blueprint())
        self.check(app, options)
        unmeasured = {"wsgi.input": BytesIO(b"x" * 70_000), "wsgi.input_terminated": True}
        answer = WsgiPost(app.wsgi_app)("POST", PATH, [JSON], **unmeasured)
        assert (answer.status, answer.json["code"]) == (413, "body_too_large")
