"""The client of test_reports.py: Starlette's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from example_projects.starlette_reports.app import create_app
from licet import Settings


@pytest.fixture
def get(license_settings: dict[str, Any]) -> Callable[..., tuple[int, Any]]:
    client = TestClient(create_app(Settings(**license_settings, exempt_paths=("/health",))))

    def get(path: str, **headers: str) -> tuple[int, Any]:
        answer = client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        is_json = "json" in answer.headers["content-type"]
        return answer.status_code, answer.json() if is_json else answer.text

    return get
