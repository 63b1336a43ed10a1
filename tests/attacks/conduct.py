"""Rows that are about more than one request's status, through every adapter.

An adapter's test file subclasses `ConductContract` beside its own way of serving.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from itertools import count
from typing import Any

import pytest

from licet import Entitlements
from tests import licenses
from tests.adapters.clients import AsgiClient
from tests.adapters.contract import Answer, Client, Serving, bearer
from tests.licenses import FORGER, INVALID, ISSUER, claims, expired, license_token

SCRIPT = "<script>alert(1)</script>"
#: What would be read as more than text by a log viewer, a terminal, a formatter.
HOSTILE = "x\r\nlicet ERROR forged\x1b[31m\u2028%s%n{0.__class__}${jndi:ldap://x}"


#: Numbers of gates of their own, whose log lines nobody has used up (see `LogSink`).
_UNUSED = count(1)


def rewrap(client: Client, wrap: Callable[[Any], Any]) -> None:
    """Put something between the client and the application it calls."""
    client.app = wrap(client.app)  # type: ignore[attr-defined]


def is_asgi(client: Client) -> bool:
    """Whether the application the client calls speaks ASGI."""
    return isinstance(client, AsgiClient)


class Body(BytesIO):
    """A request body that notes whether the license check reads it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.read_by_us = False

    def read(self, size: int | None = -1) -> bytes:
        frame = sys._getframe(1)
        while frame.f_back is not None and not self.read_by_us:
            self.read_by_us = frame.f_globals.get("__name__", "").startswith("licet.core")
            frame = frame.f_back
        return super().read(-1 if size is None else size)


class ConductContract(Serving):
    """The suite."""

    @pytest.fixture(autouse=True)
    def _heard(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        caplog.set_level(logging.DEBUG)
        return

    def refusals(self, client: Client) -> dict[str, Answer]:
        """Return the answer to each kind of bad license."""
        return {name: self.get(client, "/me", bearer(make())) for name, make in INVALID.items()}

    def heard(self) -> Client:
        """Serve the contract's application behind a gate that has logged nothing yet."""
        return self.licensed(jwks_cooldown=30 + next(_UNUSED) / 1_000)

    # -- F ---------------------------------------------------------------------------------------

    @pytest.mark.row("F05")
    def test_what_the_license_does_not_name_it_does_not_grant(self) -> None:
        """Without limits every limit is 0, and without features every feature is refused."""
        client = self.licensed()
        answer = self.get(client, "/me", bearer(license_token(limits=None)))
        assert (answer.status, answer.json["seats"]) == (200, 0)
        answer = self.get(client, "/me", bearer(license_token(limits={"other": 99})))
        assert (answer.status, answer.json["seats"]) == (200, 0)
        for features in (None, []):
            answer = self.get(client, "/reports", bearer(license_token(features=features)))
            assert (answer.status, answer.json["code"]) == (403, "feature_not_licensed")

    @pytest.mark.row("F12")
    def test_a_view_cannot_change_what_the_next_one_sees(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The entitlements a view holds refuse every change, and later requests see none."""
        tried: list[str] = []
        limit = Entitlements.limit

        def mutate(self: Any, name: str) -> int:
            for name_of, change in {
                "features": lambda: self.features.add("gold"),
                "features set": lambda: setattr(self, "features", {"gold"}),
                "limits": lambda: self.limits.update(seats=99),
                "limits item": lambda: self.limits.__setitem__("seats", 99),
                "scopes": lambda: self.scopes.add("all"),
                "plan": lambda: setattr(self, "plan", "gold"),
                "claims": lambda: self.claims.update(plan="gold"),
                "nested claims": lambda: self.claims["tenant"]["a"].append(2),
                "new attribute": lambda: setattr(self, "anything", 1),
                "terms": lambda: setattr(self._grant.terms, "plan", "gold"),
            }.items():
                with pytest.raises((AttributeError, TypeError)):
                    change()
                tried.append(name_of)
            return limit(self, name)

        client = self.licensed()
        headers = bearer(license_token(sub="lic_mutated", tenant={"a": [1]}))
        with monkeypatch.context() as patch:
            patch.setattr(Entitlements, "limit", mutate)
            before = self.get(client, "/me", headers).json
        assert len(tried) == 10
        assert self.get(client, "/me", headers).json == before
        assert (before["plan"], before["seats"]) == ("professional", 10)

    # -- K ---------------------------------------------------------------------------------------

    @pytest.mark.row("K07")
    def test_two_lines_of_cookies_are_refused(self) -> None:
        """Whether they come apart or joined, neither of the two tokens is picked.

        Django joins the lines that ASGI keeps apart with a comma, which is no cookie at all.
        """
        client = self.licensed(sources=["cookie:license"])
        one, other = license_token(sub="lic_a"), license_token(sub="lic_b")
        for first, second in ((one, other), (one, one), (one, "x"), ("x", one), (one, "")):
            lines = [("Cookie", f"license={first}"), ("Cookie", f"license={second}")]
            answer = self.get(client, "/me", lines)
            assert answer.status == 400 or ((self.adapter, answer.status) == ("django-async", 401))
            assert client.calls == []

    @pytest.mark.row("K09")
    def test_a_body_is_never_read(self) -> None:
        """A token in a form is no credential, and the body stays whole for the application."""
        token = license_token()
        kinds = {
            "application/x-www-form-urlencoded": f"license={token}&access_token={token}",
            "application/json": json.dumps({"license": token}),
            "multipart/form-data; boundary=b": f"--b\r\nContent-Disposition: form-data; "
            f'name="license"\r\n\r\n{token}\r\n--b--\r\n',
        }
        for kind, text in kinds.items():
            for headers, status in (([], 401), (bearer(token), 200)):
                client = self.licensed()
                body = Body(text.encode())
                rewrap(client, partial(_with_body, is_asgi(client), body))
                lines = [("Content-Type", kind), ("Content-Length", str(len(text))), *headers]
                answer = client.request("POST", "/me", lines)
                assert answer.status == status or (status, answer.status) == (200, 405), kind
                assert not body.read_by_us
                assert bool(client.calls) is (answer.status == 200)

    @pytest.mark.row("K12")
    def test_exemption_is_relative_to_the_mount_point(self) -> None:
        """Where the application hangs neither adds nor takes an exempt path."""
        for root, exempt, path, status in (
            ("/api", "/health", "/health", 200),
            ("/health", "/health", "/me", 401),
            ("/static", "/static/*", "/me", 401),
            ("/api", "/api/health", "/health", 401),
            ("/api", "/api/*", "/me", 401),
        ):
            client = self.licensed(exempt_paths=[exempt])
            rewrap(client, partial(_mounted, is_asgi(client), root))
            assert self.get(client, path).status == status, (root, exempt, path)

    @pytest.mark.row("K13")
    def test_no_method_reaches_a_view_without_a_license(self) -> None:
        """Preflights, TRACE, CONNECT, lower case and unknown methods call no view."""
        client = self.licensed()
        preflight = [
            ("Origin", "https://app.example"),
            ("Access-Control-Request-Method", "DELETE"),
            ("Access-Control-Request-Headers", "authorization"),
        ]
        for method, headers in (
            ("OPTIONS", []),
            ("OPTIONS", preflight[:1]),
            ("OPTIONS", preflight),
            ("GET", preflight),
            ("TRACE", []),
            ("CONNECT", []),
            ("get", []),
            ("options", preflight),
            ("MKCOL", []),
            ("X" * 300, []),
        ):
            answer = client.request(method, "/me", headers)
            options = method.upper() == "OPTIONS" and headers == preflight
            passes = self.adapter == "flask" and options
            # A framework that routes first may not know the method.
            assert answer.status in ((200,) if passes else (400, 401, 404, 405, 501)), method
            assert client.calls == []

    @pytest.mark.row("K19")
    def test_refusals_are_never_stored(self) -> None:
        """Every refusal forbids caching and names the fields it depends on."""
        client = self.licensed(sources=["authorization", "x-license-token", "cookie:license"])
        token = license_token()
        for headers in (
            [],
            bearer("rubbish"),
            bearer(expired()),
            [*bearer(token), ("X-License-Token", token)],
        ):
            answer = self.get(client, "/me", headers)
            assert answer.header("Cache-Control") == "no-store"
            varies = (answer.header("Vary") or "").split(", ")
            assert {"Authorization", "X-License-Token", "Cookie"} <= set(varies)

    @pytest.mark.row("K20")
    def test_nothing_of_the_request_comes_back(self) -> None:
        """Token, key id, claims, host, path and query are in no refusal."""
        client = self.licensed()
        for token in (
            SCRIPT,
            ISSUER.sign(claims(), header={"kid": SCRIPT}),
            ISSUER.sign(claims(), header={"typ": SCRIPT}),
            license_token(iss=SCRIPT),
            license_token(sub="\0" + SCRIPT),
            license_token(must_understand=[SCRIPT]),
            license_token(limits={SCRIPT: 1}),
            expired(plan=SCRIPT),
        ):
            answer = client.request(
                "GET", f"/me?q={SCRIPT}", [*bearer(token), ("Host", "evil.example")]
            )
            assert answer.status == 401
            whole = answer.body + repr(answer.headers).encode()
            assert b"script" not in whole
            assert b"evil" not in whole
            assert token.encode() not in whole
            assert (answer.header("Content-Type") or "").startswith("application/problem+json")
            assert answer.header("X-Content-Type-Options") == "nosniff"

    @pytest.mark.row("K21")
    def test_the_challenge_is_fixed(self) -> None:
        """No claim and no field gets into `WWW-Authenticate`, nor a line break into any field."""
        client = self.licensed()
        bad = 'Bearer realm="licet", error="invalid_token"'
        inject = 'x"\r\nSet-Cookie: a=b'
        for token in (
            license_token(iss=inject),
            license_token(sub=inject),
            license_token(features=[inject]),
            ISSUER.sign(claims(), header={"typ": inject}),
            expired(plan=inject),
        ):
            answer = self.get(client, "/me", bearer(token))
            assert answer.header("WWW-Authenticate") == bad
            assert answer.header("Set-Cookie") is None
            assert not any("\r" in value or "\n" in value for _, value in answer.headers)
        answer = self.get(client, "/scoped", bearer(license_token(plan=inject)))
        assert (answer.status, answer.json["plan"]) == (403, inject)
        assert b"\n" not in answer.body
        assert not any("\r" in value or "\n" in value for _, value in answer.headers)

    # -- R ---------------------------------------------------------------------------------------

    @pytest.mark.row("R01")
    def test_no_credential_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """At DEBUG, with tracebacks, no part of a token stands in any record or answer."""
        client = self.heard()
        tokens = [license_token(sub="lic_log"), expired(), *(make() for make in INVALID.values())]
        for token in tokens:
            answer = self.get(client, "/me", bearer(token))
            for part in token.split("."):
                assert part.encode() not in answer.body + repr(answer.headers).encode()
        assert "license.denied" in caplog.text
        for token in tokens:
            for part in token.split(".")[1:]:
                assert part not in caplog.text

    @pytest.mark.row("R02", "R03")
    def test_a_log_line_stays_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """Line breaks, escapes and format strings in what a stranger chose are inert text."""
        client = self.heard()
        printable = "%s%n{0.__class__}${jndi:ldap://x}"
        for token in (
            license_token(iss=HOSTILE),
            license_token(sub=HOSTILE),
            license_token(features=[HOSTILE]),
            license_token(must_understand=[HOSTILE]),
            ISSUER.sign(claims(), header={"kid": printable}),
            ISSUER.sign(claims(), header={"typ": HOSTILE}),
            ISSUER.sign(claims(), header={"kid": HOSTILE}),
        ):
            lines = [*bearer(token), ("Host", "x%s.example")]
            assert self.get(client, "/me", lines).status == 401
        assert self.get(client, "/me", bearer(license_token(plan=HOSTILE))).status == 200
        ours = [record for record in caplog.records if record.name.startswith("licet")]
        assert ours
        for record in ours:
            message = record.getMessage()
            assert message.isprintable()
            assert message.isascii()
            assert len(message) < 1_000
            assert "class '" not in message

    @pytest.mark.row("R04")
    def test_invalid_is_one_answer(self) -> None:
        """Whatever is wrong before and at the signature, status, fields and body are the same."""
        client = self.licensed()
        good = license_token()
        head, payload, signature = good.split(".")
        tokens = [
            "x",
            good[:-4],
            f"{good}=",
            f"{head}.{payload}.{signature[::-1]}",
            f"{head}.{payload}.",
            license_token(FORGER),
            ISSUER.sign(claims(), header={"kid": "nobody"}),
            ISSUER.sign(claims(), header={"crit": ["b64"]}),
            license_token(sub=None),
            license_token(features="all"),
        ]
        answers = [self.get(client, "/me", bearer(token)) for token in tokens]
        answers += self.refusals(client).values()
        assert {answer.status for answer in answers} == {401}
        assert len({answer.body for answer in answers}) == 1
        assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1

    @pytest.mark.row("R05")
    def test_details_are_said_only_once_the_signature_held(self) -> None:
        """A forged license that is also expired or early is invalid, and no more is told."""
        client = self.licensed()
        now = claims()["iat"]
        day = 86_400
        for changes in (
            {"iat": now - 2 * day, "exp": now - day},
            {"nbf": now + 600},
            {"features": []},
        ):
            answer = self.get(client, "/reports", bearer(license_token(FORGER, **changes)))
            assert (answer.status, answer.json["code"]) == (401, "license_invalid")
            moved = licenses.tampered(license_token(**{**changes, "features": ["analytics"]}))
            answer = self.get(client, "/reports", bearer(moved))
            assert (answer.status, answer.json["code"]) == (401, "license_invalid")

    # -- S ---------------------------------------------------------------------------------------

    @pytest.mark.row("S07")
    def test_a_full_stack_lets_nobody_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However few frames are left, a forged license is refused or nothing is answered."""
        # What frameworks leave half made complains while it is cleared away, still without stack;
        # the runner's own hook would need some to take that down.
        monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
        client = self.licensed()
        self.get(client, "/me", bearer(license_token()))
        forged = bearer(license_token(FORGER))
        app = client.app  # type: ignore[attr-defined]
        answered = 0
        for left in (5, 10, 15, 20, 25, 30, 40, 60, 100, 200):
            for headers in (forged, []):
                client.calls.clear()
                client.app = _deep(is_asgi(client), left, app)  # type: ignore[attr-defined]
                try:
                    answer = self.get(client, "/me", headers)
                except (RecursionError, BaseExceptionGroup):
                    # The stack ended inside the server or the framework.
                    continue
                finally:
                    assert client.calls == []
                assert answer.status >= 400
                answered += 1
        # A tracer has frames of its own, with which the stack is full before the application.
        assert answered or sys.gettrace() is not None
        gc.collect()


def _with_body(asgi: bool, body: Body, app: Any) -> Any:
    if not asgi:

        def with_input(environ: Any, start_response: Any) -> Any:
            environ["wsgi.input"] = body
            environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
            environ["CONTENT_LENGTH"] = environ.pop("HTTP_CONTENT_LENGTH")
            return app(environ, start_response)

        return with_input

    async def with_receive(scope: Any, receive: Any, send: Any) -> None:
        async def receiving() -> Any:
            message = await receive()
            return (
                {**message, "body": body.read()} if message["type"] == "http.request" else message
            )

        await app(scope, receiving, send)

    return with_receive


def _mounted(asgi: bool, root: str, app: Any) -> Any:
    if not asgi:
        return lambda environ, start: app({**environ, "SCRIPT_NAME": root}, start)

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        path = root + scope["path"]
        whole = {**scope, "root_path": root, "path": path, "raw_path": path.encode()}
        await app(whole, receive, send)

    return mounted


def _deep(asgi: bool, left: int, app: Any) -> Any:
    """Call `app` with `left` frames of the stack left."""

    def used() -> int:
        frame, number = sys._getframe(1), 0
        while frame is not None:
            frame, number = frame.f_back, number + 1  # type: ignore[assignment]
        return number

    if not asgi:

        def dive(frames: int, *arguments: Any) -> Any:
            return dive(frames - 1, *arguments) if frames > 0 else app(*arguments)

        return lambda *arguments: dive(sys.getrecursionlimit() - used() - left, *arguments)

    async def adive(frames: int, *arguments: Any) -> None:
        await (adive(frames - 1, *arguments) if frames > 0 else app(*arguments))

    async def diving(*arguments: Any) -> None:
        await adive(sys.getrecursionlimit() - used() - left, *arguments)

    return diving
