"""Circumstances, by settings that a test changes."""

from __future__ import annotations

from typing import Any

from licet.core.request.circumstances import Observer
from licet.core.settings import Settings
from tests.licenses import OPTIONS


def observer(**options: Any) -> Observer:
    """Return what tells circumstances by the tests' settings, with `options` in place of them."""
    return Observer(Settings(**{**OPTIONS, **options}))
