"""The site on a data directory of its own, and its vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from example_projects.license_server.app import from_env

Start = Callable[[], AbstractContextManager[TestClient]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts the site, and ends it; what it keeps is there the next time."""

    @contextmanager
    def start() -> Iterator[TestClient]:
        data = tmp_path / "licet-server"
        with TestClient(from_env({"LICENSE_SERVER_DATA": str(data)})) as client:
            key = (data / "admin-key").read_text().strip()
            client.headers["Authorization"] = f"Bearer {key}"
            yield client

    return start
