"""A Django request as the core sees it, and as a licensed view may annotate it."""

from __future__ import annotations

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from licet.core.entitlements import Entitlements
from licet.core.environ import EnvironFacts
from licet.core.errors import BadHost


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

    @property
    def method(self) -> str:
        """The request method as views are dispatched by it."""
        return self.request.method or ""

    def origin(self) -> str | None:
        """Return scheme and host of this request.

        Raises:
            BadHost: Django does not serve this host.
        """
        try:
            return f"{self.request.scheme}://{self.request.get_host()}".lower()
        except DisallowedHost:
            raise BadHost("disallowed_host") from None
