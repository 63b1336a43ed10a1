"""A license server to try things with: what nobody has said is settled for them.

Once, at the first start; whatever was settled before stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from licet.server.app import LicenseServer
from licet.server.configuration import Configuration
from licet.server.settlement import UnsettledError

AUDIENCE = "acme-reports"


def opened(configuration: Configuration, url: str) -> LicenseServer:
    """Return the server; at its first start its address is its issuer, where none is named.

    Args:
        configuration: how it runs.
        url: where it is reached.

    Raises:
        ServerError: it cannot run so.
    """
    usual = {"issuer": url, "audience": AUDIENCE}
    missing: dict[str, Any] = {}
    while True:
        try:
            return LicenseServer(replace(configuration, **missing))
        except UnsettledError as error:
            missing[error.name] = usual.pop(error.name)
