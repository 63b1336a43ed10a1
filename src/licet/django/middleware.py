"""Licet for Django: lets a request through to its view only with a license that holds.

It decides in `process_view`, so an unknown URL stays 404 and the view's marks are known, and
trusts of the request only what Django itself says of scheme and host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.utils.cache import patch_vary_headers

from licet.core.caching import licensed_headers
from licet.core.connections import Recheck, is_event_stream
from licet.core.entitlements import Entitlements, context
from licet.core.errors import LicenseError
from licet.core.flow import arun, run
from licet.core.usage.rates import rate_fields
from licet.django.conf import Licensing, licensing
from licet.django.decorators import is_exempt
from licet.django.refusal import refuse
from licet.django.request import DjangoFacts, LicensedHttpRequest
from licet.django.streaming import follow

__all__ = ["LicenseMiddleware"]

Response = HttpResponseBase
View = Callable[..., Any]


class LicenseMiddleware:
    """Puts `request.entitlements` on every request it lets through.

    Args:
        get_response: the rest of the middleware, and the view.

    Raises:
        ConfigError: settings that cannot work.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        licensing()  # settings that cannot work fail here, not at the first request
        self.get_response = get_response
        # Django would run a synchronous `process_view` under ASGI in a thread, for every request.
        self.process_view: Callable[..., Any] = self._process_view
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
            self.process_view = self._aprocess_view

    def __call__(self, request: LicensedHttpRequest) -> Response | Awaitable[Response]:
        """Serve one request, and leave nothing of its entitlements on this thread."""
        if self._is_async:
            return self.__acall__(request)
        before, response = context.current.get(), None
        try:
            response = self.get_response(request)
        finally:
            _leave(request, response, before)
        return cast("Response", response)

    async def __acall__(self, request: LicensedHttpRequest) -> Response:
        """Serve one request in its task; else as `__call__`."""
        before, response = context.current.get(), None
        try:
            response = await self.get_response(request)
        finally:
            _leave(request, response, before)
        return cast("Response", response)

    def _process_view(
        self, request: LicensedHttpRequest, view_func: View, view_args: Any, view_kwargs: Any
    ) -> Response | None:
        licensed = licensing()
        try:
            entitlements = _recall(licensed, request, view_func)
            if entitlements is None:
                entitlements = run(licensed.gate.decide(DjangoFacts(request)))
        except Exception as error:
            entitlements = licensed.gate.let_pass(error)
            if entitlements is None:
                return refuse(request, licensed.gate.as_refusal(error))
        _admit(licensed, request, entitlements)
        return None

    async def _aprocess_view(
        self, request: LicensedHttpRequest, view_func: View, view_args: Any, view_kwargs: Any
    ) -> Response | None:
        licensed = licensing()
        try:
            entitlements = _recall(licensed, request, view_func)
            if entitlements is None:
                entitlements = await arun(licensed.gate.decide(DjangoFacts(request)))
        except Exception as error:
            entitlements = licensed.gate.let_pass(error)
            if entitlements is None:
                # In a thread: templates and the project's own function may ask the database.
                return await sync_to_async(refuse)(request, licensed.gate.as_refusal(error))
        _admit(licensed, request, entitlements)
        return None

    def process_exception(
        self, request: LicensedHttpRequest, exception: Exception
    ) -> Response | None:
        """Answer a refusal that the view, or the template it renders, raised."""
        return refuse(request, exception) if isinstance(exception, LicenseError) else None


def _recall(licensed: Licensing, request: LicensedHttpRequest, view: View) -> Entitlements | None:
    """Return what is known of a request without waiting, None where it has to be judged."""
    if _needs_none(licensed, request, view):
        return licensed.gate.peek(DjangoFacts(request))
    return licensed.memory.recall(request.META, request)


def _needs_none(licensed: Licensing, request: LicensedHttpRequest, view: View) -> bool:
    """Whether a request needs no license."""
    return is_exempt(view) or (
        licensed.exempts_paths and request.path_info in licensed.gate.exempt_paths
    )


def _admit(licensed: Licensing, request: LicensedHttpRequest, entitlements: Entitlements) -> None:
    request.entitlements = entitlements
    context.current.set(entitlements)
    if entitlements.source or not licensed.settings.required or licensed.settings.mode == "report":
        # Django's per-site cache answers before `process_view`, hence before any license is
        # looked at, and does not know that `Authorization` makes an answer private.
        request._cache_update_cache = False


def _leave(
    request: LicensedHttpRequest, response: Response | None, before: Entitlements | None
) -> None:
    """Leave nothing behind: not on this thread, and no credential once the body is out.

    Adds what caches must be told. There is no response where an error passes through.
    """
    context.current.set(before)
    entitlements = getattr(request, "entitlements", None)
    if not isinstance(entitlements, Entitlements):
        return
    if response is None:
        entitlements.release()
        return
    additions = licensed_headers(entitlements.source)
    if licensing().settings.rate_limit_headers:
        additions = (*additions, *rate_fields(entitlements.rates()))
    if additions:
        # Django raises an error, and catches it, for each question about an absent field.
        present = {name.lower() for name in response.headers}
        for name, value in additions:
            if name.lower() not in present:
                response.headers[name] = value
            elif name == "Vary":
                patch_vary_headers(response, [value])
    # A file is sent by its server as it lies: no code of the view runs for it.
    if response.streaming and getattr(response, "file_to_stream", None) is None:
        recheck = _recheck(request, response, entitlements)
        follow(cast("StreamingHttpResponse", response), entitlements, recheck)
    else:
        entitlements.release()


def _recheck(
    request: LicensedHttpRequest, response: Response, entitlements: Entitlements
) -> Recheck | None:
    """Return what looks at the license of an event stream again; None for any other answer."""
    licensed = licensing()
    every = licensed.settings.recheck_every
    if every is None or not is_event_stream(response.headers.get("Content-Type")):
        return None
    # What needs no license, or has none, does not end with one.
    match = request.resolver_match
    if not entitlements.license_id or match is None or _needs_none(licensed, request, match.func):
        return None
    return Recheck(licensed.gate, entitlements, DjangoFacts(request), every)
