"""The receiver of pushed events as a Flask blueprint.

    app.register_blueprint(webhook_blueprint())

It needs no license on an application that `Licet` guards, whichever of the two comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import flask
from flask import Blueprint, Flask, Response, current_app

from licet.core.environ import EnvironFacts
from licet.core.gates import gate_for
from licet.core.revocation.reception import Reception
from licet.core.settings import Settings
from licet.core.settings.spellings import from_mapping, from_options

if TYPE_CHECKING:
    from flask.blueprints import BlueprintSetupState
    from flask.sansio.app import App

#: Where an application keeps the views that need no license, before and after `Licet` comes.
EXEMPT = "licet.exempt"
SECRET = "LICET_WEBHOOK_RECEIVE_SECRET"  # noqa: S105 - its name


def webhook_blueprint(
    url: str = "/licet/webhooks", settings: Settings | None = None, **options: Any
) -> Blueprint:
    """Return a blueprint that takes the events which a license server pushes (Standard Webhooks).

    What is said is in force on the next request of everything with the same settings.

    Args:
        url: where, exactly.
        settings: by default those of the application's `Licet`, else the `LICET_…` entries of its
            configuration. Where neither is there at registration, the first delivery looks again.
        options: the fields of `Settings`, instead of `settings`.

    Raises:
        ConfigError: settings that cannot work, or no `webhook_receive_secret`; here where they
            are given, else when the blueprint is registered.
    """
    given: Reception | None = None
    if settings is not None or options:
        given = Reception(gate_for(from_options(settings, options)))
    own: WeakKeyDictionary[Flask, Reception] = WeakKeyDictionary()

    def receive() -> Response:
        reception = given or own.get(_app())
        if reception is None:
            reception = own[_app()] = _reception(_app())
        facts = EnvironFacts(flask.request.environ)
        answer = reception.respond(facts.method, facts.fields, _reader())
        response = current_app.response_class(answer.body, answer.status)
        del response.headers["Content-Type"]
        response.headers.update(dict(answer.headers))
        return response

    def registered(state: BlueprintSetupState) -> None:
        app = state.app
        if given is None and ("licet" in app.extensions or SECRET in app.config):
            # Not kept: settings of a `Licet` that comes later would be the application's.
            _reception(app)
        app.extensions.setdefault(EXEMPT, set()).add(receive)

    blueprint = Blueprint("licet_webhooks", __name__)
    blueprint.record(registered)
    blueprint.add_url_rule(
        url, "receive", receive, methods=["POST"], provide_automatic_options=False
    )
    return blueprint


def _reception(app: App) -> Reception:
    guard = app.extensions.get("licet")
    return Reception(gate_for(from_mapping(app.config) if guard is None else guard.settings))


def _app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app


def _reader() -> Callable[[int], bytes]:
    request = flask.request
    kept: BytesIO | None = None

    def read(size: int) -> bytes:
        nonlocal kept
        if kept is None:
            piece = request.stream.read(size)
            if piece:
                return piece
            # Something before this view may have had Flask read the body, which then keeps it.
            kept = BytesIO(request.get_data())
        return kept.read(size)

    return read
