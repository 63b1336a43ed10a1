"""Reports for whoever has a license for them, on Flask.

    python -m flask run --port 8001

Settings come from LICET_… environment variables; without them licenses are those of
`licet serve --dev` on this machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Flask, Request, Response, g, render_template, request
from flask.typing import ResponseReturnValue

from licet import Settings, consumes, requires_feature, requires_role
from licet.flask import Licet, webhook_blueprint

DEFAULTS = {"LICET_ISSUER": "http://127.0.0.1:8000", "LICET_AUDIENCE": "acme-reports"}

#: Seconds between two events of /events.
TICK = 0.5

licensing = Licet()
pages = Blueprint("pages", __name__)


@pages.get("/health")
@licensing.exempt
def health() -> ResponseReturnValue:
    return {"status": "ok"}


@pages.get("/")
def overview() -> ResponseReturnValue:
    return render_template("overview.html")


@pages.get("/me")
def me() -> ResponseReturnValue:
    entitlements = g.entitlements
    return {
        "license": entitlements.license_id,
        "customer": entitlements.customer,
        "plan": entitlements.plan,
        "status": entitlements.status.value,
        "features": sorted(entitlements.features),
        "roles": sorted(entitlements.roles),
        "seats": entitlements.limit("seats"),
    }


@pages.get("/reports")
@requires_feature("analytics")
def reports() -> ResponseReturnValue:
    return {"reports": ["revenue", "churn"]}


@pages.get("/export")
@requires_feature("export")
@consumes("exports")
def export() -> ResponseReturnValue:
    return {"rows": [["month", "revenue"], ["2026-01", 1200]]}


def user_of(request: Request) -> str:
    """Return who asks: in your application whoever is logged in, `current_user.id`."""
    return request.headers.get("X-User", "somebody")


@pages.get("/workspace")
@consumes("seats", by=user_of)
def workspace() -> ResponseReturnValue:
    return {"user": user_of(request)}


@pages.get("/admin-report")
@requires_role("admin")
def admin_report() -> ResponseReturnValue:
    return {"reports": ["audit"]}


@pages.get("/events")
@requires_feature("analytics")
def events() -> ResponseReturnValue:
    return Response(ticks(), mimetype="text/event-stream")


def ticks() -> Iterator[str]:
    """Say what there is to say, for ever: `LICET_RECHECK_EVERY` ends it with its license."""
    while True:
        yield 'data: {"visitors": 17}\n\n'
        time.sleep(TICK)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(config or {"LICET_SETTINGS": Settings.from_env(DEFAULTS | os.environ)})
    licensing.init_app(app)
    app.register_blueprint(pages)
    if app.config["LICET_SETTINGS"].webhook_receive_secret:
        app.register_blueprint(webhook_blueprint())
    return app
