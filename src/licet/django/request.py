"""A Django request as the core sees it, and as a licensed view may annotate it."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from licet.core.entitlements import Entitlements
from licet.core.environ import EnvironFacts
from licet.core.errors import BadHost
from licet.core.request.paths import spelt, whole


class LicensedHttpRequest(HttpRequest):
    """What a view behind `LicenseMiddleware` is given; for annotations, never made.

    Attributes:
        entitlements: what the request may do.
    """

    entitlements: Entitlements
    #: Django's own mark for its per-site cache: whether the answer may be kept.
    _cache_update_cache: bool


class DjangoFacts(EnvironFacts):
    """The facts of a Django request.

    Scheme and host are what Django makes of them: it alone knows `SECURE_PROXY_SSL_HEADER`,
    `USE_X_FORWARDED_HOST` and `ALLOWED_HOSTS`.
    """

    __slots__ = ("request",)

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.META)
        self.request = request

    is_judged = True

    @property
    def lists_hosts(self) -> bool:
        """Whether `ALLOWED_HOSTS` leaves any host out."""
        return "*" not in settings.ALLOWED_HOSTS

    @property
    def method(self) -> str:
        """The request method as views are dispatched by it."""
        return self.request.method or ""

    @property
    def path(self) -> str:
        """The path as sent, where the server keeps it; else what Django decoded, encoded anew."""
        # Unlike what servers write into the variables, Django's path and root are text.
        arrived = spelt(self.request.path)
        raw: bytes | None = (getattr(self.request, "scope", None) or {}).get("raw_path")
        if raw is not None:
            arrived = raw.decode("latin-1")
        elif self.target[:1] == "/":
            arrived = self.target.partition("?")[0]
        return whole(arrived, str(self.environ.get("SCRIPT_NAME", "")))

    @property
    def scheme(self) -> str:
        """The scheme, after `SECURE_PROXY_SSL_HEADER`."""
        return self.request.scheme or "http"

    def origin(self) -> str | None:
        """Return scheme and host of this request.

        Raises:
            BadHost: Django does not serve this host.
        """
        return f"{self.scheme}://{self.vouched_host()}".lower()

    def vouched_host(self) -> str:
        """Return host and port after `ALLOWED_HOSTS` and `USE_X_FORWARDED_HOST`.

        Raises:
            BadHost: Django does not serve this host, or the request names none.
        """
        if "HTTP_HOST" not in self.environ and not (
            settings.USE_X_FORWARDED_HOST and "HTTP_X_FORWARDED_HOST" in self.environ
        ):
            # Django would go by the name of the server, which is nobody's request.
            raise BadHost("missing_host")
        try:
            return self.request.get_host()
        except DisallowedHost:
            raise BadHost("disallowed_host") from None

    def server_variable(self, name: str) -> object:
        """Return the variable `name`; under ASGI, the extension."""
        scope = getattr(self.request, "scope", None)
        if scope is None:
            return super().server_variable(name)
        return (scope.get("extensions") or {}).get(name)
