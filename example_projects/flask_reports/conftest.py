"""The client of test_reports.py: Flask's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from example_projects.flask_reports.app import create_app
from licet import Settings


@pytest.fixture
def get(license_settings: dict[str, Any]) -> Callable[..., tuple[int, Any]]:
    client = create_app({"LICET_SETTINGS": Settings(**license_settings)}).test_client()

    def get(path: str, **headers: str) -> tuple[int, Any]:
        answer = client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        return answer.status_code, answer.get_json() if answer.is_json else answer.text

    return get
