"""A server of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from example_projects.license_server import app
from example_projects.license_server.testing import ADMIN_KEY, ISSUER, VALIDATION_KEY
from licet.issuer import Issuer


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(
        app.create_app(
            Issuer.generate(ISSUER),
            ADMIN_KEY,
            "acme-reports",
            validation_key=VALIDATION_KEY,
            cache_for=60,
        ),
        raise_server_exceptions=False,
    ) as client:
        yield client
