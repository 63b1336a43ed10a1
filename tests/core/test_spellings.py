"""One table of settings, five spellings, and the same answer in each."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.errors import ConfigError
from licet.core.settings import Settings, spellings
from tests.licenses import ISSUER, ISSUER_NAME

FLAT: dict[str, Any] = {"issuer": ISSUER_NAME, "audience": "acme-reports"}
Spelling = Callable[[dict[str, Any]], Settings]


def in_environment(value: Any) -> str:
    """Return how an environment variable spells a value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value)
    return "" if value is None else str(value)


def capitals(options: dict[str, Any]) -> dict[str, Any]:
    return {f"LICET_{name.upper()}": value for name, value in options.items()}


def by_keywords(options: dict[str, Any]) -> Settings:
    return spellings.from_options(None, options)


def by_mapping(options: dict[str, Any]) -> Settings:
    return Settings.from_mapping({"DEBUG": True, "licet_issuer": 1, **capitals(options)})


def by_environment(options: dict[str, Any]) -> Settings:
    texts = {name: in_environment(value) for name, value in capitals(options).items()}
    return Settings.from_env({"PATH": "/bin", **texts})


def by_settings(options: dict[str, Any]) -> Settings:
    return spellings.from_options(Settings(**options), {})


@pytest.fixture
def by_dotted_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spelling]:
    """Write a vendor's module that builds the settings, and name it."""
    monkeypatch.syspath_prepend(tmp_path)

    def spelt(options: dict[str, Any]) -> Settings:
        lines = ["from math import inf, nan", "from licet import Settings"]
        (tmp_path / "vendor_licensing.py").write_text(
            "\n".join([*lines, f"settings = Settings(**{options!r})", "number = 5", ""])
        )
        sys.modules.pop("vendor_licensing", None)
        return Settings.from_mapping({"LICET_SETTINGS": "vendor_licensing.settings"})

    yield spelt
    sys.modules.pop("vendor_licensing", None)


@pytest.fixture(params=["keywords", "mapping", "environment", "dotted_path", "settings"])
def spelling(request: pytest.FixtureRequest, by_dotted_path: Spelling) -> Spelling:
    ways = {
        "keywords": by_keywords,
        "mapping": by_mapping,
        "environment": by_environment,
        "dotted_path": by_dotted_path,
        "settings": by_settings,
    }
    return ways[request.param]


def test_every_spelling_says_the_same(spelling: Spelling) -> None:
    """Values of each kind arrive equal, to the fingerprint."""
    options = {
        **FLAT,
        "audience": ("a", "b"),
        "sources": ("x-license", "cookie:license"),
        "leeway": 0.5,
        "max_token_size": 8192,
        "required": False,
        "token_type": None,
        "exempt_paths": (),
        "insecure_http_hosts": ("keys",),
        "upgrade_url": "https://acme.example/upgrade",
    }
    assert spelling(options) == Settings(**options)


def test_every_spelling_takes_several_issuers(spelling: Spelling) -> None:
    """As mappings, JSON in the environment."""
    one = {"audience": ["x"], "jwks_url": None, "jwks": ISSUER.jwks(), "algorithms": ["EdDSA"]}
    options = {"issuers": {"acme": one, "https://b.example": {"audience": "y"}}}
    assert spelling(options) == Settings(**options)


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("issuer", {"audience": "x"}),
        ("audience", {"issuer": ISSUER_NAME}),
        ("audience", {**FLAT, "audience": []}),
        ("algorithms", {**FLAT, "algorithms": ["HS256"]}),
        ("algorithms", {**FLAT, "algorithms": ["none"]}),
        ("algorithms", {**FLAT, "algorithms": []}),
        ("leeway", {**FLAT, "leeway": float("nan")}),
        ("leeway", {**FLAT, "leeway": float("inf")}),
        ("leeway", {**FLAT, "leeway": -1}),
        ("leeway", {**FLAT, "leeway": True}),
        ("leeway", {**FLAT, "leeway": "thirty"}),
        ("leeway", {**FLAT, "leeway": 10**400}),
        ("max_token_size", {**FLAT, "max_token_size": 4096.5}),
        ("max_token_size", {**FLAT, "max_token_size": 10**400}),
        ("required", {**FLAT, "required": 2}),
        ("jwks_url", {**FLAT, "jwks_url": "http://keys.example/jwks"}),
        ("jwks", {**FLAT, "jwks": "/nowhere/jwks.json"}),
        ("license", {**FLAT, "license": "tok", "sources": ["authorization"]}),
        ("license", {**FLAT, "license": "tok\r\nX: y"}),
        ("sources", {**FLAT, "sources": ["cookie:"]}),
        ("exempt_paths", {**FLAT, "exempt_paths": ["/*"]}),
        ("insecure_http_hosts", {**FLAT, "insecure_http_hosts": ["keys:80"]}),
        ("isuer", {**FLAT, "isuer": ISSUER_NAME}),
        ("audiences", {**FLAT, "audiences": "x"}),
        ("leway", {**FLAT, "leway": 5}),
        ("issuers", {"issuers": {}}),
        ("issuers", {"issuers": {"https://a.example": 5}}),
        ("algorithms", {"issuers": {"a": {"audience": "x", "algorithms": ["HS256"]}}}),
    ],
    ids=lambda value: str(value).replace(str(FLAT)[1:-1], "…")[:70],
)
def test_every_spelling_refuses_what_cannot_work(
    spelling: Spelling, setting: str, options: dict[str, Any]
) -> None:
    """B11, E10, E12, K21, S13: with the setting's name, what is wrong, and the remedy."""
    with pytest.raises(ConfigError) as refused:
        spelling(options)
    assert refused.value.setting == setting
    assert f"LICET_{setting.upper()}" in str(refused.value)
    assert refused.value.problem
    assert refused.value.remedy


@pytest.mark.parametrize(("wrong", "right"), [("isuer", "issuer"), ("audiences", "audience")])
def test_every_spelling_names_the_nearest(spelling: Spelling, wrong: str, right: str) -> None:
    """S13: a misspelt name comes with the one that was probably meant."""
    with pytest.raises(ConfigError, match=rf"did you mean {right} \(LICET_{right.upper()}\)"):
        spelling({**FLAT, wrong: "x"})


@pytest.mark.parametrize("spelt", [by_keywords, by_mapping, by_settings])
@pytest.mark.parametrize("name", ["mode_of_operation", "verify_exp", "settings_module"])
def test_names_far_off_are_refused_where_everything_is_ours(spelt: Spelling, name: str) -> None:
    """S13: an option nobody knows never passes silently."""
    with pytest.raises(ConfigError, match="is no setting"):
        spelt({**FLAT, name: True})


def test_a_middleware_takes_settings_or_keywords() -> None:
    """One of the two, and nothing else in their place."""
    settings = Settings(**FLAT)
    assert spellings.from_options(settings, {}) is settings
    with pytest.raises(ConfigError, match="together with options"):
        spellings.from_options(settings, {"leeway": 0})
    with pytest.raises(ConfigError, match=r"no licet\.Settings"):
        spellings.from_options(FLAT, {})  # type: ignore[arg-type]


# -- the environment -----------------------------------------------------------------------------


def environment(**texts: str) -> Settings:
    base = {"LICET_ISSUER": ISSUER_NAME, "LICET_AUDIENCE": "acme-reports"}
    return Settings.from_env({**base, **texts})


def test_the_process_environment_is_read_when_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`Settings.from_env()` reads `os.environ`."""
    monkeypatch.setenv("LICET_ISSUER", ISSUER_NAME)
    monkeypatch.setenv("LICET_AUDIENCE", "a, b")
    monkeypatch.setenv("LICET_LEEWAY", "0")
    settings = Settings.from_env()
    assert settings.audience == ("a", "b")
    assert settings.leeway == 0


@pytest.mark.row("S13", "S15")
@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("LICET_LEEWAY", ""),
        ("LICET_LEEWAY", "1_0 s"),
        ("LICET_LEEWAY", "9" * 5000),
        ("LICET_MAX_TOKEN_SIZE", "4k"),
        ("LICET_REQUIRED", ""),
        ("LICET_REQUIRED", "yes"),
        ("LICET_ISSUERS", "{"),
        ("LICET_ISSUERS", "[" * 100_000),
        ("LICET_ISSUERS", '{"a":{"audience":"x"},"a":{"audience":"y"}}'),
        ("LICET_ALGORITHMS", "RS256,,ES256"),
        ("LICET_AUDIENCE", " "),
        ("LICET_ISSUER", "\udcff"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_unreadable_variables_are_refused_by_name(variable: str, text: str) -> None:
    """S13, S15: what cannot be read is no default; the error says how to write it."""
    with pytest.raises(ConfigError) as refused:
        environment(**{variable: text})
    assert variable in str(refused.value)
    assert refused.value.__cause__ is None


def test_variables_of_commands_are_no_settings(caplog: pytest.LogCaptureFixture) -> None:
    """What `licet serve` and `licet licenses` read may stand beside settings, unremarked."""
    with caplog.at_level(logging.WARNING, "licet"):
        environment(LICET_SERVER="x", LICET_ADMIN_KEY="x", LICET_SERVER_PASSPHRASE="x")
    assert caplog.text == ""


@pytest.mark.row("S15")
def test_variables_of_others_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    """S15: what Kubernetes injects for a service called `licet` stops nothing, and is named."""
    with caplog.at_level(logging.WARNING, "licet"):
        settings = environment(
            LICET_PORT="tcp://10.0.0.1:80",
            LICET_SERVICE_HOST="10.0.0.1",
            LICET_SERVICE_PORT="80",
            LICET_PORT_80_TCP_ADDR="10.0.0.1",
            LICET_="",
        )
    assert settings == Settings(**FLAT)
    assert len(caplog.records) == 5
    assert "LICET_SERVICE_HOST" in caplog.text


@pytest.mark.parametrize(
    "variable",
    [
        *("LICET_ISUER", "LICET_ISSUERR", "LICET_AUDIENZE", "LICET_LEWAY", "LICET_JWK"),
        *("LICET_JKWS", "LICET_Issuer", "LICET_audience", "LICET_settings", "LICET_LEEWAy"),
    ],
)
def test_misspelt_variables_are_refused(variable: str) -> None:
    """S13: within two edits of a setting, or the setting in other letters than capitals."""
    with pytest.raises(ConfigError, match=r"did you mean \w+ \(LICET_"):
        environment(**{variable: "5"})


@pytest.mark.row("S15")
def test_the_case_of_a_name_is_no_second_spelling() -> None:
    """S15: two entries that differ by case cannot say two things about one setting."""
    with pytest.raises(ConfigError, match="LICET_AUDIENCE"):
        Settings.from_mapping({**capitals(FLAT), "LICET_audience": "other"})


def test_names_that_are_no_text_are_somebody_elses() -> None:
    """A framework's configuration may hold anything beside our entries."""
    assert Settings.from_mapping({1: 2, None: 3, **capitals(FLAT)}) == Settings(**FLAT)  # type: ignore[dict-item]


@given(
    texts=st.dictionaries(
        st.sampled_from([f"LICET_{name.upper()}" for name in spellings._FIELDS]),
        st.text(max_size=10)
        | st.sampled_from(["1", "true", "a,b", "{}", "https://a.example", "nan"]),
        max_size=4,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_environment_is_settings_or_a_config_error(texts: dict[str, str]) -> None:
    """S13: no text in any variable raises anything else."""
    try:
        environment(**texts)
    except ConfigError:
        return


@given(one=st.text("abc", max_size=5), other=st.text("abc", max_size=5))
@settings(max_examples=200, deadline=None)
def test_two_edits_are_counted(one: str, other: str) -> None:
    """Insertions, deletions and replacements, as a plain recursion counts them."""

    def edits(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        if a[0] == b[0]:
            return edits(a[1:], b[1:])
        return 1 + min(edits(a[1:], b), edits(a, b[1:]), edits(a[1:], b[1:]))

    assert spellings._within_two_edits(one, other) == (edits(one, other) <= 2)


# -- settings built in code ----------------------------------------------------------------------


@pytest.mark.row("S15")
def test_settings_built_in_code_stand_alone(
    by_dotted_path: Spelling, caplog: pytest.LogCaptureFixture
) -> None:
    """S15: nothing beside `LICET_SETTINGS` overrides them, and that is told."""
    built = by_dotted_path(FLAT)
    path = "vendor_licensing.settings"
    with caplog.at_level(logging.WARNING, "licet"):
        for settings in (
            Settings.from_mapping({"LICET_SETTINGS": path, "LICET_REQUIRED": False}),
            Settings.from_env({"LICET_SETTINGS": path, "LICET_REQUIRED": "false"}),
        ):
            assert settings is built
    assert caplog.text.count("stands alone") == 2


def test_a_settings_object_may_stand_for_its_path() -> None:
    """In Django and Flask `LICET_SETTINGS` may be the object itself."""
    settings = Settings(**FLAT)
    assert Settings.from_mapping({"LICET_SETTINGS": settings}) is settings


@pytest.mark.parametrize(
    "path",
    [
        *("", "settings", "nowhere.settings", "vendor_licensing.nothing", "vendor_licensing."),
        *("vendor_licensing.number", ".settings", "..relative.settings", 5, b"x", ["a.b"], "a\0.b"),
    ],
    ids=repr,
)
def test_a_path_to_no_settings_is_refused(by_dotted_path: Spelling, path: object) -> None:
    """S13: whatever stands there, the answer is a ConfigError about `settings`."""
    by_dotted_path(FLAT)
    with pytest.raises(ConfigError) as refused:
        Settings.from_mapping({"LICET_SETTINGS": path})
    assert refused.value.setting == "settings"


def test_a_vendors_own_failure_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a vendor's module raises for itself comes through as it is."""

    class Broken(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("the vendor's own")

    monkeypatch.setitem(sys.modules, "vendor_broken", Broken("vendor_broken"))
    with pytest.raises(RuntimeError, match="the vendor's own"):
        Settings.from_mapping({"LICET_SETTINGS": "vendor_broken.settings"})
