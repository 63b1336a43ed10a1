"""A refusal as a Django response.

The project's own function (`LICET_ERROR_RESPONSE`) wins; then a browser that prefers HTML gets
the page `licet/refused.html`, which a project may override; all else gets problem details
(RFC 9457). Whatever goes wrong on the way ends in the latter, never in a 500.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template import Engine, TemplateDoesNotExist
from django.template.loader import render_to_string

from licet.core.errors import LicenseError
from licet.core.problem import MEDIA_TYPE, Problem, document, may_tell, problem
from licet.core.settings import Settings
from licet.django.conf import licensing

TEMPLATE = "licet/refused.html"

logger = logging.getLogger("licet")


def refuse(request: HttpRequest, error: LicenseError) -> HttpResponseBase:
    """Return the answer to `error`. Runs code of the project: not for the event loop."""
    settings, error_response = licensing().settings, licensing().error_response
    answer = problem(
        error, settings, tell=may_tell(django_settings.DEBUG, request.META.get("REMOTE_ADDR"))
    )
    try:
        if error_response is not None:
            return _checked(error_response(request, error))
        if request.get_preferred_type([MEDIA_TYPE, "application/json", "text/html"]) == "text/html":
            return _response(answer, _page(request, error, settings), "text/html; charset=utf-8")
    except Exception:
        logger.exception("the answer to a refusal could not be made; a plain one is given")
    return _response(answer, answer.body, MEDIA_TYPE)


def _response(answer: Problem, body: str | bytes, media_type: str) -> HttpResponse:
    headers = {**dict(answer.headers), "Content-Type": media_type}
    headers["Content-Length"] = str(len(body.encode() if isinstance(body, str) else body))
    return HttpResponse(body, status=answer.status, headers=headers)


def _checked(response: HttpResponseBase) -> HttpResponseBase:
    if not isinstance(response, HttpResponseBase):
        raise TypeError(f"LICET_ERROR_RESPONSE returned {type(response).__name__}, no response")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _page(request: HttpRequest, error: LicenseError, settings: Settings) -> str:
    variables = {"problem": document(error, settings)}
    try:
        return render_to_string(TEMPLATE, variables, request)
    except TemplateDoesNotExist:
        # The app is not installed, or the project has no templates at all.
        return _own_engine().render_to_string(TEMPLATE, variables)


@cache
def _own_engine() -> Engine:
    return Engine(dirs=[str(Path(__file__).parent / "templates")])
