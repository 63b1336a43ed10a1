"""What users write, as type checkers see it: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_type

import licet
from licet import (
    UNLIMITED,
    BadHost,
    Charge,
    ConfigError,
    ConstraintViolated,
    Entitlements,
    FeatureNotLicensed,
    HttpsRequired,
    InstallationUnlicensed,
    IssuerSettings,
    LicenseAmbiguous,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseNotActive,
    LicenseRejected,
    LicenseRequired,
    LicenseRevoked,
    LicenseUnavailable,
    LicetError,
    LimitExceeded,
    PossessionInvalid,
    PossessionRequired,
    RoleNotGranted,
    ScopeNotGranted,
    Settings,
    Status,
    aconsume,
    averify,
    bind,
    constraint,
    consume,
    consumes,
    current_entitlements,
    events,
    requires_feature,
    requires_role,
    requires_scope,
    verify,
)
from licet.core.request.circumstances import Circumstances
from licet.issuer import Issuer
from licet.possession import ProofKey, certificate_thumbprint
from licet.testing import entitled, license_settings, make_license
from licet.validation import (
    Answer,
    Denied,
    Dialect,
    Granted,
    Introspection,
    Keygen,
    KeyMissing,
    LicenseServer,
    Question,
    Undecided,
)
from licet.validation import Request as Sent
from licet.validation import Response as Received

# -- settings ------------------------------------------------------------------------------------

settings = Settings(
    issuer="https://licenses.acme.example",
    audience=("acme-reports", "acme-exports"),
    sources=("authorization", "cookie:license"),
    exempt_paths=("/health",),
    jwks_max_age=300,
    leeway=1.5,
    trusted_proxies=("10.0.0.0/8", "unix"),
    domain_from="origin",
    require_https=True,
    external_url="https://reports.example",
    store="sqlite:///var/lib/reports/licet.db",
)
assert_type(settings.leeway, float)
assert_type(settings.required, bool)
assert_type(Settings.from_env(), Settings)
assert_type(Settings.from_env({"LICET_ISSUER": "x"}), Settings)
assert_type(Settings.from_mapping({"LICET_ISSUER": "x"}), Settings)
several = Settings(
    issuers={"https://a.example": IssuerSettings(audience="acme-reports", jwks={"keys": []})}
)

# -- license servers -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Shop:
    asks_domain = True

    region: str = "eu"

    def request(self, question: Question, server: LicenseServer) -> Sent:
        assert_type(question.credential, str)
        assert_type(question.domain, str | None)
        assert_type(question.asked_at, float)
        assert_type(question.license_id, str | None)
        headers = {"authorization": f"Bearer {server.credentials}"}
        return Sent("POST", assert_type(server.url, str), headers, question.nonce.encode())

    def read(self, question: Question, response: Received, server: LicenseServer) -> Answer:
        assert_type(response.status, int)
        assert_type(response.headers, Mapping[str, str])
        try:
            key = server.key("1", "EdDSA")
        except KeyMissing:
            raise
        if not server.unsigned and not key.verify(b"input", response.body):
            raise Undecided("signature")
        if question.digest != "…":
            raise Undecided("digest", "replay")
        if response.body == b"no":
            return Denied("revoked", signed=True, issued_at=question.asked_at, license_id="lic_1")
        return Granted({"sub": "lic_1", "features": ["a"]}, signed=True, cache_for=60)


class Half:
    asks_domain = False


as_dialect: Dialect = Shop()
also_dialects: list[Dialect] = [Introspection(), Keygen("00" * 32, product="p"), Keygen(b"", "p")]
no_dialect: Dialect = Half()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
Undecided("nonce", "forgery")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Denied(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

asking = Settings(
    issuer="https://licenses.acme.example",
    audience="acme-reports",
    validation_url="https://licenses.acme.example/v1/licenses/validate",
    validation_protocol=Shop(),
    validation_credentials="…",
    validation_jwks=Path("answers.json"),
    validation_unsigned=False,
    license_key_pattern="lic_[a-z]{32}",
    revalidate_every=3600,
    outage_limit=86_400,
    online_timeout=1.5,
    tls_minimum="1.3",
    tls_pins=("sha256/…", "sha256/…"),
    tls_client_cert=Path("client.pem"),
    tls_client_key="client.key",
)
withdrawing = Settings(
    issuer="https://licenses.acme.example",
    audience="acme-reports",
    license="file:/etc/acme-reports/license",
    license_state="/var/lib/acme-reports/licet",
    refresh_url="https://licenses.acme.example/v1/licenses/refresh",
    status_origins=("https://status.example",),
    status_max_stale=86_400,
    webhook_receive_secret="whsec_…",
    recheck_every=60,
)
assert_type(asking.online_timeout, float)
assert_type(withdrawing.license_state, str | Path | None)
assert_type(withdrawing.refresh_url, str | None)
assert_type(withdrawing.status_origins, tuple[str, ...])
assert_type(withdrawing.status_max_stale, float)
assert_type(withdrawing.webhook_receive_secret, str | None)
assert_type(withdrawing.recheck_every, float | None)
assert_type(asking.revalidate_every, float | None)
assert_type(asking.tls_pins, tuple[str, ...] | None)
by_name = Settings(issuer="…", audience="…", validation_protocol="introspection")
of_one = IssuerSettings("acme-reports", validation_url="https://…", validation_protocol=Keygen)

# -- entitlements --------------------------------------------------------------------------------

entitlements = verify("token", settings)
assert_type(entitlements, Entitlements)
assert_type(verify(b"token", settings, at=datetime.now(UTC)), Entitlements)
assert_type(verify("token", settings, at=1_800_000_000.0), Entitlements)
assert_type(verify("token", settings, host="reports.example", ip="203.0.113.9"), Entitlements)
assert_type(verify("token", settings, origin="https://app.example", region="DE"), Entitlements)
assert_type(entitlements.license_id, str)
assert_type(entitlements.customer, str | None)
assert_type(entitlements.plan, str | None)
assert_type(entitlements.features, frozenset[str])
assert_type(entitlements.scopes, frozenset[str])
assert_type(entitlements.roles, frozenset[str])
assert_type(entitlements.limits, Mapping[str, int])
assert_type(entitlements.status, Status)
assert_type(entitlements.issued_at, datetime | None)
assert_type(entitlements.expires_at, datetime | None)
assert_type(entitlements.grace_until, datetime | None)
assert_type(entitlements.verified_by, Literal["local", "online"])
assert_type(entitlements.claims, Mapping[str, object])
assert_type(entitlements.allows("analytics"), bool)
assert_type(entitlements.limit("seats"), int)
unlimited: int = UNLIMITED
assert_type(bool(entitlements), bool)
entitlements.require("analytics", "export")
seats_left: bool = entitlements.limit("seats") > 10
licensed: bool = entitlements.status in (Status.ACTIVE, Status.TRIAL, Status.GRACE)
reduced: bool = entitlements.status is Status.DOWNGRADED
nothing: bool = entitlements.status is Status.UNLICENSED

with bind(entitlements) as bound:
    assert_type(bound, Entitlements)
    assert_type(current_entitlements(), Entitlements)


async def judge() -> None:
    assert_type(await averify("token", settings), Entitlements)
    assert_type(await averify(b"token", settings, at=0, host="reports.example"), Entitlements)


# What is read-only is read-only, and what is no credential or moment is none.
entitlements.plan = "mine"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
entitlements.limits["seats"] = 1  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
verify(None, settings)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
verify("token", settings, ip=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
verify("token", settings, at="now")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# -- requirements keep the signature of what they decorate ---------------------------------------


@requires_feature("analytics")
def plain(page: int, *, size: str = "A4") -> list[str]:
    return [size] * page


@requires_feature("analytics", "export", any_of=True)
@requires_scope("reports:read")
async def coroutine(page: int) -> bytes:
    return bytes(page)


class Service:
    @requires_role("admin", "owner", any_of=True)
    def method(self, name: str) -> int:
        return len(name)

    @classmethod
    @requires_role("admin")
    def make(cls, name: str) -> Service:
        return cls()


assert_type(plain(1), list[str])
assert_type(plain(1, size="A5"), list[str])
assert_type(Service().method("x"), int)
assert_type(Service.make("x"), Service)
as_callable: Callable[[int], list[str]] = plain
as_coroutine: Callable[[int], Awaitable[bytes]] = coroutine

plain("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
requires_feature(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
requires_feature(plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def awaits() -> None:
    assert_type(await coroutine(1), bytes)
    assert_type(await aconsume("apiCalls", 2), Charge)
    assert_type(await aconsume("seats", key="alice"), Charge)


# -- what is used --------------------------------------------------------------------------------


@consumes("exports", cost=2)
def export(page: int) -> bytes:
    return bytes(page)


@consumes("seats", by=lambda request: request.user.pk)
async def seated(page: int) -> bytes:
    return bytes(page)


as_export: Callable[[int], bytes] = export
as_seated: Callable[[int], Awaitable[bytes]] = seated
assert_type(consume("exports"), Charge)
assert_type(consume("exports", 3).amount, int)
consume("seats", key=7).refund()

export("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
consumes(export)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
consume("exports", "1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
consume("seats", key=b"alice")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


# -- constraints of an application's own ---------------------------------------------------------


@constraint("tenant")
def tenant(value: str, facts: Circumstances) -> bool:
    return facts.host() == f"{value}.reports.example"


@constraint("floor")
class Floor:
    def __init__(self, value: Any) -> None:
        self.value = int(value)

    def __call__(self, facts: Circumstances) -> bool:
        return facts.fields("x-floor") == [str(self.value)]


as_judge: Callable[[str, Circumstances], bool] = tenant
assert_type(Floor(3), Floor)

# -- errors --------------------------------------------------------------------------------------


def refuse(kind: int) -> None:
    match kind:
        case 1:
            raise FeatureNotLicensed("why", members={"required": ["analytics"]})
        case 2:
            raise LicenseRevoked(code="license_suspended")
        case 3:
            raise LicenseUnavailable("why", retry_after=3)
        case _:
            raise LicenseRequired


try:
    refuse(1)
except (
    BadHost,
    ConstraintViolated,
    HttpsRequired,
    InstallationUnlicensed,
    LicenseAmbiguous,
    LicenseExpired,
    LicenseInvalid,
    LicenseNotActive,
    LicenseRejected,
    LimitExceeded,
    PossessionInvalid,
    PossessionRequired,
    RoleNotGranted,
    ScopeNotGranted,
) as refusal:
    assert_type(refusal.code, str)
except LicenseError as error:
    assert_type(error.status, int)
    assert_type(error.detail, str)
    assert_type(error.reason, str)
    assert_type(error.members, dict[str, object])
except ConfigError as error:
    assert_type(error.setting, str)
    assert_type(error.remedy, str)
    as_value_error: ValueError = error
except LicetError as error:
    as_exception: Exception = error

assert_type(licet.__version__, str)

# -- issuer and testing --------------------------------------------------------------------------

issuer = Issuer.generate("https://licenses.acme.example", algorithm="ES256")
assert_type(issuer, Issuer)
assert_type(
    issuer.issue(audience="acme-reports", subject="lic_1", features=["analytics"], tenant="x"), str
)
narrow = issuer.issue(
    audience="acme-reports",
    subject="lic_1",
    domains=["*.reports.example"],
    ip_ranges=("203.0.113.0/24",),
    regions=["DE"],
    time_windows=[{"days": ["mon", "tue"], "from": "07:00", "to": "19:00", "tz": "UTC"}],
    must_understand=["domains"],
)
assert_type(narrow, str)
listed = "https://licenses.acme.example/status/1"
issuer.issue(audience="a", subject="s", status={"status_list": {"idx": 412, "uri": listed}})
assert_type(issuer.status_list(listed, {412: "revoked"}, ttl=300), str)
assert_type(issuer.status_list(listed, {412: 2}, size=1_000, bits=4, expires_in=60), str)
issuer.status_list(listed, {412: "gone"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
issuer.status_list(listed, {"412": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
assert_type(issuer.rotate(), str)
assert_type(Issuer.load("issuer.json"), Issuer)
offline = Settings(**license_settings())
assert_type(make_license(["analytics"], expires_in=-1), str)

# -- possession ----------------------------------------------------------------------------------

key = ProofKey.generate("ES256")
assert_type(key, ProofKey)
bound_license = make_license(["analytics"], cnf={"jkt": key.jkt})
issuer.issue(audience="a", subject="s", cnf={"jkt": key.jkt, "x5t#S256": key.jkt})
assert_type(key.proof("GET", "https://reports.example/", bound_license), str)
assert_type(key.proof("GET", "https://reports.example/", bound_license, nonce="n"), str)
assert_type(certificate_thumbprint(b"der"), str)

with entitled(["analytics"], limits={"seats": 1}) as as_under_a_license:
    assert_type(as_under_a_license, Entitlements)


@entitled(features=["analytics"])
def test_something(number: int) -> str:
    return str(number)


assert_type(test_something(1), str)

# -- any ASGI or WSGI application ----------------------------------------------------------------

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from licet import asgi, wsgi

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        assert_type(current_entitlements(), Entitlements)

    wrapped_asgi = asgi.LicenseMiddleware(asgi_app, settings)
    wrapped_asgi = asgi.LicenseMiddleware(asgi_app, issuer="…", audience="…")

    def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        return [environ["licet.entitlements"].license_id.encode()]

    wrapped_wsgi: WSGIApplication = wsgi.LicenseMiddleware(wsgi_app, settings)

    takes_asgi = asgi.WebhookReceiver(settings)
    assert_type(takes_asgi.settings, Settings)
    asgi.LicenseMiddleware(asgi.WebhookReceiver(issuer="…", audience="…"), settings)
    takes_wsgi: WSGIApplication = wsgi.WebhookReceiver(settings)
    assert_type(wsgi.WebhookReceiver(issuer="…", audience="…").settings, Settings)

# -- Starlette and FastAPI -----------------------------------------------------------------------

if TYPE_CHECKING:
    from fastapi import FastAPI, WebSocket
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from licet.asgi import WebhookReceiver
    from licet.fastapi import (
        LICENSE_RESPONSES,
        CurrentEntitlements,
        RequiresFeature,
        RequiresRole,
        RequiresScope,
    )
    from licet.starlette import LicenseMiddleware, entitlements_of

    @requires_feature("analytics")
    async def homepage(request: Request) -> Response:
        return JSONResponse({"plan": assert_type(entitlements_of(request), Entitlements).plan})

    class Endpoint(HTTPEndpoint):
        @requires_feature("analytics")
        async def get(self, request: Request) -> Response:
            return JSONResponse({"id": request.state.entitlements.license_id})

    starlette_app = Starlette(
        routes=[
            Route("/", homepage),
            Route("/endpoint", Endpoint),
            Route("/licet/webhooks", WebhookReceiver(settings)),
        ],
        middleware=[
            Middleware(LicenseMiddleware, issuer="…", audience="…"),
            Middleware(LicenseMiddleware, settings),
        ],
    )

    fastapi_app = FastAPI(responses=LICENSE_RESPONSES)
    fastapi_app.add_middleware(LicenseMiddleware, issuer="…", audience="…")

    @fastapi_app.get("/reports", dependencies=[RequiresFeature("analytics"), RequiresRole("admin")])
    async def reports(entitlements: CurrentEntitlements) -> dict[str, str | None]:
        return {"plan": assert_type(entitlements, Entitlements).plan}

    @fastapi_app.get("/lines", dependencies=[RequiresScope("a", "b", any_of=True)])
    @requires_feature("analytics")
    def lines(page: int, entitlements: CurrentEntitlements) -> int:
        return entitlements.limit("lines") * page

    @fastapi_app.websocket("/socket")
    async def socket(websocket: WebSocket, entitlements: CurrentEntitlements) -> None:
        await websocket.send_text(assert_type(entitlements_of(websocket), Entitlements).license_id)


# -- Flask ---------------------------------------------------------------------------------------

if TYPE_CHECKING:
    from flask import Blueprint, Flask, g

    from licet.flask import Licet, render_errors, webhook_blueprint

    flask_app = Flask(__name__)
    extension = Licet()
    extension.init_app(flask_app)
    Licet(flask_app, settings)
    Licet(flask_app, issuer="…", audience="…")
    blueprint = extension.exempt(Blueprint("public", __name__))
    assert_type(blueprint, Blueprint)
    render_errors(flask_app, settings)
    assert_type(webhook_blueprint(), Blueprint)
    flask_app.register_blueprint(webhook_blueprint("/licet/webhooks", settings))
    webhook_blueprint(url="/licet/webhooks", issuer="…", audience="…")

    @flask_app.get("/reports")
    @requires_feature("analytics")
    def flask_reports() -> dict[str, object]:
        return {"plan": g.entitlements.plan, "id": current_entitlements().license_id}

    @flask_app.get("/health")
    @extension.exempt
    def health() -> str:
        return "ok"


# -- events --------------------------------------------------------------------------------------


@events.subscribe("license.revoked", "license.expiring")
def tell(event: events.Event) -> None:
    assert_type(event.data, Mapping[str, object])


assert_type(tell, events.Subscription)
tell.cancel()

# -- Django --------------------------------------------------------------------------------------

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse, JsonResponse
    from django.utils.decorators import method_decorator
    from django.views import View

    from licet.django.decorators import license_exempt
    from licet.django.request import LicensedHttpRequest
    from licet.django.views import LicenseRequiredMixin, webhook_receiver

    @requires_feature("analytics")
    def django_report(request: LicensedHttpRequest) -> JsonResponse:
        return JsonResponse({"plan": assert_type(request.entitlements, Entitlements).plan})

    @requires_feature("analytics")
    async def django_async_report(request: HttpRequest, pk: int) -> HttpResponse:
        return HttpResponse(current_entitlements().license_id)

    class ReportView(LicenseRequiredMixin, View):
        required_features = ("analytics",)

        @method_decorator(requires_role("admin"))
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("ok")

    @license_exempt
    def django_health(request: HttpRequest) -> HttpResponse:
        return HttpResponse("ok")

    assert_type(django_health(HttpRequest()), HttpResponse)
    assert_type(webhook_receiver(HttpRequest()), HttpResponse)
