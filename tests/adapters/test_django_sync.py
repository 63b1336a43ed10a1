"""Licet in Django under WSGI: the contract, and what is Django's own."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("django")

from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import path

from licet import ConfigError, LicenseRequired, Settings, current_entitlements
from licet.core import gates
from licet.core.entitlements.context import find_entitlements
from tests.adapters.clients import WsgiClient, environ
from tests.adapters.contract import bearer
from tests.adapters.django_project import (
    CALLS,
    OURS,
    DjangoContract,
    Project,
    Urls,
    _project,  # noqa: F401 - a fixture
    anoted,
    contract_urls,
    current,
    fine,
    licet_options,
    noted,
    stream,
)
from tests.licenses import OPTIONS, license_token


class TestSync(DjangoContract):
    """The contract with synchronous views."""

    adapter = "django"
    server = "wsgi"
    urls = contract_urls(noted, stream)


class TestAsyncViewsUnderWsgi(DjangoContract):
    """The contract with asynchronous views, which Django runs in a loop of their own."""

    adapter = "django"
    server = "wsgi"
    urls = contract_urls(anoted, stream)


BUILT = Settings(**OPTIONS)


def bearer_of(license_id: str) -> dict[str, str]:
    """Return the header that presents a license, for Django's own test client."""
    return {"Authorization": f"Bearer {license_token(sub=license_id)}"}


def test_an_unknown_url_stays_404(project: Project) -> None:
    """Without a license nobody learns more of it than that it is not there."""
    project(Urls(path("here", fine)), **licet_options(**OPTIONS), DEBUG_PROPAGATE_EXCEPTIONS=False)
    assert Client().get("/nowhere").status_code == 404
    assert Client().get("/here").status_code == 401


def test_every_test_client_shares_one_gate(project: Project) -> None:
    """Each client builds the middleware anew, and the cache of licenses stays."""
    project(Urls(path("", current)), **licet_options(**OPTIONS, leeway=43))
    for _ in range(3):
        assert Client().get("/", headers=bearer_of("lic_1")).status_code == 200
    own = [each for each in gates._gates.values() if each.settings.leeway == 43]
    assert len(own) == 1


def test_overridden_settings_count_at_once(project: Project) -> None:
    """`override_settings` reaches a client that has been used already, and goes again."""
    project(Urls(path("", current)), **licet_options(**OPTIONS))
    client = Client()
    headers = bearer_of("lic_1")
    assert client.get("/", headers=headers).status_code == 200
    project.change(LICET_AUDIENCE="another-product")
    assert client.get("/", headers=headers).status_code == 401
    project.change(LICET_AUDIENCE=OPTIONS["audience"], LICET_EXEMPT_PATHS=["/"])
    assert client.get("/").status_code == 200


def test_settings_that_cannot_work_fail_before_any_request(project: Project) -> None:
    """A server with a misspelt setting does not come up; the text names the right spelling."""
    project(Urls(path("", fine)), **licet_options(**OPTIONS), LICET_AUDIENCES="x")
    with pytest.raises(ConfigError, match=r"did you mean audience"):
        WSGIHandler()


def test_settings_may_be_built_in_code(project: Project) -> None:
    """`LICET_SETTINGS` names a `Settings`, which stands alone."""
    project(Urls(path("", current)), LICET_SETTINGS=f"{__name__}.BUILT")
    assert Client().get("/", headers=bearer_of("lic_built")).json() == "lic_built"


class Below:
    """A middleware below Licet that refuses in words of its own."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        raise LicenseRequired


def test_a_middleware_below_answers_for_itself(project: Project) -> None:
    """A `LicenseError` raised by another middleware is that middleware's affair."""
    project(
        Urls(path("", fine)), **licet_options(**OPTIONS), MIDDLEWARE=[OURS, f"{__name__}.Below"]
    )
    with pytest.raises(LicenseRequired):
        Client().get("/", headers=bearer_of("lic_1"))
    assert find_entitlements() is None


class Meddling:
    """A middleware above Licet that drops what it put on the request."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response["X-Seen"] = str(find_entitlements())
        return response


def test_nothing_is_seen_above_the_middleware(project: Project) -> None:
    """Once the response has left Licet the context is as it was before."""
    project(
        Urls(path("", fine)), **licet_options(**OPTIONS), MIDDLEWARE=[f"{__name__}.Meddling", OURS]
    )
    assert Client().get("/", headers=bearer_of("lic_1"))["X-Seen"] == "None"


class Closing:
    """A body that notes whose license its steps and its end see."""

    def __init__(self) -> None:
        self.closed_with: str | None = None

    def __iter__(self) -> Any:
        for _ in range(3):
            yield current_entitlements().license_id.encode()

    def close(self) -> None:
        self.closed_with = current_entitlements().license_id


def test_interleaved_bodies_keep_their_own_entitlements(project: Project) -> None:
    """Two bodies stepped in turns on one thread, and closed, each see their own license."""
    bodies = [Closing(), Closing()]
    waiting = iter(bodies)
    project(
        Urls(path("", lambda request: StreamingHttpResponse(next(waiting)))),
        **licet_options(**OPTIONS),
    )
    handler = WSGIHandler()
    responses = [
        handler(environ("GET", "/", bearer(license_token(sub=name))), lambda *started: None)
        for name in ("lic_one", "lic_two")
    ]
    assert find_entitlements() is None
    one, two = map(iter, responses)
    for _ in range(3):
        assert (next(one), next(two)) == (b"lic_one", b"lic_two")
        assert find_entitlements() is None
    for response in reversed(responses):
        response.close()
    assert [body.closed_with for body in bodies] == ["lic_one", "lic_two"]
    assert find_entitlements() is None


def test_the_credential_is_kept_until_the_body_is_out(project: Project) -> None:
    """A streaming body may still read claims; after the end of a request nobody can."""
    kept: list[Any] = []

    def view(request: Any) -> Any:
        kept.append(request.entitlements)
        if request.path_info == "/boom":
            raise ZeroDivisionError
        if request.path_info == "/stream":
            return StreamingHttpResponse(iter([b"x"]))
        return HttpResponse(b"x")

    names = ("whole", "stream", "boom")
    project(Urls(*(path(name, view) for name in names)), **licet_options(**OPTIONS))
    client = WsgiClient(WSGIHandler(), CALLS)
    headers = bearer(license_token())
    assert client.request("GET", "/whole", headers).body == b"x"
    with pytest.raises(ZeroDivisionError):
        client.request("GET", "/boom", headers)
    response = client.app(environ("GET", "/stream", headers), lambda *started: None)
    assert kept[-1]._credential is not None
    assert b"".join(response) == b"x"
    response.close()
    assert len(kept) == 3
    for entitlements in kept:
        with pytest.raises(RuntimeError, match="while its request lasts"):
            entitlements.claims["iss"]


def test_exempt_paths_are_relative_to_the_script_name(project: Project) -> None:
    """K12: mounted under /api, `/health` is /api/health, and no other path is."""
    project(
        Urls(path("health", fine), path("api/health", fine)),
        **licet_options(**OPTIONS, exempt_paths=["/health"]),
    )
    handler = WSGIHandler()

    def status(path_info: str) -> str:
        started: list[Any] = []
        request = environ("GET", path_info, SCRIPT_NAME="/api")
        handler(request, lambda *given: started.extend(given)).close()
        return started[0][:3]

    assert (status("/health"), status("/api/health")) == ("200", "401")


def test_a_file_is_left_to_the_server(project: Project, tmp_path: Any) -> None:
    """The server's own way to send files (`wsgi.file_wrapper`) stays open."""
    file = tmp_path / "report.csv"
    file.write_bytes(b"1,2")
    project(
        Urls(path("", lambda request: FileResponse(file.open("rb")))), **licet_options(**OPTIONS)
    )
    wrapped: list[Any] = []
    handler = WSGIHandler()
    request = environ("GET", "/", bearer(license_token()))
    request["wsgi.file_wrapper"] = lambda lying, size: wrapped.append(lying) or lying
    response = handler(request, lambda *started: None)
    assert response.read() == b"1,2"
    assert response is wrapped[0]
    response.close()


def cached_site(project: Project, view: Any, **options: Any) -> Any:
    """Serve `view` behind Django's per-site cache, where its documentation puts it."""
    from django.core.cache import cache

    project(
        Urls(path("", view)),
        **licet_options(**{**OPTIONS, **options}),
        MIDDLEWARE=[
            "django.middleware.cache.UpdateCacheMiddleware",
            OURS,
            "django.middleware.cache.FetchFromCacheMiddleware",
        ],
    )
    cache.clear()
    return WsgiClient(WSGIHandler(), CALLS)


@pytest.mark.parametrize("required", [True, False])
def test_the_per_site_cache_serves_no_licensed_page(project: Project, required: bool) -> None:
    """Django's cache answers before views are known: what a license opened must not be in it."""
    client = cached_site(project, current, required=required)
    for name in ("lic_one", "lic_two"):
        assert client.request("GET", "/", bearer(license_token(sub=name))).json == name
    assert client.request("GET", "/").status == (200 if not required else 401)
    assert client.request("GET", "/", bearer(license_token(sub="lic_3"))).json == "lic_3"


def test_the_per_site_cache_still_serves_public_pages(project: Project) -> None:
    """What needs no license, and was shown without one, may be kept."""
    served: list[int] = []

    def view(request: Any) -> Any:
        served.append(1)
        return HttpResponse("public")

    client = cached_site(project, view, exempt_paths=["/"])
    for _ in range(3):
        assert client.request("GET", "/").body == b"public"
    assert len(served) == 1
