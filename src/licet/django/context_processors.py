"""What templates see: `licet.django.context_processors.entitlements` in `TEMPLATES`."""

from __future__ import annotations

from django.http import HttpRequest

from licet.core.entitlements import Entitlements


def entitlements(request: HttpRequest) -> dict[str, Entitlements]:
    """Return `entitlements` for every template: `UNLICENSED` ones where no view was reached.

    Pages for unknown URLs are rendered before any license is looked at.
    """
    found = getattr(request, "entitlements", None)
    return {"entitlements": Entitlements.unlicensed() if found is None else found}
