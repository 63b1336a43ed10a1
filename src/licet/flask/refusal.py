"""A refusal as a Flask response.

A handler of the application for `LicenseError`, or for a class of it, is Flask's to prefer. Else
a browser that prefers HTML gets the page `licet/refused.html`, which the application may have a
template for; all else gets problem details (RFC 9457), also where that page cannot be made.
"""

from __future__ import annotations

import logging

import flask
from flask import Flask, Response, current_app

from licet.core.errors import LicenseError, LicetError
from licet.core.problem import MEDIA_TYPE, document, may_tell, problem
from licet.core.settings import Settings

TEMPLATE = "licet/refused.html"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ problem.title }}</title>
<h1>{{ problem.title }}</h1>
<p>{{ problem.detail }}</p>
{% if problem.upgrade_url %}<p><a href="{{ problem.upgrade_url }}">Upgrade</a></p>
{% endif %}
<small>{{ problem.status }} {{ problem.code }} {{ problem.correlation_id }}</small>
</html>
"""

logger = logging.getLogger("licet")


def render_errors(app: Flask, settings: Settings) -> None:
    """Answer each `LicenseError` that code of `app` raises in a request.

    `Licet` does so for its applications; one behind `licet.wsgi` needs it said. Handlers for
    status codes are for Werkzeug's exceptions, and are not asked.

    Args:
        app: the application.
        settings: for `upgrade_url`, and for the sources that `Vary` names.
    """

    def render(error: LicetError) -> Response:
        if not isinstance(error, LicenseError):
            raise error
        return _answer(error, settings)

    # For the base, so that the application's own handler for `LicenseError` is the nearer one,
    # whichever of the two was registered first.
    app.register_error_handler(LicetError, render)


def _answer(error: LicenseError, settings: Settings) -> Response:
    tell = may_tell(current_app.debug, flask.request.remote_addr)
    answer = problem(error, settings, tell=tell)
    response = current_app.response_class(answer.body, answer.status, dict(answer.headers))
    response.vary.add("Accept")
    if _prefers_html():
        try:
            response.set_data(_page(error, settings))
        except Exception:
            logger.exception("the page for a refusal could not be made; a plain answer is given")
        else:
            response.content_type = "text/html; charset=utf-8"
    return response


def _prefers_html() -> bool:
    accept = flask.request.accept_mimetypes
    return accept["text/html"] > max(accept[MEDIA_TYPE], accept["application/json"])


def _page(error: LicenseError, settings: Settings) -> str:
    templates = current_app.jinja_env
    template = templates.select_template([TEMPLATE, templates.from_string(PAGE)])
    return flask.render_template(template, problem=document(error, settings))
