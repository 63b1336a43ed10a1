"""Settings of withdrawal, refresh and open connections: checked and kept as the others."""

from __future__ import annotations

import base64
import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from licet.core.errors import ConfigError
from licet.core.settings import Settings
from tests.core.written import made, refused
from tests.licenses import ISSUER_NAME

DAY = 86_400
CANARY = b"canary-93b1-" * 2
SECRET = "whsec_" + base64.b64encode(CANARY).decode()
URL = "https://licenses.acme.example/v1/licenses/refresh"
#: All that a license needs to be refreshed.
REFRESHED: dict[str, Any] = {
    "license": "file:/etc/acme/license",
    "license_state": "/var/lib/acme",
    "refresh_url": URL,
}


def test_nothing_is_kept_refreshed_received_or_rechecked_by_default() -> None:
    """The defaults of the table; a status list serves three days past its time to live."""
    settings = made()
    assert settings.license_state is None
    assert settings.refresh_url is None
    assert settings.webhook_receive_secret is None
    assert settings.recheck_every is None
    assert settings.status_origins == ()
    assert settings.status_max_stale == 3 * DAY


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("license_state", value) for value in ("", 5, b"state", "a\0b", "a\nb", ["state"])),
        *(("refresh_url", value) for value in ("", 5, "a.example", "ftp://a.example/", "https://")),
        *(("refresh_url", value) for value in ("https://u:p@a.example/", "https://a.example/#x")),
        *(("refresh_url", value) for value in ("https://a.example/\r\n", "https://é.example/")),
        *(("refresh_url", value) for value in ("http://a.example/", "https://a:99999/", "//a/")),
        *(("status_max_stale", value) for value in (-1, 366 * DAY + 1, None, True, "3")),
        *(("status_max_stale", value) for value in (float("nan"), float("inf"), 10**400)),
        *(("recheck_every", value) for value in (0, 0.09, -1, 366 * DAY + 1, True, "60")),
        *(("recheck_every", value) for value in (float("nan"), float("inf"))),
        *(("webhook_receive_secret", value) for value in ("", 5, b"whsec_", "whsec_", [SECRET])),
        *(("status_origins", value) for value in ("https://a.example", 5, None, [5], [None])),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_cannot_work_is_refused_by_name(setting: str, value: object) -> None:
    """E10, E12, S13: each is a ConfigError that names the setting and the remedy."""
    assert refused(**{**REFRESHED, setting: value}).setting == setting


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("license_state", (None, "state", "/var/lib/acme")),
        ("status_max_stale", (0, 0.5, 366 * DAY)),
        ("recheck_every", (None, 0.1, 60, 366 * DAY)),
    ],
)
def test_the_ends_of_each_range_are_inside(setting: str, values: tuple[object, ...]) -> None:
    """What the table permits is kept as it was written."""
    for value in values:
        assert getattr(made(**{setting: value}), setting) == value


def test_a_state_may_be_named_by_a_path() -> None:
    """And is the same as by its text."""
    assert made(license_state=Path("/var/lib/acme")) == made(license_state="/var/lib/acme")


# -- refresh -----------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["license", "license_state"])
def test_a_refresh_needs_a_license_and_a_place_to_keep_what_comes(missing: str) -> None:
    """Without either the address is a mistake, and the remedy names what is missing."""
    assert made(**REFRESHED).refresh_url == URL
    error = refused(**{**REFRESHED, missing: None})
    assert error.setting == "refresh_url"
    assert missing in error.remedy
    assert made(**{**REFRESHED, "refresh_url": None})


def test_a_license_is_sent_over_https() -> None:
    """H15: or to loopback, or to a host that `insecure_http_hosts` names."""
    url = "http://licenses:8000/refresh"
    assert made(**{**REFRESHED, "refresh_url": "http://127.0.0.1:8000/refresh"})
    assert refused(**{**REFRESHED, "refresh_url": url}).setting == "refresh_url"
    assert "insecure_http_hosts" in refused(**{**REFRESHED, "refresh_url": url}).remedy
    assert made(**{**REFRESHED, "refresh_url": url}, insecure_http_hosts=["licenses"])


def test_one_address_refreshes_the_license_of_any_issuer() -> None:
    """It stands beside `issuers`, and is checked there too."""
    issuers: Any = {"https://a.example": {"audience": "acme"}}
    assert Settings(issuers=issuers, **REFRESHED).refresh_url == URL
    with pytest.raises(ConfigError, match="refresh_url"):
        Settings(issuers=issuers, **{**REFRESHED, "refresh_url": "http://a.example/"})


# -- origins -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://status.example", "https://status.example"),
        ("HTTPS://Status.Example/", "https://status.example"),
        ("https://status.example:443", "https://status.example"),
        ("https://status.example:8443/", "https://status.example:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://127.0.0.1:443", "http://127.0.0.1:443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_origins_are_kept_in_one_form(written: str, kept: str) -> None:
    """As addresses of lists are compared with them: lower case, without a default port."""
    assert made(status_origins=[written]).status_origins == (kept,)


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "status.example", "//status.example", "https://", "https:status.example"),
        *("ftp://status.example", "file:///lists", "data:,x", "null", "*"),
        *("https://status.example/lists", "https://status.example?x", "https://status.example#x"),
        *("https://user@status.example", "https://user:word@status.example", "https://@a.example"),
        *("https://[::1", "https://a.example:99999", "https://a.example:x", "https://a\n.example"),
        *("https://*.example", "https://a b.example", "https://é.example", " https://a.example"),
        *("https://a\\b.example", "https://a%41.example"),
    ],
)
def test_an_origin_is_scheme_host_and_port(wrong: str) -> None:
    """Anything else is refused, for it could not be what a list comes from."""
    assert refused(status_origins=[wrong]).setting == "status_origins"


@pytest.mark.parametrize("again", ["https://A.example", "https://a.example:443/"])
def test_an_origin_is_named_once(again: str) -> None:
    """In whatever spelling it is repeated."""
    assert refused(status_origins=["https://a.example", again]).setting == "status_origins"


# -- the secret of pushed events ------------------------------------------------------------------


def encoded(length: int, prefix: str = "whsec_") -> str:
    """Return a secret of so many bytes."""
    return prefix + base64.b64encode(CANARY * 3)[: -(-length // 3) * 4].decode()


def test_a_secret_has_24_bytes_or_more() -> None:
    """As Standard Webhooks asks for, with its prefix or without."""
    for length in (24, 30, 63):
        for prefix in ("whsec_", ""):
            secret = encoded(length, prefix)
            assert made(webhook_receive_secret=secret).webhook_receive_secret == secret
    for length in (3, 15, 21):
        for prefix in ("whsec_", ""):
            error = refused(webhook_receive_secret=encoded(length, prefix))
            assert error.setting == "webhook_receive_secret"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(encoded(24)[:-1], id="not padded"),
        pytest.param(encoded(24).replace("Y", "-"), id="another alphabet"),
        pytest.param(encoded(24) + "!!!!", id="junk"),
        pytest.param(" " + encoded(24), id="space before"),
        pytest.param("whsec_" + encoded(24), id="twice the prefix"),
        pytest.param("whsk_" + encoded(24, ""), id="an asymmetric key"),
        pytest.param(encoded(24)[:-1] + "é", id="not ASCII"),
        pytest.param(encoded(24, "WHSEC_"), id="the prefix in capitals"),
    ],
)
def test_a_secret_has_one_spelling(wrong: str) -> None:
    """What is no base64 is refused, not repaired, and shown by no error."""
    error = refused(webhook_receive_secret=wrong)
    assert error.setting == "webhook_receive_secret"
    assert encoded(24, "")[:12] not in str(error)
    assert error.__cause__ is None


def test_settings_that_hold_the_secret_are_not_written_down() -> None:
    """R07: neither alone nor beside several issuers; a copy in memory may be had."""
    issuers: Any = {"https://a.example": {"audience": "acme"}}
    for settings in (
        made(webhook_receive_secret=SECRET),
        Settings(issuers=issuers, webhook_receive_secret=SECRET),
    ):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="secret"):
                pickle.dumps(settings, protocol)
        assert copy.deepcopy(settings) is settings
        assert dataclasses.replace(settings, leeway=1).webhook_receive_secret == SECRET


def test_the_secret_is_shown_nowhere() -> None:
    """R01: neither by `repr` nor by errors about other settings."""
    settings = made(webhook_receive_secret=SECRET)
    shown = (repr(settings), str(settings), str(settings.by_issuer), repr(settings.fingerprint))
    error = refused(webhook_receive_secret=SECRET, refresh_url=URL)
    for text in (*shown, str(error), repr(error)):
        assert SECRET not in text
        assert SECRET.removeprefix("whsec_") not in text


# -- all of them -------------------------------------------------------------------------------


def test_the_environment_spells_them() -> None:
    """Lists with commas, durations in seconds; what is empty and may be None is not set."""
    plain = {"LICET_ISSUER": ISSUER_NAME, "LICET_AUDIENCE": "acme-reports"}
    settings = Settings.from_env(
        {
            **plain,
            "LICET_LICENSE": "file:/etc/acme/license",
            "LICET_LICENSE_STATE": "/var/lib/acme",
            "LICET_REFRESH_URL": URL,
            "LICET_STATUS_ORIGINS": "https://a.example, https://B.example:443",
            "LICET_STATUS_MAX_STALE": "3600",
            "LICET_WEBHOOK_RECEIVE_SECRET": SECRET,
            "LICET_RECHECK_EVERY": "0.5",
        }
    )
    assert (settings.license_state, settings.refresh_url) == ("/var/lib/acme", URL)
    assert settings.status_origins == ("https://a.example", "https://b.example")
    assert (settings.status_max_stale, settings.recheck_every) == (3600, 0.5)
    assert settings.webhook_receive_secret == SECRET
    names = ("LICENSE_STATE", "REFRESH_URL", "WEBHOOK_RECEIVE_SECRET", "RECHECK_EVERY")
    empty = {**plain, **{f"LICET_{name}": "" for name in names}}
    assert Settings.from_env(empty) == Settings.from_env(plain)
    for name, value in (
        ("RECHECK_EVERY", "1m"),
        ("STATUS_MAX_STALE", ""),
        ("STATUS_ORIGINS", "a.example"),
        ("WEBHOOK_RECEIVE_SECRET", "whsec_x"),
        ("REFRESH_URL", URL),
    ):
        with pytest.raises(ConfigError) as error:
            Settings.from_env({**plain, f"LICET_{name}": value})
        assert error.value.setting == name.lower()


@pytest.mark.parametrize(
    "changes",
    [
        {"license_state": "/var/lib/other"},
        {"refresh_url": URL + "/2"},
        {"status_origins": ["https://a.example"]},
        {"status_max_stale": 60},
        {"webhook_receive_secret": SECRET},
        {"recheck_every": 60},
    ],
    ids=str,
)
def test_each_option_makes_other_settings(changes: dict[str, Any]) -> None:
    """Gates are shared by the fingerprint: no two places, secrets or limits are alike."""
    settings = made(**{**REFRESHED, **changes})
    assert settings != made(**REFRESHED)
    assert settings == made(**{**REFRESHED, **changes})
    assert settings.fingerprint != made(**REFRESHED).fingerprint
