"""The attack table through Django, under WSGI and under ASGI."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract
from tests.attacks.replay import ReplayContract

pytest.importorskip("django")

from django.core.handlers.wsgi import WSGIHandler
from django.http import StreamingHttpResponse
from django.urls import path
from django.views import View

from tests.adapters import test_django_async, test_django_sync
from tests.adapters.clients import AsgiClient, Connection, WsgiClient
from tests.adapters.contract import bearer
from tests.adapters.django_project import (
    Handler,
    OnDjango,
    Urls,
    _project,  # noqa: F401 - a fixture
    fine,
    licet_options,
)
from tests.attacks.placed import limited
from tests.attacks.proof import HERE, SITE, bound, proofs
from tests.licenses import OPTIONS, expired, license_token


class OwnCode(OnDjango):
    """What runs of a project's own before a license is known."""

    @pytest.mark.row("K15")
    def test_no_view_or_what_is_around_it_runs_before_the_license(self) -> None:
        """Decorators, class-based dispatch and streamed bodies see no refused request."""
        calls: list[str] = []
        streaming = self.server == "asgi"

        def pieces() -> Any:
            calls.append("body")
            yield b"served"

        async def apieces() -> Any:
            calls.append("body")
            yield b"served"

        class Page(View):
            def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
                calls.append("dispatch")
                return StreamingHttpResponse(apieces() if streaming else pieces())

        def around(request: Any) -> Any:
            calls.append("decorator")
            return page(request)

        page = Page.as_view()
        self.project(Urls(path("page", around)), **licet_options(**OPTIONS))
        app: Any = Handler() if streaming else WSGIHandler()
        client: Any = AsgiClient(app, []) if streaming else WsgiClient(app, [])
        for headers in ([], bearer("rubbish"), bearer(expired())):
            assert client.request("GET", "/page", headers).status == 401
        assert calls == []
        answer = client.request("GET", "/page", bearer(license_token()))
        assert (answer.status, answer.body) == (200, b"served")
        assert calls == ["decorator", "dispatch", "body"]


class OwnHosts(OnDjango):
    """What Django's own settings say of hosts, and Licet does not say again."""

    def attacked(self, **changes: Any) -> AsgiClient | WsgiClient:
        """Serve the contract's application with further settings of Django's."""
        options = changes.pop("options", {})
        client = self.licensed(**options)
        self.project.change(**changes)
        assert isinstance(client, AsgiClient | WsgiClient)
        return client

    @pytest.mark.row("L11", "L12")
    def test_a_forwarded_host_counts_where_django_says_so(self) -> None:
        """With `USE_X_FORWARDED_HOST` that field alone is the host, once; not ours to choose from.

        Django's documentation makes it the proxy's duty to overwrite the field.
        """
        client = self.attacked(USE_X_FORWARDED_HOST=True)
        for field, status, code in (
            ("licensed.example", 200, None),
            ("LICENSED.example:8443", 200, None),
            ("evil.example", 403, "license_domain"),
            ("evil.example, licensed.example", 400, "bad_host"),
            ("licensed.example,", 400, "bad_host"),
            ("user@licensed.example", 400, "bad_host"),
            ("", 400, "bad_host"),
        ):
            headers = [
                *bearer(limited(domains=["licensed.example"])),
                ("Host", "inner.example"),
                ("X-Forwarded-Host", field),
            ]
            for _ in range(2):
                client.calls.clear()
                answer = client.request("GET", "/me", headers)
                assert (answer.status, answer.json.get("code")) == (status, code), field
                assert bool(client.calls) == (status == 200)

    @pytest.mark.row("L01", "L16")
    def test_a_host_that_django_does_not_serve_is_bad(self) -> None:
        """`ALLOWED_HOSTS` counts, and counts before the license; without a host there is none."""
        client = self.attacked(ALLOWED_HOSTS=[".licensed.example", "testserver"])
        every = {"domains": ["licensed.example", "evil.example", "testserver"]}
        for host, status, code in (
            ("licensed.example", 200, None),
            ("evil.example", 400, "bad_host"),
            ("a.licensed.example", 403, "license_domain"),
            (None, 400, "bad_host"),
        ):
            headers = bearer(limited(**every))
            for _ in range(2):
                client.calls.clear()
                answer = client.request("GET", "/me", headers, Connection(host=host))
                assert (answer.status, answer.json.get("code")) == (status, code), host
                assert bool(client.calls) == (status == 200)

    @pytest.mark.row("N12")
    def test_proofs_are_for_a_host_that_django_lists(self) -> None:
        """Without `external_url`, hosts are vouched for by `ALLOWED_HOSTS`, and none by `*`."""
        client = self.attacked(
            ALLOWED_HOSTS=["api.example", "other.example"],
            SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
        )
        for host, proto, url, status, code in (
            ("api.example", "https", "https://api.example/me", 200, None),
            ("other.example", "https", "https://other.example/me", 200, None),
            ("api.example", "http", "http://api.example/me", 200, None),
            ("api.example", "https", "http://api.example/me", 401, "pop_invalid"),
            ("api.example", "http", "https://api.example/me", 401, "pop_invalid"),
            ("api.example", "https", "https://other.example/me", 401, "pop_invalid"),
            ("evil.example", "https", "https://evil.example/me", 400, "bad_host"),
            ("evil.example", "https", "https://api.example/me", 400, "bad_host"),
        ):
            token = bound()
            for _ in range(2):
                client.calls.clear()
                answer = client.request(
                    "GET",
                    "/me",
                    [
                        ("Authorization", f"DPoP {token}"),
                        *(("DPoP", one) for one in proofs(url=url)(token)),
                        ("Host", host),
                        ("X-Forwarded-Proto", proto),
                    ],
                )
                assert (answer.status, answer.json.get("code")) == (status, code), (host, url)
                assert bool(client.calls) == (status == 200)

    @pytest.mark.row("N11")
    def test_a_path_is_compared_as_it_was_sent(self) -> None:
        """Letters beyond ASCII stand in a proof as they stand in the request."""
        seen: list[str] = []
        self.project(
            Urls(
                path(
                    "caf\xe9/<path:rest>", lambda request, rest: seen.append(rest) or fine(request)
                )
            ),
            **licet_options(**OPTIONS, **HERE),
        )
        app: Any = Handler() if self.server == "asgi" else WSGIHandler()
        client = AsgiClient(app, []) if self.server == "asgi" else WsgiClient(app, [])
        token, sent = bound(), "/caf%C3%A9/%E2%82%AC"
        for asked, status in ((sent, 200), ("/caf%E9/%E2%82%AC", 401), ("/caf%C3%A9/%3F", 401)):
            [made] = proofs(url=f"{SITE}{asked}")(token)
            answer = client.request(
                "GET", sent, [("Authorization", f"DPoP {token}"), ("DPoP", made)]
            )
            assert answer.status == status, asked
        assert seen == ["\u20ac"]


class TestSync(OwnCode, OwnHosts, AttackContract, ConductContract, ReplayContract):
    """Every row, with synchronous views."""

    adapter = "django"
    server = "wsgi"
    urls = test_django_sync.TestSync.urls


class TestAsync(OwnCode, OwnHosts, AttackContract, ConductContract, ReplayContract):
    """Every row, with asynchronous views."""

    adapter = "django-async"
    server = "asgi"
    urls = test_django_async.TestAsync.urls
