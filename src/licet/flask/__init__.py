"""Licet for Flask (>= 3.0).

    app.config["LICET_ISSUER"] = "…"
    app.config["LICET_AUDIENCE"] = "…"
    Licet(app)                                  # or licet = Licet() and licet.init_app(app)

Every URL that the application knows then needs a license. Views find the entitlements at
`g.entitlements`, templates at `entitlements` and `license_banner()`, all code at
`licet.current_entitlements()`.

Around `app.wsgi_app` the plain WSGI middleware does the same in less time, but before Flask has
seen the URL, and so without exemption marks; `render_errors` is for what views raise there:

    app.wsgi_app = licet.wsgi.LicenseMiddleware(app.wsgi_app, settings)
    render_errors(app, settings)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from licet._requires import extra
from licet.core.caching import licensed_headers
from licet.core.connections import Recheck, is_event_stream
from licet.core.entitlements import Entitlements, context
from licet.core.entitlements.banner import Banner, banner
from licet.core.environ import EnvironFacts, EnvironMemory, environ_path
from licet.core.errors import ConfigError, LicenseRequired
from licet.core.flow import run
from licet.core.gates import gate_for
from licet.core.settings import Settings
from licet.core.settings.spellings import from_mapping, from_options
from licet.core.usage.asked import register_request_source
from licet.core.usage.rates import rate_fields
from licet.wsgi import ENTITLEMENTS

with extra("flask", "flask"):
    import flask
    from flask import Blueprint, Flask, Request, Response, current_app
    from werkzeug.local import LocalProxy

from licet.flask.commands import commands
from licet.flask.refusal import render_errors
from licet.flask.webhooks import EXEMPT, webhook_blueprint

__all__ = ["Licet", "render_errors", "webhook_blueprint"]

V = TypeVar("V", bound="Callable[..., Any] | Blueprint")

#: Where a request keeps the entitlements that were current around it.
AROUND = "licet.around"

# What stands behind Flask's proxies: each use of a proxy itself costs as much as a look-up of a
# license in memory.
_request: Callable[[], Request] = flask.request._get_current_object  # type: ignore[attr-defined]
_g: Callable[[], Any] = flask.g._get_current_object


class Licet:
    """Lets requests through to the views of a Flask application only with a license that holds.

    Unknown URLs stay 404, and static files and Flask's own answer to a CORS preflight need no
    license; any other OPTIONS does. One object may serve several applications.

    Args:
        app: the application; or call `init_app` later.
        settings: what counts as a valid license; by default the `LICET_…` entries of the
            application's own configuration.
        options: the fields of `Settings`, instead of `settings`.

    Raises:
        ConfigError: settings that cannot work.
    """

    def __init__(
        self, app: Flask | None = None, settings: Settings | None = None, **options: Any
    ) -> None:
        given = settings is not None or options
        self._settings = from_options(settings, options) if given else None
        self._exempt: set[object] = set()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Guard `app`.

        Raises:
            ConfigError: settings that cannot work, or an application that is guarded already.
        """
        if "licet" in app.extensions:
            raise ConfigError("settings", "are there already for this application", "do it once")
        settings = self._settings or from_mapping(app.config)
        # One set, whether receivers of pushed events come before this or after.
        self._exempt |= app.extensions.get(EXEMPT, set())
        app.extensions[EXEMPT] = self._exempt
        guard = app.extensions["licet"] = _Guard(settings, self._exempt)
        # First of all on the way in, and last on the way out, whatever was registered before.
        app.before_request(guard.before)
        app.before_request_funcs[None].insert(0, app.before_request_funcs[None].pop())
        app.after_request(guard.after)
        app.after_request_funcs[None].insert(0, app.after_request_funcs[None].pop())
        app.jinja_env.globals["entitlements"] = LocalProxy(_in_template)
        app.jinja_env.globals["license_banner"] = _banner
        app.cli.add_command(commands)
        render_errors(app, settings)

    def exempt(self, view: V) -> V:
        """Let a view, or all views of a blueprint, be seen without a license; a decorator.

        Their entitlements are what is known at once, else `UNLICENSED`.

        Raises:
            TypeError: neither a view function nor a blueprint.
        """
        if not isinstance(view, Blueprint) and (inspect.isclass(view) or not callable(view)):
            raise TypeError("exempt a view function, what as_view() returns, or a blueprint")
        self._exempt.add(view)
        return view


class _Guard:
    """Licet on one application."""

    def __init__(self, settings: Settings, exempt: set[object]) -> None:
        self.settings = settings
        self.gate = gate_for(settings)
        self._every = settings.recheck_every
        self._memory = EnvironMemory(self.gate)
        self._exempts_paths = bool(self.gate.exempt_paths)
        self._exempt = exempt

    def before(self) -> None:
        """Judge a request before its view."""
        request = _request()
        try:
            entitlements = self._judge(request)
        except Exception as error:
            unlicensed = self.gate.let_pass(error)
            if unlicensed is None:
                # An application context pushed by hand outlives requests, and with it their `g`.
                _g().entitlements = None
                raise self.gate.as_refusal(error) from None
            entitlements = unlicensed
        # The environ is the request's own: it is there while the body streams, when a context
        # variable is not, and in copies of the request's context, when `g` is not.
        request.environ[ENTITLEMENTS] = _g().entitlements = entitlements
        around = context.current.get()
        if around is not None:
            request.environ[AROUND] = around
            context.current.set(entitlements)
            self._have_teardown()

    def _judge(self, request: Request) -> Entitlements:
        gate, environ, rule = self.gate, request.environ, request.url_rule
        if rule is None:
            # Flask says 404, 405 or redirects; a page of the application may tell the plan.
            return gate.peek(EnvironFacts(environ))
        if rule.endpoint.endswith("static") and _is_static(rule.endpoint):
            return gate.enforcement.without(LicenseRequired())
        if request.method == "OPTIONS" and _is_preflight(request):
            return gate.enforcement.without(LicenseRequired())
        if (self._exempts_paths or self._exempt) and self._is_exempt(request):
            return gate.peek(EnvironFacts(environ))
        entitlements = self._memory.recall(environ)
        if entitlements is None:
            entitlements = run(gate.decide(EnvironFacts(environ)))
        return entitlements

    def _is_exempt(self, request: Request) -> bool:
        if self._exempts_paths and environ_path(request.environ) in self.gate.exempt_paths:
            return True
        if not self._exempt:
            return False
        # Decorators above the mark leave what they wrap in `__wrapped__`.
        view: object = current_app.view_functions[request.endpoint or ""]
        while view is not None:
            # What has no hash cannot have been marked.
            if isinstance(view, Hashable) and view in self._exempt:
                return True
            view = getattr(view, "__wrapped__", None)
        # Dots in an endpoint need not mean blueprints.
        return any(current_app.blueprints.get(name) in self._exempt for name in request.blueprints)

    def after(self, response: Response) -> Response:
        """Tell caches of a licensed answer, and end the use of its credential."""
        entitlements: Entitlements | None = _request().environ.get(ENTITLEMENTS)
        if entitlements is None:
            return response
        additions = licensed_headers(entitlements.source)
        if self.settings.rate_limit_headers:
            additions = (*additions, *rate_fields(entitlements.rates()))
        if additions:
            # Werkzeug raises an error, and catches it, for each question about an absent field.
            present = {name.lower() for name, _ in response.headers}
            for name, value in additions:
                if name.lower() not in present:
                    response.headers.add(name, value)
                elif name == "Vary":
                    response.vary.add(value)
        if response.is_streamed:
            if self._every is not None and is_event_stream(response.content_type):
                self._follow(response, entitlements, self._every)
            response.call_on_close(entitlements.release)
        else:
            entitlements.release()
        return response

    def _follow(self, response: Response, entitlements: Entitlements, every: float) -> None:
        """End an event stream with its license; as `licet.wsgi.connections`, with its limits."""
        request = _request()
        # What needs no license, or has none, does not end with one.
        if not entitlements.license_id or request.url_rule is None or self._is_exempt(request):
            return
        body: Any = response.response
        recheck = Recheck(self.gate, entitlements, EnvironFacts({**request.environ}), every)
        response.response = recheck.pieces(body)
        if hasattr(body, "close"):
            response.call_on_close(body.close)

    def _have_teardown(self) -> None:
        """See to it that `teardown` is called, last of all."""
        # Each function there costs every request, and few applications ever need this one. The
        # list is replaced, not changed: other threads may stand in it.
        functions = current_app.teardown_request_funcs
        if self.teardown not in functions[None]:
            functions[None] = [self.teardown, *functions[None]]

    def teardown(self, error: BaseException | None) -> None:
        """Put back what was current around the request."""
        if context.current.get() is not None:
            around = _request().environ.pop(AROUND, None)
            if around is not None:
                context.current.set(around)


def _is_static(endpoint: str) -> bool:
    """Whether Flask itself serves a file; a view that is merely called `static` is a view."""
    module: str = getattr(current_app.view_functions[endpoint], "__module__", None) or ""
    return endpoint.rpartition(".")[2] == "static" and module.partition(".")[0] == "flask"


def _is_preflight(request: Request) -> bool:
    """Whether this `OPTIONS` is a CORS preflight that Flask itself answers, and no view."""
    return (
        getattr(request.url_rule, "provide_automatic_options", False)
        and "Origin" in request.headers
        and "Access-Control-Request-Method" in request.headers
    )


def _of_request() -> Entitlements | None:
    return flask.request.environ.get(ENTITLEMENTS) if flask.has_request_context() else None


def _current_request() -> object:
    return _request() if flask.has_request_context() else None


context.register_source(_of_request)
register_request_source(_current_request)


def _in_template() -> Entitlements:
    entitlements = context.find_entitlements()
    return Entitlements.unlicensed() if entitlements is None else entitlements


def _banner() -> Banner:
    return banner(context.find_entitlements())
