"""The receiver of pushed events as a Django view, and what the system checks say of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

from django.core.checks import run_checks
from django.test import Client
from django.urls import include, path

from licet import ConfigError, Settings
from licet.core.gates import gate_for
from licet.django.views import webhook_receiver
from tests.adapters.django_project import (
    OURS,
    Handler,
    Project,
    Urls,
    WSGIHandler,
    _project,  # noqa: F401 - a fixture
    fine,
    licet_options,
)
from tests.adapters.posting import AsgiPost, Broken, WsgiPost
from tests.licenses import OPTIONS, license_token
from tests.pushed import JSON, PATH, new_secret, revocation

CSRF = "django.middleware.csrf.CsrfViewMiddleware"


@pytest.fixture(name="options")
def _options() -> dict[str, Any]:
    """Return settings with a secret of their own."""
    return {**OPTIONS, "webhook_receive_secret": new_secret()}


def reading(get_response: Any) -> Any:
    """Read the body before any view does; a middleware."""

    def middleware(request: Any) -> Any:
        assert isinstance(request.body, bytes)
        return get_response(request)

    return middleware


def urls() -> Urls:
    """Return the receiver and one view."""
    return Urls(path(PATH[1:], webhook_receiver), path("me", fine))


def ids(*, deploy: bool = False) -> set[str]:
    """Return the ids of what Licet's checks find."""
    messages = run_checks(include_deployment_checks=deploy)
    return {one.id or "" for one in messages if (one.id or "").startswith("licet.")}


@pytest.mark.parametrize("middleware", [[OURS, CSRF], [CSRF, OURS], [f"{__name__}.reading", OURS]])
def test_a_view_needs_neither_license_nor_csrf_token(
    project: Project, middleware: list[str], options: dict[str, Any]
) -> None:
    """Whatever stands around it, also what reads the body before."""
    project(urls(), **licet_options(**options), MIDDLEWARE=middleware)
    client = Client(enforce_csrf_checks=True)
    headers, body = revocation(options)
    token = {"Authorization": f"Bearer {license_token()}"}
    assert client.get("/me", headers=token).status_code == 200
    fields = {name: value for name, value in headers if name != "content-type"}
    answer = client.post(PATH, body, content_type="application/json", headers=fields)
    assert (answer.status_code, answer.content, answer.headers) == (
        204,
        b"",
        {"Cache-Control": "no-store"},
    )
    assert client.get("/me", headers=token).status_code == 403


def test_under_asgi_a_view_keeps_no_event_loop_waiting(
    project: Project, options: dict[str, Any]
) -> None:
    """It may wait for a store, and does so in a thread."""
    project(urls(), **licet_options(**options))
    threads: list[object] = []
    gate_for(Settings(**options)).events.subscribe(
        lambda told: threads.append(threading.current_thread())
    )
    headers, body = revocation(options)
    answer = AsgiPost(Handler())("POST", PATH, headers, body)
    assert answer.status == 204
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


def test_a_broken_connection_is_an_unreadable_body(
    project: Project, options: dict[str, Any]
) -> None:
    """As it is everywhere."""
    project(urls(), **licet_options(**options))
    headers, body = revocation(options)
    said = [*headers, ("Content-Length", str(len(body)))]
    answer = WsgiPost(WSGIHandler())("POST", PATH, said, **{"wsgi.input": Broken()})
    assert (answer.status, answer.json["code"]) == (400, "webhook_unreadable")


def test_a_receiver_without_a_secret_is_told_at_start_up(
    project: Project, options: dict[str, Any]
) -> None:
    """Wherever in the URLs it stands; without a receiver no secret is missed."""
    inner = Urls(path("webhooks", webhook_receiver))
    for patterns in (urls(), Urls(path("licet/", include((inner.urlpatterns, "licet"))))):
        project(patterns, **licet_options(**OPTIONS))
        assert ids() == {"licet.E006"}
        project(patterns, **licet_options(**options))
        assert ids() == set()
        project(patterns, LICET_ISSUER=None)
        assert ids() == {"licet.E001"}
    project(Urls(path("me", fine)), **licet_options(**OPTIONS))
    assert ids() == set()
    project(urls(), **licet_options(**OPTIONS))
    with pytest.raises(ConfigError, match="webhook_receive_secret"):
        WsgiPost(WSGIHandler())("POST", PATH, [JSON], b"{}")


def test_processes_that_do_not_hear_of_each_other_are_told_of(
    project: Project, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pushed revocation reaches one of several workers, unless they share something."""
    for name in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)
    fine_with = (
        {"LICET_STORE": "redis://127.0.0.1:9/0"},
        {"LICET_LICENSE_STATE": str(tmp_path)},
    )
    project(urls(), **licet_options(**options))
    assert ids(deploy=True) == {"licet.W010"}
    assert ids() == set()
    for more in fine_with:
        project(urls(), **licet_options(**options), **more)
        assert ids(deploy=True) == set()
    monkeypatch.setenv("WEB_CONCURRENCY", "1")
    project(urls(), **licet_options(**options))
    assert ids(deploy=True) == set()
