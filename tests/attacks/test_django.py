"""The attack table through Django, under WSGI and under ASGI."""

from __future__ import annotations

import pytest

from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract

pytest.importorskip("django")

from tests.adapters import test_django_async, test_django_sync
from tests.adapters.django_project import OnDjango, _project  # noqa: F401 - a fixture


class TestSync(OnDjango, AttackContract, ConductContract):
    """Every row, with synchronous views."""

    adapter = "django"
    server = "wsgi"
    urls = test_django_sync.TestSync.urls


class TestAsync(OnDjango, AttackContract, ConductContract):
    """Every row, with asynchronous views."""

    adapter = "django-async"
    server = "asgi"
    urls = test_django_async.TestAsync.urls
