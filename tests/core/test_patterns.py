"""Expressions out of settings, by which a stranger could have a process stand still."""

from __future__ import annotations

import re
from time import thread_time

import pytest

from licet import ConfigError, Settings
from licet.core.settings.patterns import PATIENCE, is_slow
from tests.core.license_server import LicenseServer
from tests.licenses import ISSUER

QUICK = [
    r"lic_[A-Za-z0-9]{32}",
    r"lic_[A-Za-z0-9]+",
    r"[A-Za-z0-9._-]+",
    r"[^ ]+",
    r"[A-Z0-9]+(-[A-Z0-9]+)*",
    r"([A-Z0-9]+-)*[A-Z0-9]+",
    r"(?:[A-Z0-9]{4}-){3}[A-Z0-9]{4}",
    r"(?:lic|key)_[a-z]{2,8}",
    r"\(lic\)_[]()[]+",
]
SLOW = [
    r"([A-Z0-9]+-?)+",
    r"lic_(?:[A-Z0-9]{1,4}-?)+",
    r"(a|a)+",
    r"lic_(?:(?:[a-z]+)*x)?[0-9]",
    r"lic_(\w+\d*)+-",
    r"lic_[a-z]*[a-z]*[a-z]*[a-z]*0",
    r"(.*a){12}",
]


@pytest.mark.row("R10")
@pytest.mark.parametrize("pattern", QUICK)
def test_what_is_written_with_care_is_taken(pattern: str) -> None:
    """And is quick about the longest text that there can be."""
    assert not is_slow(pattern)
    for text in ("A" * 256, "A-" * 128, "lic_" + "a" * 251 + "!"):
        began = thread_time()
        re.fullmatch(pattern, text, re.ASCII)
        assert thread_time() - began < 10 * PATIENCE


@pytest.mark.row("R10")
@pytest.mark.parametrize("pattern", SLOW)
def test_what_could_take_for_ever_fails_at_the_start(pattern: str) -> None:
    """Before any request, and within seconds; the setting is named."""
    began = thread_time()
    with LicenseServer() as server:
        options = server.options(jwks=ISSUER.jwks(), jwks_url=None)
    with pytest.raises(ConfigError) as error:
        Settings(**{**options, "license_key_pattern": pattern})
    assert error.value.setting == "license_key_pattern"
    assert "very long" in error.value.problem
    assert thread_time() - began < 5
