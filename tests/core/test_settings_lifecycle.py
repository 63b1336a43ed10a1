"""Settings of a license's life, its use and the events: checked and kept as the others."""

from __future__ import annotations

import base64
import copy
import pickle
from types import MappingProxyType
from typing import Any

import pytest

from licet.core.errors import ConfigError
from licet.core.settings import Settings
from tests.core.written import made, refused
from tests.licenses import ISSUER_NAME

DAY = 86_400
CANARY = b"canary-71c4-" * 2
SECRET = "whsec_" + base64.b64encode(CANARY).decode()
URL = "https://hooks.acme.example/licet"
LEFT: dict[str, Any] = {"plan": "free", "features": ["export"], "limits": {"seats": 1}}
#: All that events need to be sent.
SENT = {"webhook_url": URL, "webhook_secret": SECRET}
#: All that use needs to be reported.
REPORTED = {"usage_url": URL, "validation_credentials": "lvk_1"}


def test_the_defaults_of_the_table() -> None:
    """Licenses are enforced, installations have a week of grace, and nothing is told anybody."""
    settings = made()
    assert (settings.mode, settings.grace_period, settings.downgrade_to) == (
        "enforce",
        7 * DAY,
        None,
    )
    assert (settings.on_store_outage, settings.limit_period) == ("refuse", "month")
    assert settings.rate_limit_headers is False
    assert (settings.usage_url, settings.webhook_url, settings.webhook_secret) == (None,) * 3


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("mode", value) for value in ("", "Enforce", "on", None, True, 0, ["off"])),
        *(("grace_period", value) for value in (-1, 90 * DAY + 1, None, True, "7", float("nan"))),
        *(("on_store_outage", value) for value in ("", "pass", None, True)),
        *(("limit_period", value) for value in ("", "year", "Month", None, 30)),
        *(("rate_limit_headers", value) for value in (1, None, "yes")),
        *(("usage_url", value) for value in ("", 5, "a.example", "http://a.example/", "ftp://a/")),
        *(("webhook_url", value) for value in ("", 5, "a.example", "http://a.example/", "//a/")),
        *(("webhook_url", value) for value in ("https://u:p@a.example/", "https://a.example/#x")),
        *(("webhook_secret", value) for value in ("", 5, "whsec_", "whsec_AAAA", [SECRET])),
        *(("downgrade_to", value) for value in ({}, [], "free", 5, {"scope": "a"}, {1: 2})),
        *(("downgrade_to", {"plan": value}) for value in (5, [])),
        *(("downgrade_to", {"features": value}) for value in ("abc", 5, [5], ["a b"], [[]], {})),
        *(("downgrade_to", {"limits": value}) for value in ([], 5, {"a": True}, {"a": -1})),
        *(("downgrade_to", {"limits": value}) for value in ({5: 1}, {"a": {"max": 1}}, {"a b": 1})),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_cannot_work_is_refused_by_name(setting: str, value: object) -> None:
    """E10, E12, S13: each is a ConfigError that names the setting and the remedy."""
    assert refused(**{**SENT, setting: value}).setting == setting


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("mode", ("enforce", "report", "off")),
        ("grace_period", (0, 0.5, 90 * DAY)),
        ("on_store_outage", ("refuse", "count_locally")),
        ("limit_period", ("minute", "hour", "day", "month", "term")),
        ("rate_limit_headers", (True, False)),
        ("usage_url", ("https://licenses.acme.example/v1/usage", "http://127.0.0.1:1/usage")),
        ("webhook_url", (URL, "http://localhost:1/")),
    ],
)
def test_what_the_table_permits_is_kept(setting: str, values: tuple[object, ...]) -> None:
    """As it was written, the ends of each range included."""
    for value in values:
        needed = REPORTED if setting == "usage_url" else SENT
        assert getattr(made(**{**needed, setting: value}), setting) == value


@pytest.mark.parametrize("setting", ["usage_url", "webhook_url"])
def test_plain_http_is_for_named_hosts(setting: str) -> None:
    """H15: what is told goes over https, or to a host that `insecure_http_hosts` names."""
    written = {**SENT, **REPORTED, setting: "http://licenses:8000/"}
    assert "insecure_http_hosts" in refused(**written).remedy
    assert made(**written, insecure_http_hosts=["licenses"])


def test_use_is_reported_by_somebody_who_is_known() -> None:
    """An address without credentials is a mistake, for any issuer; no license server is needed."""
    assert made(**REPORTED).validation_url is None
    error = refused(usage_url=URL)
    assert (error.setting, "validation_credentials" in error.remedy) == ("usage_url", True)
    known = {"audience": "a", "validation_credentials": "lvk_1"}
    both = {"https://one.example": known, "https://other.example": {"audience": "a"}}
    with pytest.raises(ConfigError, match="each issuer"):
        Settings(issuers=both, usage_url=URL)
    error = refused(validation_credentials="lvk_1")
    assert (error.setting, "validation_url" in error.remedy) == ("validation_credentials", True)


def test_events_are_signed_and_sent() -> None:
    """An address without a secret is a mistake, and so is a secret without an address."""
    assert made(**SENT).webhook_url == URL
    error = refused(webhook_url=URL)
    assert (error.setting, "webhook_secret" in error.remedy) == ("webhook_url", True)
    error = refused(webhook_secret=SECRET)
    assert (error.setting, "webhook_url" in error.remedy) == ("webhook_secret", True)


def test_the_secret_is_shown_nowhere_and_written_down_nowhere() -> None:
    """R01, R07: neither by `repr` nor by errors; and such settings cannot be pickled."""
    settings = made(**SENT)
    error = refused(**SENT, mode="on")
    for text in (repr(settings), str(settings.by_issuer), str(error), repr(error)):
        assert SECRET not in text
        assert SECRET.removeprefix("whsec_") not in text
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(settings)
    assert copy.deepcopy(settings) is settings


def test_what_is_left_is_kept_in_one_form() -> None:
    """The caller's own objects are not kept, nothing in it can be set, and copies are equal."""
    features, limits = ["b", "a"], {"seats": 1}
    settings = made(downgrade_to={"features": features, "limits": limits})
    before = settings.fingerprint
    features.append("c")
    limits["seats"] = 9
    assert settings.fingerprint == before
    assert isinstance(settings.downgrade_to, MappingProxyType)
    assert dict(settings.downgrade_to) == {
        "plan": None,
        "features": ["a", "b"],
        "limits": {"seats": 1},
    }
    assert settings == made(downgrade_to={"features": ("a", "b"), "limits": {"seats": 1}})
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own


def test_the_environment_spells_them() -> None:
    """A mapping is JSON, durations are seconds; what is empty and may be None is not set."""
    plain = {"LICET_ISSUER": ISSUER_NAME, "LICET_AUDIENCE": "acme-reports"}
    settings = Settings.from_env(
        {
            **plain,
            "LICET_MODE": "report",
            "LICET_GRACE_PERIOD": "3600",
            "LICET_DOWNGRADE_TO": '{"plan": "free", "limits": {"seats": {"max": 2, "per": "day"}}}',
            "LICET_ON_STORE_OUTAGE": "count_locally",
            "LICET_LIMIT_PERIOD": "day",
            "LICET_RATE_LIMIT_HEADERS": "true",
            "LICET_USAGE_URL": "https://licenses.acme.example/v1/usage",
            "LICET_VALIDATION_CREDENTIALS": "lvk_1",
            "LICET_WEBHOOK_URL": URL,
            "LICET_WEBHOOK_SECRET": SECRET,
        }
    )
    assert (settings.mode, settings.grace_period) == ("report", 3600)
    assert settings.downgrade_to is not None
    assert settings.downgrade_to["limits"] == {"seats": {"max": 2, "per": "day"}}
    assert (settings.on_store_outage, settings.limit_period) == ("count_locally", "day")
    assert (settings.rate_limit_headers, settings.webhook_secret) == (True, SECRET)
    empty = ("DOWNGRADE_TO", "USAGE_URL", "WEBHOOK_URL", "WEBHOOK_SECRET")
    assert Settings.from_env({**plain, **{f"LICET_{name}": "" for name in empty}}) == (
        Settings.from_env(plain)
    )
    for name, value in (
        ("MODE", ""),
        ("GRACE_PERIOD", "7d"),
        ("DOWNGRADE_TO", "free"),
        ("LIMIT_PERIOD", "year"),
        ("RATE_LIMIT_HEADERS", "yes"),
    ):
        with pytest.raises(ConfigError) as error:
            Settings.from_env({**plain, f"LICET_{name}": value})
        assert error.value.setting == name.lower()


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "report"},
        {"grace_period": 60},
        {"downgrade_to": LEFT},
        {"downgrade_to": {**LEFT, "plan": "other"}},
        {"on_store_outage": "count_locally"},
        {"limit_period": "day"},
        {"rate_limit_headers": True},
        REPORTED,
        SENT,
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_each_option_makes_other_settings(changes: dict[str, Any]) -> None:
    """Gates are shared by the fingerprint: no two of these are alike."""
    assert made(**changes) != made()
    assert made(**changes) == made(**changes)
