"""The promises that all adapters keep.

Each adapter's test file subclasses `AdapterContract` and says how to serve the contract's small
application behind its middleware. Permitted differences: exemption marks, and 404 instead of 401
for URLs the framework does not know (Django and Flask enforce after routing).

The application has these routes, and notes every call of a view in `calls`:

    /health          no requirement
    /me              the entitlements as the framework hands them to the view
    /current         the license id that `current_entitlements()` sees
    /reports         requires the feature `analytics`
    /scoped /role    requires the scope `reports:write`, the role `owner`
    /used /seated    consumes `apiCalls`, one of `seats` for the user `bob`
    /raise           raises `RoleNotGranted(members={"required": ["x"]})` itself
    /boom            raises ZeroDivisionError
    /stream          streams the license id that `current_entitlements()` sees, three times
    /claims          the claim `tenant` of the license
    /private         answers with `Cache-Control: public` of its own
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest

from licet import requires_feature
from licet.core.entitlements.context import find_entitlements
from tests import licenses
from tests.adapters.lives import LifeContract
from tests.adapters.reported import ReportContract
from tests.adapters.used import UseContract
from tests.core.license_server import LicenseServer, asked
from tests.licenses import INVALID, OPTIONS, license_token

ROUTES = (
    "/health",
    "/me",
    "/current",
    "/reports",
    "/scoped",
    "/role",
    "/raise",
    "/boom",
    "/stream",
    "/claims",
    "/private",
)


@dataclass
class Answer:
    """A response, as every adapter's client gives it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the values of a field, joined as RFC 9110 has it, None without one."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Client(Protocol):
    """The contract's application behind one adapter."""

    calls: list[str]

    def request(
        self, method: str, path: str, headers: list[tuple[str, str]] | None = None
    ) -> Answer:
        """Send one request. `path` may hold a query string; header lines are sent as given."""
        ...


def me(entitlements: Any) -> dict[str, Any]:
    """Return what the route `/me` answers."""
    return {
        "license_id": entitlements.license_id,
        "plan": entitlements.plan,
        "features": sorted(entitlements.features),
        "seats": entitlements.limit("seats"),
        "status": entitlements.status.name,
        "licensed": bool(entitlements),
    }


def bearer(token: str) -> list[tuple[str, str]]:
    """Return the header lines that present `token`."""
    return [("Authorization", f"Bearer {token}")]


class Serving:
    """How one adapter serves the contract's application. Subclasses implement `client`."""

    #: The column of `tests.rows` that what is shown here counts for.
    adapter: ClassVar[str]
    #: WSGI servers join equal fields before anybody sees them.
    joins_fields: ClassVar[bool] = False

    def client(self, **options: Any) -> Client:
        """Serve the contract's application behind the middleware with these settings."""
        raise NotImplementedError

    def licensed(self, **options: Any) -> Client:
        """Serve it with the suite's issuer."""
        return self.client(**{**OPTIONS, **options})

    def get(self, client: Client, path: str, headers: Any = None) -> Answer:
        """Send a GET."""
        return client.request("GET", path, headers)


class AdapterContract(LifeContract, ReportContract, UseContract, Serving):
    """The suite."""

    # -- licensed ----------------------------------------------------------------------------

    def test_a_licensed_request_sees_its_entitlements(self) -> None:
        """The view sees the license, on the first request and on those from memory."""
        client = self.licensed()
        for _ in range(3):
            answer = self.get(client, "/me", bearer(license_token()))
            assert answer.status == 200
            assert answer.json == {
                "license_id": "lic_1",
                "plan": "professional",
                "features": ["analytics"],
                "seats": 10,
                "status": "ACTIVE",
                "licensed": True,
            }

    def test_code_far_from_the_request_sees_them_too(self) -> None:
        """`current_entitlements()` works inside a view."""
        client = self.licensed()
        token = license_token(sub="lic_far")
        for _ in range(2):
            assert self.get(client, "/current", bearer(token)).json == "lic_far"

    @pytest.mark.row("K04")
    def test_the_scheme_is_read_without_case(self) -> None:
        """K04: `bearer` and `BEARER` are one scheme, and more than one space may follow."""
        client = self.licensed()
        token = license_token()
        for value in (f"bearer {token}", f"BEARER {token}", f"Bearer   {token}"):
            assert self.get(client, "/me", [("Authorization", value)]).status == 200

    def test_claims_can_be_read_while_the_request_lasts(self) -> None:
        """A view reads claims that decide nothing."""
        client = self.licensed()
        answer = self.get(client, "/claims", bearer(license_token(tenant="example")))
        assert answer.json == "example"

    @pytest.mark.row("K19")
    def test_a_header_other_than_authorization_varies_the_answer(self) -> None:
        """K19: caches are told of `X-License-Token`, and the application's own word stands."""
        client = self.licensed()
        headers = [("X-License-Token", license_token())]
        for _ in range(2):
            answer = self.get(client, "/me", headers)
            assert answer.status == 200
            assert "X-License-Token" in (answer.header("Vary") or "")
            assert answer.header("Cache-Control") == "private"
        answer = self.get(client, "/private", headers)
        assert answer.header("Cache-Control") == "public"

    def test_authorization_adds_nothing_to_the_answer(self) -> None:
        """Shared caches keep answers to `Authorization` out by themselves (RFC 9111, 3.5)."""
        answer = self.get(self.licensed(), "/me", bearer(license_token()))
        assert "License" not in (answer.header("Vary") or "")
        assert answer.header("Cache-Control") is None

    # -- refused -----------------------------------------------------------------------------

    def refused(self, client: Client, answer: Answer, status: int, code: str) -> None:
        """Check one refusal in full."""
        assert (answer.status, answer.json["code"]) == (status, code)
        assert answer.json["status"] == status
        assert answer.json["type"] == f"urn:licet:problem:{code.replace('_', '-')}"
        assert (answer.header("Content-Type") or "").startswith("application/problem+json")
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert client.calls == []

    @pytest.mark.row("A01")
    def test_no_license_is_a_challenge_without_error(self) -> None:
        """A01: nothing presented is 401 with a bare challenge (RFC 6750, section 3.1)."""
        client = self.licensed()
        answer = self.get(client, "/me")
        self.refused(client, answer, 401, "license_required")
        assert answer.header("WWW-Authenticate") == 'Bearer realm="licet"'
        assert "Authorization" in (answer.header("Vary") or "")

    @pytest.mark.row("K04")
    def test_a_scheme_of_others_is_no_license(self) -> None:
        """K04: `Basic` counts as absent."""
        client = self.licensed()
        answer = self.get(client, "/me", [("Authorization", "Basic dTpw")])
        self.refused(client, answer, 401, "license_required")

    @pytest.mark.row("R04")
    def test_invalid_licenses_are_refused_alike(self) -> None:
        """R04: forged, tampered, misplaced and malformed get one answer, to the byte."""
        client = self.licensed()
        answers = {name: self.get(client, "/me", bearer(make())) for name, make in INVALID.items()}
        for answer in answers.values():
            self.refused(client, answer, 401, "license_invalid")
            assert 'error="invalid_token"' in (answer.header("WWW-Authenticate") or "")
        assert len({answer.body for answer in answers.values()}) == 1

    @pytest.mark.row("A02")
    def test_an_empty_credential_is_invalid(self) -> None:
        """A02: a listed source that is present but empty is no license, and not absent either."""
        client = self.licensed()
        for headers in ([("Authorization", "Bearer ")], [("X-License-Token", "")]):
            answer = self.get(client, "/me", headers)
            self.refused(client, answer, 401, "license_invalid")

    def test_an_expired_license_is_told_so(self) -> None:
        """Expiry is said once the signature held."""
        client = self.licensed()
        answer = self.get(client, "/me", bearer(licenses.expired()))
        self.refused(client, answer, 401, "license_expired")

    def test_a_license_before_its_time_is_told_so(self) -> None:
        """`nbf` in the future is its own answer."""
        client = self.licensed()
        now = licenses.claims()["iat"]
        answer = self.get(client, "/me", bearer(license_token(nbf=now + 600)))
        self.refused(client, answer, 401, "license_not_active")

    @pytest.mark.row("K01", "K02")
    def test_two_credentials_are_ambiguous_even_when_equal(self) -> None:
        """K01, K02: two sources, two field lines, or two values in one line are 400."""
        client = self.licensed()
        token = license_token()
        assert self.get(client, "/me", bearer(token)).status == 200
        client.calls.clear()
        for headers in (
            [*bearer(token), ("X-License-Token", token)],
            [*bearer(token), *bearer(token)],
            [("Authorization", f"Bearer {token}, Bearer {token}")],
            [("Authorization", f"Basic dTpw, Bearer {token}")],
            [("X-License-Token", token), ("X-License-Token", token)],
        ):
            answer = self.get(client, "/me", headers)
            self.refused(client, answer, 400, "license_ambiguous")

    @pytest.mark.row("K13")
    def test_every_method_is_enforced(self) -> None:
        """K13: HEAD, OPTIONS, DELETE and unknown methods need a license like any other."""
        client = self.licensed()
        for method in ("HEAD", "OPTIONS", "POST", "DELETE", "PROPFIND"):
            answer = client.request(method, "/me")
            assert answer.status == 401
            assert client.calls == []

    @pytest.mark.row("F13")
    def test_headers_that_look_like_entitlements_grant_nothing(self) -> None:
        """F13: entitlements come from the license alone."""
        client = self.licensed()
        headers = [("X-License-Features", "analytics"), ("X-Licet-Entitlements", "all")]
        answer = self.get(client, "/reports", headers)
        self.refused(client, answer, 401, "license_required")

    @pytest.mark.row("K16", "S06")
    def test_what_goes_wrong_inside_is_undecided(self) -> None:
        """K16, S06: an error in the middleware refuses with 503 and never calls the view."""
        client = self.licensed(issuer="https://broken.example")
        from licet.core import gates

        broken = [g for g in gates._gates.values() if g.settings.issuer == "https://broken.example"]
        assert len(broken) == 1, "one gate per process and settings"
        for error in (RuntimeError("x"), RecursionError(), MemoryError()):

            def fail(*args: object, error: Exception = error) -> Any:
                raise error

            broken[0].judge = broken[0].recall = fail  # type: ignore[method-assign,assignment]
            answer = self.get(client, "/me", bearer(license_token()))
            self.refused(client, answer, 503, "license_unavailable")

    def test_keys_out_of_reach_are_undecided(self) -> None:
        """Without keys nobody can tell: 503 with `Retry-After`, not 401."""
        client = self.client(
            issuer=licenses.ISSUER_NAME,
            audience=licenses.AUDIENCE,
            jwks_url="http://127.0.0.1:9/jwks.json",
        )
        answer = self.get(client, "/me", bearer(license_token()))
        self.refused(client, answer, 503, "license_unavailable")
        assert int(answer.header("Retry-After") or 0) >= 1

    # -- requirements ------------------------------------------------------------------------

    def test_an_opaque_key_is_judged_by_the_license_server(self) -> None:
        """The view sees what the server vouches for; neither a no nor silence reaches it."""
        with LicenseServer() as server:
            key, unseen = server.add(sub="lic_1"), server.add()
            client = self.client(**server.options())
            for _ in range(2):
                answer = self.get(client, "/me", bearer(key))
                assert (answer.status, answer.json["license_id"]) == (200, "lic_1")
            assert [asked(question)["domain"] for question in server.questions] == ["testserver"]
            client.calls.clear()
            self.refused(
                client, self.get(client, "/me", bearer("lic_none")), 401, "license_invalid"
            )
            server.close()
            answer = self.get(client, "/me", bearer(unseen))
            self.refused(client, answer, 503, "license_unavailable")
            assert answer.json["correlation_id"]
            assert int(answer.header("Retry-After") or "0") >= 1
            assert self.get(client, "/me", bearer(key)).status == 200

    def test_requirements_of_a_view(self) -> None:
        """Feature, scope and role are demanded of the license, with what is missing."""
        client = self.licensed(upgrade_url="https://acme.example/upgrade")
        assert self.get(client, "/reports", bearer(license_token())).status == 200
        client.calls.clear()
        small = license_token(features=[], scope=None, roles=None)
        for path, code, required in (
            ("/reports", "feature_not_licensed", "analytics"),
            ("/scoped", "scope_not_granted", "reports:write"),
            ("/role", "role_not_granted", "owner"),
        ):
            answer = self.get(client, path, bearer(small))
            self.refused(client, answer, 403, code)
            assert answer.json["required"] == [required]
            assert answer.json["plan"] == "professional"
            assert answer.json["upgrade_url"] == "https://acme.example/upgrade"

    def test_an_error_raised_in_a_view_is_rendered(self) -> None:
        """Raise a `LicenseError` anywhere in a view and the adapter answers."""
        client = self.licensed()
        answer = self.get(client, "/raise", bearer(license_token()))
        assert (answer.status, answer.json["code"]) == (403, "role_not_granted")
        assert answer.json["required"] == ["x"]

    @pytest.mark.row("K17")
    def test_other_errors_of_a_view_are_none_of_ours(self) -> None:
        """K17: what the application raises passes unchanged."""
        client = self.licensed()
        with pytest.raises(ZeroDivisionError):
            self.get(client, "/boom", bearer(license_token()))
        assert find_entitlements() is None

    # -- optional, exempt --------------------------------------------------------------------

    def test_where_a_license_is_not_required_absence_passes(self) -> None:
        """`required=False` lets absence through as UNLICENSED; a bad license is still refused."""
        client = self.licensed(required=False)
        answer = self.get(client, "/me")
        assert (answer.status, answer.json["status"]) == (200, "UNLICENSED")
        assert answer.json["licensed"] is False
        client.calls.clear()
        answer = self.get(client, "/reports")
        self.refused(client, answer, 401, "license_required")
        answer = self.get(client, "/me", bearer(licenses.expired()))
        self.refused(client, answer, 401, "license_expired")

    def test_exempt_paths_need_no_license(self) -> None:
        """An exempt path is served without, with, and with a bad license."""
        client = self.licensed(exempt_paths=["/health", "/me"])
        assert self.get(client, "/health").status == 200
        assert self.get(client, "/me").json["status"] == "UNLICENSED"
        assert self.get(client, "/me", bearer("nonsense")).json["status"] == "UNLICENSED"
        answer = self.get(client, "/me", bearer(license_token()))
        assert answer.json["status"] == "ACTIVE", "the keys are in memory, so it can be known"
        client.calls.clear()
        self.refused(client, self.get(client, "/current"), 401, "license_required")

    def test_an_exempt_path_never_waits_for_the_network(self) -> None:
        """What cannot be known at once is UNLICENSED there."""
        client = self.client(
            issuer=licenses.ISSUER_NAME,
            audience=licenses.AUDIENCE,
            jwks_url="http://127.0.0.1:9/never-asked.json",
            exempt_paths=["/me"],
        )
        answer = self.get(client, "/me", bearer(license_token()))
        assert answer.json["status"] == "UNLICENSED"

    @pytest.mark.row("K11")
    def test_paths_that_only_look_exempt_are_not(self) -> None:
        """K11: another spelling of an exempt path is another path."""
        client = self.licensed(exempt_paths=["/health", "/static/*"])
        for path in (
            "/healthz",
            "/health/",
            "/HEALTH",
            "/health/../me",
            "//health",
            "/health;x",
            "/health%2f..%2fme",
            "/health%00",
            "/static/../me",
            "/static/%2e%2e/me",
            "/static/..%2fme",
            "/staticx",
            "/health%5c..%5cme",
        ):
            answer = self.get(client, path)
            assert answer.status in (400, 401, 404), path
            assert client.calls == [], path

    # -- other sources -----------------------------------------------------------------------

    @pytest.mark.row("K08")
    def test_a_cookie_speaks_only_for_its_own_site(self) -> None:
        """K08: a cookie counts on safe methods, else only where the site itself asks."""
        client = self.licensed(sources=["cookie:license"])
        cookie = ("Cookie", f"theme=dark; license={license_token()}")
        answer = self.get(client, "/me", [cookie])
        assert answer.status == 200
        assert "Cookie" in (answer.header("Vary") or "")
        for extra in (
            [("Sec-Fetch-Site", "same-origin")],
            [("Sec-Fetch-Site", "none")],
            [("Host", "app.example"), ("Origin", "http://app.example")],
        ):
            answer = client.request("POST", "/me", [cookie, *extra])
            assert answer.status in (200, 405), extra
        client.calls.clear()
        for extra in (
            [],
            [("Sec-Fetch-Site", "cross-site")],
            [("Sec-Fetch-Site", "same-site")],
            [("Host", "app.example"), ("Origin", "http://evil.example")],
            [("Host", "app.example"), ("Origin", "null")],
        ):
            answer = client.request("POST", "/me", [cookie, *extra])
            self.refused(client, answer, 401, "license_required")

    @pytest.mark.row("K07")
    def test_a_cookie_twice_is_ambiguous(self) -> None:
        """K07: a tossed cookie must not be picked over the real one."""
        client = self.licensed(sources=["cookie:license"])
        token = license_token()
        answer = self.get(client, "/me", [("Cookie", f"license={token}; license={token}")])
        self.refused(client, answer, 400, "license_ambiguous")

    def test_a_raw_cookie_header_is_no_credential(self) -> None:
        """A token that is the whole `Cookie` field is not the cookie that is listed."""
        client = self.licensed(sources=["x-license-token", "cookie:license"])
        token = license_token()
        assert self.get(client, "/me", [("X-License-Token", token)]).status == 200
        client.calls.clear()
        answer = self.get(client, "/me", [("Cookie", token)])
        self.refused(client, answer, 401, "license_required")

    @pytest.mark.row("K05", "K06")
    def test_a_query_parameter_is_read_only_where_it_is_listed(self) -> None:
        """K05, K06: ignored unless listed; then once, and kept out of caches and referrers."""
        token = license_token()
        client = self.licensed()
        answer = self.get(client, f"/me?license={token}")
        self.refused(client, answer, 401, "license_required")
        client = self.licensed(sources=["query:license"])
        answer = self.get(client, f"/me?license={token}")
        assert answer.status == 200
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("Referrer-Policy") == "no-referrer"
        client.calls.clear()
        answer = self.get(client, f"/me?license={token}&license={token}")
        self.refused(client, answer, 400, "license_ambiguous")

    # -- installation ------------------------------------------------------------------------

    def test_an_installation_license_covers_every_request(self, tmp_path: Path) -> None:
        """One license from a file; requests carry none, and theirs would not be looked at."""
        path = tmp_path / "license.jwt"
        path.write_text(license_token(sub="lic_installed") + "\n")
        client = self.licensed(license=f"file:{path}")
        for headers in (None, bearer("nonsense")):
            answer = self.get(client, "/current", headers)
            assert answer.json == "lic_installed"
            assert answer.header("Cache-Control") is None

    def test_an_installation_without_a_license_is_402(self, tmp_path: Path) -> None:
        """Nobody at the client can present something better; the answer says what is wrong."""
        for why, text in (
            ("missing", None),
            ("expired", licenses.expired()),
            ("invalid", "rubbish"),
        ):
            path = tmp_path / f"{why}.jwt"
            if text:
                path.write_text(text)
            client = self.licensed(license=f"file:{path}", exempt_paths=["/health"])
            answer = self.get(client, "/me")
            self.refused(client, answer, 402, "installation_unlicensed")
            assert answer.json["error"] == why
            assert self.get(client, "/health").status == 200

    # -- isolation ---------------------------------------------------------------------------

    def test_nothing_is_left_after_a_request(self) -> None:
        """The thread that served a licensed request is unlicensed afterwards."""
        client = self.licensed()
        assert self.get(client, "/me", bearer(license_token())).status == 200
        assert self.get(client, "/stream", bearer(license_token())).status == 200
        assert find_entitlements() is None
        with pytest.raises(RuntimeError, match="LicenseMiddleware"):
            requires_feature("analytics")(lambda: None)()
        client.calls.clear()
        self.refused(client, self.get(client, "/me"), 401, "license_required")

    def test_a_streamed_body_keeps_its_own_entitlements(self) -> None:
        """What a body says while it streams is its own request's."""
        client = self.licensed()
        token = license_token(sub="lic_stream")
        for _ in range(2):
            assert self.get(client, "/stream", bearer(token)).body == b"lic_stream" * 3

    def test_requests_side_by_side_see_only_their_own(self) -> None:
        """Many threads, many licenses: none sees another's."""
        client = self.licensed()
        tokens = {f"lic_{n}": license_token(sub=f"lic_{n}") for n in range(16)}
        barrier = threading.Barrier(8)

        def ask(number: int) -> list[bool]:
            barrier.wait(10)
            ids = [f"lic_{(number + step) % 16}" for step in range(12)]
            return [self.get(client, "/current", bearer(tokens[i])).json == i for i in ids]

        with ThreadPoolExecutor(8) as pool:
            assert all(all(seen) for seen in pool.map(ask, range(8)))
