"""Settings: whatever cannot work fails when it is made, with its name and the remedy."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path
from types import MappingProxyType
from typing import Any

import certifi
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from licet.core.errors import ConfigError
from licet.core.settings import Settings
from licet.core.settings.issuers import ALGORITHMS, DEFAULT_ALGORITHMS, IssuerSettings
from licet.core.settings.values import DEFAULT_SOURCES
from licet.core.token import signature
from tests.licenses import ISSUER, ISSUER_NAME, OPTIONS

JWKS = ISSUER.jwks()
FLAT = {"issuer": ISSUER_NAME, "audience": "acme-reports"}


def made(**changes: Any) -> Settings:
    return Settings(**{**FLAT, **changes})


def refused(**changes: Any) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        made(**changes)
    assert error.value.remedy
    return error.value


def test_two_settings_are_enough() -> None:
    """Issuer and audience; the rest has the defaults of the table."""
    settings = made()
    assert settings.audience == ("acme-reports",)
    assert settings.sources == DEFAULT_SOURCES == ("authorization", "x-license-token")
    assert settings.algorithms == DEFAULT_ALGORITHMS
    one = settings.by_issuer[ISSUER_NAME]
    assert one.jwks_url == f"{ISSUER_NAME}/.well-known/jwks.json"
    assert (one.audiences, one.keys, one.token_type) == (("acme-reports",), None, "license+jwt")
    assert (settings.leeway, settings.max_token_size, settings.required) == (30, 4096, True)
    assert one.max_lifetime == 400 * 86_400


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("issuer", {"issuer": None}),
        ("issuer", {"issuer": ""}),
        ("issuer", {"issuer": ["https://a.example"]}),
        ("issuer", {"issuer": "https://a.example\r\n"}),
        ("audience", {"audience": None}),
        ("audience", {"audience": []}),
        ("audience", {"audience": ""}),
        ("audience", {"audience": ["a", 1]}),
        ("audience", {"audience": 5}),
        ("algorithms", {"algorithms": ["HS256"]}),
        ("algorithms", {"algorithms": ["none"]}),
        ("algorithms", {"algorithms": ["rs256"]}),
        ("algorithms", {"algorithms": "RS256"}),
        ("algorithms", {"algorithms": []}),
        ("algorithms", {"algorithms": None}),
        ("leeway", {"leeway": float("nan")}),
        ("leeway", {"leeway": float("inf")}),
        ("leeway", {"leeway": -1}),
        ("leeway", {"leeway": 301}),
        ("leeway", {"leeway": "30"}),
        ("leeway", {"leeway": True}),
        ("leeway", {"leeway": None}),
        ("max_token_size", {"max_token_size": 4096.0}),
        ("max_token_size", {"max_token_size": 65_537}),
        ("max_token_size", {"max_token_size": 10**400}),
        ("max_lifetime", {"max_lifetime": 0}),
        ("jwks_url", {"jwks_url": "http://keys.example/jwks"}),
        ("jwks_url", {"jwks_url": "keys.example"}),
        ("jwks_url", {"jwks_url": None}),
        ("jwks_url", {"issuer": "acme"}),
        ("jwks_url", {"issuer": "http://acme.example"}),
        ("jwks_url", {"issuer": "https://acme.example/?tenant=1"}),
        ("jwks_url", {"issuer": "https://acme.example#x"}),
        ("jwks", {"jwks": {}}),
        ("jwks", {"jwks": {"keys": {}}}),
        ("jwks", {"jwks": {"keys": []}}),
        ("jwks", {"jwks": {"keys": [{"kty": "oct", "kid": "k", "k": "AA"}]}}),
        ("jwks", {"jwks": {"keys": [object()]}}),
        ("jwks", {"jwks": {"keys": [float("nan")]}}),
        ("jwks", {"jwks": "/nowhere/jwks.json"}),
        ("jwks", {"jwks": "\0"}),
        ("jwks", {"jwks": 5}),
        ("jwks", {"jwks": b"{}"}),
        ("jwks", {"jwks": JWKS, "algorithms": ["RS256"]}),
        ("jwks_snapshot", {"jwks_snapshot": ""}),
        ("jwks_snapshot", {"jwks_snapshot": 5}),
        ("jwks_snapshot", {"jwks_snapshot": b"keys.json"}),
        ("jwks_snapshot", {"jwks_snapshot": "keys\0.json"}),
        ("jwks_snapshot", {"jwks_snapshot": "k", "jwks": JWKS, "jwks_url": None}),
        ("token_type", {"token_type": ""}),
        ("token_type", {"token_type": 5}),
        ("sources", {"sources": []}),
        ("sources", {"sources": "authorization"}),
        ("sources", {"sources": ["cookie:"]}),
        ("sources", {"sources": ["X-A", "x-a"]}),
        ("license", {"license": "tok", "sources": ["authorization"]}),
        ("license", {"license": "file:"}),
        ("license", {"license": " env: "}),
        ("license", {"license": "tok\r\nx"}),
        ("license", {"license": ""}),
        ("required", {"required": 1}),
        ("required", {"required": None}),
        ("exempt_paths", {"exempt_paths": ["/*"]}),
        ("exempt_paths", {"exempt_paths": "/health"}),
        ("insecure_http_hosts", {"insecure_http_hosts": ["http://keys"]}),
        ("insecure_http_hosts", {"insecure_http_hosts": ["Keys", "keys"]}),
        ("tls_minimum", {"tls_minimum": "1.1"}),
        ("tls_minimum", {"tls_minimum": 1.2}),
        ("tls_ca_file", {"tls_ca_file": "/nowhere/ca.pem"}),
        ("tls_ca_file", {"tls_ca_file": "x" * 5000}),
        ("tls_ca_file", {"tls_ca_file": __file__}),
        ("grant_cache_size", {"grant_cache_size": True}),
        ("client_certificate", {"client_certificate": "header:X-Cert"}),
        ("region_header", {"region_header": "X-Region"}),
        ("region_header", {"region_header": "X_Region", "trusted_proxies": ["192.0.2.0/24"]}),
        (
            "region_header",
            {
                "region_header": "X-Region",
                "region_database": "regions.mmdb",
                "trusted_proxies": ["192.0.2.0/24"],
            },
        ),
        ("dpop_nonce_secret", {"dpop_nonce_secret": "hunter2"}),
        ("upgrade_url", {"upgrade_url": "http://acme.example"}),
        ("error_response", {"error_response": 5}),
        ("isuer", {"isuer": "https://a.example"}),
        ("issuers", {"issuers": []}),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_cannot_work_is_refused_by_name(setting: str, changes: dict[str, Any]) -> None:
    """B11, E10, E12, K21, S13: each is a ConfigError that names the setting and the remedy."""
    assert refused(**changes).setting == setting


def test_a_misspelt_keyword_comes_with_the_nearest() -> None:
    """S13: `Settings` and `IssuerSettings` name what was probably meant."""
    assert "did you mean issuer" in refused(isuer="x").remedy
    with pytest.raises(ConfigError, match="did you mean audience"):
        IssuerSettings(audence="x")  # type: ignore[call-arg]


def test_values_are_kept_in_one_form() -> None:
    """Lists become tuples, header names and hosts lower case, types the form that is compared."""
    settings = made(
        audience=["a", "b"],
        sources=["X-License", "cookie:A"],
        insecure_http_hosts={"Keys"},
        token_type="application/License+JWT",
        exempt_paths=["/health"],
    )
    assert settings.audience == ("a", "b")
    assert settings.sources == ("x-license", "cookie:A")
    assert settings.insecure_http_hosts == ("keys",)
    assert settings.token_type == "license+jwt"
    assert settings.exempt_paths == ("/health",)


def test_plain_http_is_for_loopback_and_named_hosts() -> None:
    """Any other address over http is refused with the setting that would allow it."""
    assert made(jwks_url="http://127.0.0.1:1/jwks")
    assert made(issuer="http://localhost:8000")
    assert made(jwks_url="http://keys:8000/jwks", insecure_http_hosts=["KEYS"])
    assert "insecure_http_hosts" in refused(jwks_url="http://keys/jwks").remedy


def test_an_issuer_may_be_any_text() -> None:
    """It needs an address for its keys, or keys, but no URL of its own."""
    assert made(issuer="acme", jwks_url="https://keys.example/")
    assert made(issuer="acme", jwks=JWKS, jwks_url=None)
    assert made(issuer="https://a.example/").by_issuer["https://a.example/"].jwks_url == (
        "https://a.example/.well-known/jwks.json"
    )


def test_keys_may_stand_in_a_file(tmp_path: Path) -> None:
    """A path as text or `Path` is read when settings are made; no key set is refused."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(JWKS))
    for path in (file, str(file)):
        settings = made(jwks=path, jwks_url=None)
        assert settings.by_issuer[ISSUER_NAME].keys == JWKS
    for content in (b"", b"[]", b"{", b'{"keys":[],"keys":[]}', b"[" * 100_000, b"\xff"):
        file.write_bytes(content)
        assert refused(jwks=file).setting == "jwks"
    file.unlink()
    assert "FileNotFoundError" in refused(jwks=file).problem
    assert refused(jwks=tmp_path).setting == "jwks"


def test_a_snapshot_is_named_by_its_path() -> None:
    """As text or as a path, for the one issuer or for each of several; none is kept by default."""
    for path in ("/var/lib/keys.json", Path("/var/lib/keys.json")):
        settings = made(jwks_snapshot=path)
        assert settings.jwks_snapshot == "/var/lib/keys.json"
        assert settings.by_issuer[ISSUER_NAME].snapshot_path == "/var/lib/keys.json"
        several = Settings(issuers={ISSUER_NAME: {"audience": "x", "jwks_snapshot": path}})
        assert several.by_issuer[ISSUER_NAME].snapshot_path == "/var/lib/keys.json"
    assert made().by_issuer[ISSUER_NAME].snapshot_path is None
    assert made(jwks_snapshot="a") != made(jwks_snapshot="b")
    environ = {"LICET_ISSUER": ISSUER_NAME, "LICET_AUDIENCE": "x", "LICET_JWKS_SNAPSHOT": "k.json"}
    assert Settings.from_env(environ).jwks_snapshot == "k.json"
    with pytest.raises(ConfigError, match="put it into each IssuerSettings"):
        Settings(issuers={ISSUER_NAME: {"audience": "x"}}, jwks_snapshot="k.json")


def test_an_authority_may_stand_in_a_file() -> None:
    """A PEM file with certificates passes."""
    assert made(tls_ca_file=certifi.where()).tls_ca_file == certifi.where()


def test_an_installation_license_stands_without_sources() -> None:
    """Its sources are none by default, and may be written as none."""
    assert made(license="file:/etc/license").sources == ()
    assert made(license="tok", sources=[]).sources == ()


def test_issuers_stand_instead_of_the_flat_fields() -> None:
    """As `IssuerSettings` or as mappings; the flat fields are then refused, and none is too few."""
    settings = Settings(
        issuers={
            "https://a.example": IssuerSettings(audience="x"),
            "b": {"audience": ["y"], "jwks_url": "https://b.example/", "max_lifetime": 60},
        }
    )
    assert settings.issuer is None
    assert settings.audience is None
    assert settings.by_issuer["https://a.example"].jwks_url == (
        "https://a.example/.well-known/jwks.json"
    )
    assert settings.by_issuer["b"].audiences == ("y",)
    assert refused(issuers={"https://a.example": IssuerSettings("x")}).setting == "issuer"
    with pytest.raises(ConfigError, match="at least one"):
        Settings(issuers={})


@pytest.mark.parametrize(
    ("setting", "issuers"),
    [
        ("issuers", {"https://a.example": 5}),
        ("issuers", {"https://a.example": {1: 2}}),
        ("issuers", {5: {"audience": "x"}}),
        ("issuers", {"a\nb": {"audience": "x"}}),
        ("audence", {"https://a.example": {"audence": "x"}}),
        ("audience", {"https://a.example": {}}),
        ("jwks_url", {"https://a.example": {"audience": "x", "jwks_url": 5}}),
        ("jwks_url", {"https://a.example": {"audience": "x", "jwks_url": "http://b.example"}}),
        ("jwks_url", {"https://a.example": {"audience": "x", "jwks_url": "https://b\r\n"}}),
        ("algorithms", {"https://a.example": {"audience": "x", "algorithms": ["HS256"]}}),
        ("jwks_url", {"https://a.example": {"audience": "x", "jwks_url": None}}),
        ("jwks_snapshot", {"https://a.example": {"audience": "x", "jwks_snapshot": "a\nb"}}),
        (
            "jwks_snapshot",
            {
                "https://a.example": {"audience": "x", "jwks_snapshot": "keys.json"},
                "https://b.example": {"audience": "x", "jwks_snapshot": Path("keys.json")},
            },
        ),
    ],
    ids=str,
)
def test_each_issuer_is_checked_as_the_flat_fields_are(setting: str, issuers: Any) -> None:
    """S13: no value of an issuer passes that would not pass alone."""
    with pytest.raises(ConfigError) as error:
        Settings(issuers=issuers)
    assert error.value.setting == setting


def test_the_algorithms_are_those_that_can_be_verified() -> None:
    """B11: the names that may be configured are exactly the table of signatures."""
    assert set(signature.ALGORITHMS) == ALGORITHMS


def test_settings_cannot_be_changed() -> None:
    """S14: no field can be set, no issuer added, and the caller's own objects are not kept."""
    keys = copy.deepcopy(JWKS)
    issuers: dict[str, Any] = {"b": {"audience": "x", "jwks_url": None, "jwks": keys}}
    settings = Settings(issuers=issuers)
    before = settings.fingerprint
    keys["keys"].clear()
    issuers.clear()
    assert settings.by_issuer["b"].keys == JWKS
    assert Settings(
        issuers={"b": {"audience": "x", "jwks_url": None, "jwks": JWKS}}
    ).fingerprint == (before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.leeway = 300  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.by_issuer["b"].audience = "y"  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.by_issuer["c"] = settings.by_issuer["b"]  # type: ignore[index]


def test_equal_settings_are_equal_whoever_wrote_them() -> None:
    """They share a gate by their fingerprint, which each option changes, secrets included."""
    settings = made()
    assert settings == made(audience=["acme-reports"], token_type="LICENSE+JWT")
    assert hash(settings) == hash(made())
    assert settings != made(leeway=29)
    assert settings != "settings"
    assert made(license="a") != made(license="b")
    assert made(jwks=JWKS) != settings


def test_one_option_can_be_changed_in_a_copy() -> None:
    """`dataclasses.replace` makes new settings, checked anew, from flat fields and from issuers."""
    strict = dataclasses.replace(made(), leeway=0)
    assert (strict.leeway, strict.issuer) == (0, ISSUER_NAME)
    assert strict == made(leeway=0)
    several = Settings(issuers={"https://a.example": {"audience": "x"}})
    assert dataclasses.replace(several, leeway=0).by_issuer == several.by_issuer
    with pytest.raises(ConfigError):
        dataclasses.replace(strict, leeway=-1)


def test_white_space_around_a_license_is_no_part_of_it() -> None:
    """A license pasted with its line end is the license."""
    assert made(license=" tok\r\n").license == "tok"
    assert made(license="file:/etc/license\n").license == "file:/etc/license"


def test_settings_copy_and_pickle() -> None:
    """R07: copies are equal; settings that hold a secret refuse to be written down."""
    settings = made(jwks=JWKS)
    assert copy.deepcopy(settings) is settings
    assert copy.copy(settings) == settings
    again = pickle.loads(pickle.dumps(settings))  # noqa: S301 - our own
    assert again == settings
    assert isinstance(again.by_issuer, MappingProxyType)
    several = Settings(issuers={"https://a.example": {"audience": "x"}})
    assert pickle.loads(pickle.dumps(several)) == several  # noqa: S301 - our own
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(made(license="tok"))


def test_secrets_are_shown_nowhere() -> None:
    """R01: neither `repr` nor an error holds a license or a key."""
    canary = "canary-5d1f"
    assert canary not in repr(made(license=canary))
    assert JWKS["keys"][0]["x"] not in repr(made(jwks=JWKS))
    assert canary not in str(refused(license=f"{canary}\n{canary}"))
    key = {"kty": "oct", "kid": "k", "k": canary}
    assert canary not in str(refused(jwks={"keys": [key]}))
    assert canary not in str(refused(jwks={"keys": [{**key, "x": float("nan")}]}))


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=4),
        st.sampled_from([10**400, -(10**400), 1j, object(), JWKS, "https://a.example", Path("x")]),
        st.sampled_from(
            ["authorization", "RS256", "/health", "file:x", "\ud800", "http://[", "1.3"]
        ),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
        | st.frozensets(st.text(max_size=3), max_size=2)
        | st.dictionaries(
            st.sampled_from(["keys", "audience", "jwks_url", "https://a.example"]), inner
        )
    ),
    max_leaves=5,
)
NAMES = [each.name for each in dataclasses.fields(Settings)]


@given(changes=st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=2))
@examples(max_examples=200, deadline=None)
def test_any_value_of_any_field_is_settings_or_a_config_error(changes: dict[str, Any]) -> None:
    """E10, E12, S13: nothing but ConfigError leaves, and what passes has a fingerprint."""
    for base in (FLAT, {}):
        try:
            settings = Settings(**{**base, **changes})
        except ConfigError as error:
            str(error).encode()
            continue
        assert len(settings.fingerprint) == 32
        # Those that hold a secret are not copied.
        if settings.license is None and settings.validation_credentials is None:
            assert settings == copy.copy(settings)


@given(changes=st.dictionaries(
    st.sampled_from([each.name for each in dataclasses.fields(IssuerSettings)]), VALUES, max_size=3
))  # fmt: skip
@examples(max_examples=200, deadline=None)
def test_any_value_of_any_issuer_is_settings_or_a_config_error(changes: dict[str, Any]) -> None:
    """S13: the same for `IssuerSettings`, written as a mapping."""
    try:
        settings = Settings(issuers={"https://a.example": changes})
    except ConfigError:
        return
    assert isinstance(settings.by_issuer["https://a.example"], IssuerSettings)


def test_the_suites_own_options_are_settings() -> None:
    """The keys of the suite's issuer are usable without a network."""
    assert Settings(**OPTIONS).by_issuer
