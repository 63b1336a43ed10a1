"""A license server in a directory of its own, and who calls it."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.core.hands import Hands

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from licet.server import LicenseServer
    from licet.server.storage.database import Database
    from tests.server.callers import Calls

ISSUER, AUDIENCE = "https://licenses.acme.example", "acme-reports"

MEMORY = Path("/dev/shm")  # noqa: S108 - each test has a directory of its own there
#: Without Starlette there is no server to test.
collect_ignore_glob = [] if importlib.util.find_spec("starlette") else ["test_*.py"]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where the system has one, for what is synced waits for a disk."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="licet-", dir=MEMORY) as directory:
        yield Path(directory)


@pytest.fixture
def hands() -> Hands:
    """The clock of `server`."""
    return Hands()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database by itself, with nothing in it."""
    from licet.server.storage.database import Database

    database = Database(tmp_path / "licet.db")
    yield database
    database.close()


@pytest.fixture
def server(tmp_path: Path, hands: Hands) -> Iterator[LicenseServer]:
    """A license server at its first start, with a key file."""
    from licet.server import Configuration, LicenseServer

    configuration = Configuration(data=tmp_path / "data", issuer=ISSUER, audience=AUDIENCE)
    with LicenseServer(configuration, clock=hands.clock) as server:
        yield server


@pytest.fixture
def client(server: LicenseServer) -> Iterator[TestClient]:
    """Talks to `server`, without a key."""
    from starlette.testclient import TestClient

    with TestClient(server.app) as client:
        yield client


@pytest.fixture
def admin(server: LicenseServer) -> dict[str, str]:
    """The headers of the vendor."""
    return {"Authorization": f"Bearer {server.api_keys.create('admin', 'vendor').key}"}


@pytest.fixture
def validation(server: LicenseServer) -> dict[str, str]:
    """The headers of an application."""
    return {"Authorization": f"Bearer {server.api_keys.create('validation', 'reports').key}"}


@pytest.fixture
def calls(client: TestClient, admin: dict[str, str], validation: dict[str, str]) -> Calls:
    """Calls `server` as its vendor and as an application."""
    from tests.server.callers import Calls

    return Calls(client, admin, validation)
