"""The reference license server: issues licenses, says whether they hold, and tells of changes.

Starlette on SQLite, in one process. `licet serve` runs it; what it speaks is `openapi.json`.
"""

from __future__ import annotations

from licet._requires import extra

with extra("starlette", "server"):
    import starlette  # noqa: F401  # what all of this stands on

from licet.server.app import LicenseServer
from licet.server.configuration import Configuration
from licet.server.errors import ServerError

__all__ = ["Configuration", "LicenseServer", "ServerError"]
