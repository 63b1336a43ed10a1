"""The client of test_reports.py: Django's own.

In a project of your own pytest-django reads DJANGO_SETTINGS_MODULE, and `client` and `settings`
are all it takes. Here other Django projects are tested in the same process, so that this one's
settings hold for one test at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.conf import settings
from django.test import Client, override_settings

from licet import Settings


@pytest.fixture
def get(license_settings: dict[str, Any]) -> Iterator[Callable[..., tuple[int, Any]]]:
    if not settings.configured:
        settings.configure(SECRET_KEY="for tests")
    if not apps.ready:
        django.setup()
    if (project := str(Path(__file__).parent)) not in sys.path:
        sys.path.append(project)
    values = vars(import_module("reports.settings"))
    names = {name: value for name, value in values.items() if name.isupper()}
    with override_settings(**names | {"LICET_SETTINGS": Settings(**license_settings)}):
        client = Client(SERVER_NAME="localhost")

        def get(path: str, **headers: str) -> tuple[int, Any]:
            answer = client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            is_json = "json" in answer["Content-Type"]
            return answer.status_code, answer.json() if is_json else answer.text

        yield get
