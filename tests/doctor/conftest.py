"""The ward, and an environment in which nobody has set anything."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.doctor.ward import Plain, Ward

_OTHERS = "HTTPS_PROXY HTTP_PROXY ALL_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE".split()


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*_OTHERS, *map(str.lower, _OTHERS), "CURL_CA_BUNDLE"]
    for name in [*os.environ]:
        if name.startswith("LICET_") or name in names:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no resolver asked: names are those of this machine, or none."""
    ask = socket.getaddrinfo

    def find(host: Any, *options: Any, **more: Any) -> Any:
        # No resolver is asked for a label of more than 63 octets (RFC 1035, section 2.3.4).
        nowhere = len(host.partition(".")[0]) > 63
        assert nowhere or host == "localhost" or ip_address(host), host
        return ask(host, *options, **more)

    monkeypatch.setattr(socket, "getaddrinfo", find)


# No longer than that: its thread is to be gone when tests elsewhere fork.
@pytest.fixture(scope="module")
def plain() -> Iterator[Plain]:
    """The server of all that need no other."""
    with Plain() as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The authority that is trusted."""
    return trustme.CA()


@pytest.fixture
def ward(
    plain: Plain, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Ward]:
    """Servers, and the doctor."""
    made = Ward(plain, authority, monkeypatch, tmp_path)
    with made.stack:
        yield made
