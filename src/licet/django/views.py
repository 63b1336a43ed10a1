"""Class-based views that demand something of the license; and one that is told of licenses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.http import HttpRequest
from django.views import View

from licet.core.entitlements.context import current_entitlements
from licet.core.entitlements.requirements import requires_feature, requires_role, requires_scope
from licet.django.webhooks import webhook_receiver

__all__ = ["LicenseRequiredMixin", "webhook_receiver"]


class LicenseRequiredMixin:
    """Demands a license that holds, and what the attributes name. The first of the bases.

        class Report(LicenseRequiredMixin, TemplateView):
            required_features = ("analytics",)

    Attributes:
        required_features: features of which the license must have all; one may stand alone.
        required_scopes: likewise scopes.
        required_roles: likewise roles.

    Raises:
        TypeError: at import, where a base before it would answer without asking it.
    """

    required_features: ClassVar[str | Iterable[str]] = ()
    required_scopes: ClassVar[str | Iterable[str]] = ()
    required_roles: ClassVar[str | Iterable[str]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if View in order and order.index(View) < order.index(LicenseRequiredMixin):
            raise TypeError(f"{cls.__qualname__}: LicenseRequiredMixin must stand before the view")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Hand the request on to the view, sync or async, if the license allows it.

        Raises:
            LicenseError: it does not.
        """
        current_entitlements().require_license()
        handler: Callable[..., Any] = super().dispatch  # type: ignore[misc]  # the view's
        for demand, names in (
            (requires_role, self.required_roles),
            (requires_scope, self.required_scopes),
            (requires_feature, self.required_features),
        ):
            names = (names,) if isinstance(names, str) else tuple(names)
            if names:
                handler = demand(*names)(handler)
        return handler(request, *args, **kwargs)
