"""What templates see, by the functions here that `TEMPLATES` names among its context processors."""

from __future__ import annotations

from django.http import HttpRequest

from licet.core.entitlements import Entitlements
from licet.core.entitlements.banner import Banner, banner


def entitlements(request: HttpRequest) -> dict[str, Entitlements]:
    """Return `entitlements` for every template: `UNLICENSED` ones where no view was reached.

    Pages for unknown URLs are rendered before any license is looked at.
    """
    found = getattr(request, "entitlements", None)
    return {"entitlements": Entitlements.unlicensed() if found is None else found}


def license_banner(request: HttpRequest) -> dict[str, Banner]:
    """Return `license_banner` for every template, see `licet.core.entitlements.banner.Banner`."""
    return {"license_banner": banner(getattr(request, "entitlements", None))}
