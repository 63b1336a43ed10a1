"""Settings of questions to license servers, and of TLS: checked, compared and kept as the others.

What certificates and pins have to be is shown in rows I12 and I13; which dialect a name means
with the dialects.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from licet.core import flow
from licet.core.errors import ConfigError, LicenseInvalid
from licet.core.gate import Gate
from licet.core.settings import Settings
from licet.core.settings.issuers import VALIDATION, IssuerSettings
from licet.issuer import Issuer
from licet.validation import Introspection, Keygen, Licet
from tests.licenses import ISSUER, ISSUER_NAME, OPTIONS

URL = "https://licenses.acme.example/v1/licenses/validate"
JWKS = Issuer.generate(ISSUER_NAME).jwks()
SECRET = "val_canary-93b1"
PIN = "sha256/" + "A" * 43 + "="
OTHER_PIN = "sha256/" + "B" * 42 + "A="
KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
ENVIRON = {
    "LICET_ISSUER": ISSUER_NAME,
    "LICET_AUDIENCE": "acme-reports",
    "LICET_VALIDATION_URL": URL,
}
#: What stands in the settings of one issuer as well.
OF_AN_ISSUER: dict[str, Any] = {
    "validation_protocol": "introspection",
    "validation_credentials": SECRET,
    "validation_jwks": JWKS,
    "validation_unsigned": True,
}


def made(**changes: Any) -> Settings:
    """Return settings that ask a license server."""
    return Settings(**{**OPTIONS, "validation_url": URL, **changes})


def several(*changes: dict[str, Any], **flat: Any) -> Settings:
    """Return settings of so many issuers."""
    issuers = {
        f"https://{number}.example": {"audience": "acme-reports", **one}
        for number, one in enumerate(changes)
    }
    return Settings(issuers=issuers, **flat)


def blamed(**changes: Any) -> str:
    """Return the setting that is to blame."""
    with pytest.raises(ConfigError) as error:
        made(**changes)
    assert error.value.remedy
    return error.value.setting


def test_nobody_is_asked_by_default() -> None:
    """The defaults of the table."""
    settings = Settings(**OPTIONS)
    assert settings.validation_url is None
    assert settings.validation_protocol == "licet"
    assert settings.validation_credentials is None
    assert settings.validation_jwks is None
    assert settings.validation_unsigned is False
    assert settings.license_key_pattern is None
    assert settings.revalidate_every is None
    assert settings.outage_limit == 3 * 86_400
    assert settings.online_timeout == 3
    assert (settings.tls_ciphers, settings.tls_pins, settings.tls_single_pin) == (None, None, False)
    assert (settings.tls_client_cert, settings.tls_client_key) == (None, None)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("validation_url", value) for value in ("", 5, b"https://a.example/", "a.example")),
        *(("validation_url", value) for value in ("https://a b.example/", "https://a/#x")),
        *(("validation_url", value) for value in ("https://a.example/\r\n", "https://é.example/")),
        *(("validation_url", value) for value in ("https://[::1/", "https://a\\b.example/")),
        *(("validation_protocol", value) for value in (None, 5, "", "Licet", "oauth", "os.path")),
        *(("validation_credentials", value) for value in ("", " ", "a b", "é", "a\nb", 5, b"a")),
        *(("validation_jwks", value) for value in ({}, {"keys": []}, {"keys": {}}, 5, b"{}")),
        *(("validation_jwks", value) for value in ("/nowhere/jwks.json", "\0", {"keys": [5]})),
        ("validation_jwks", {"keys": [{"kty": "oct", "kid": "k", "k": "AA"}]}),
        *(("validation_unsigned", value) for value in (1, 0, None, "true")),
        *(("license_key_pattern", value) for value in ("", "(", "[", "a*", ".*", "|a", 5, b"a")),
        *(("license_key_pattern", value) for value in ("a\nb", "(?P<a>x)(?P<a>y)", "a{2,1}")),
        *(("revalidate_every", value) for value in (0, 0.9, -1, 366 * 86_400 + 1, True, "60")),
        *(("revalidate_every", value) for value in (float("nan"), float("inf"))),
        *(("outage_limit", value) for value in (-1, 366 * 86_400 + 1, None, True, "3", 10**400)),
        *(("outage_limit", value) for value in (float("nan"), float("inf"))),
        *(("online_timeout", value) for value in (0, 0.049, 60.1, None, True, float("nan"), "3")),
        *(("tls_ciphers", value) for value in ("", 5, "NONE", "AES128-SHA", "ALL@SECLEVEL=0")),
        *(("tls_pins", value) for value in (PIN, (), (PIN,), (PIN, PIN), (PIN, 5), (PIN, "x"), 5)),
        *(("tls_pins", value) for value in ({PIN: OTHER_PIN}, b"x")),
        *(("tls_single_pin", value) for value in (1, None, "true", True)),
        *(("tls_client_cert", value) for value in ("", 5, b"a.pem", "a\0b")),
        *(("tls_client_key", value) for value in ("", 5, b"a.key", "a\0b")),
    ],
    ids=lambda value: repr(value)[:400],
)
def test_what_cannot_work_is_refused_by_name(setting: str, value: object) -> None:
    """E10, E12, S13: each is a ConfigError that names the setting and the remedy."""
    assert blamed(**{setting: value}) == setting


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("revalidate_every", (None, 1, 1.5, 366 * 86_400)),
        ("outage_limit", (0, 0.5, 366 * 86_400)),
        ("online_timeout", (0.05, 3, 60)),
        ("license_key_pattern", (None, "lic_[A-Za-z0-9]{32}", "a+", "(?i:k)[0-9]")),
        ("validation_credentials", (None, "a", "~!%=:", "x" * 5000)),
        ("validation_protocol", ("licet", "introspection", Licet(), Keygen(KEY, "p"))),
        ("validation_unsigned", (True, False)),
        ("tls_ciphers", (None, "ECDHE+AESGCM", "ECDHE-ECDSA-AES128-GCM-SHA256")),
        ("tls_pins", (None, (PIN, OTHER_PIN), [PIN, OTHER_PIN], {PIN, OTHER_PIN})),
    ],
)
def test_the_ends_of_each_range_are_inside(setting: str, values: tuple[object, ...]) -> None:
    """What the table permits is kept as it was written; pins as a tuple."""
    for value in values:
        found = getattr(made(**{setting: value}), setting)
        assert found == (tuple(value) if isinstance(value, list | set) else value)


def test_one_pin_is_enough_where_that_is_said() -> None:
    """And for nobody else."""
    assert made(tls_pins=[PIN], tls_single_pin=True).tls_pins == (PIN,)
    assert made(tls_pins=[PIN, OTHER_PIN], tls_single_pin=True)


@pytest.mark.parametrize(
    "name", [*OF_AN_ISSUER, "license_key_pattern", "revalidate_every"], ids=str
)
def test_what_nobody_is_asked_by_is_refused(name: str) -> None:
    """Without `validation_url` each is a mistake; for an issuer of several as well."""
    value = {**OF_AN_ISSUER, "license_key_pattern": "a+", "revalidate_every": 60}[name]
    assert made(**{name: value})
    assert blamed(**{name: value, "validation_url": None}) == name
    if name in OF_AN_ISSUER:
        assert several({"validation_url": URL, name: value})
    with pytest.raises(ConfigError) as error:
        several({name: value}) if name in OF_AN_ISSUER else several({}, **{name: value})
    assert error.value.setting == name


def test_what_an_outage_may_last_may_be_set_where_nobody_is_asked() -> None:
    """Limits that limit nothing do no harm, and TLS is spoken to fetch keys too."""
    assert Settings(**OPTIONS, outage_limit=0, online_timeout=1, tls_ciphers="ECDHE+AESGCM")


def test_a_key_belongs_to_one_license_server() -> None:
    """With two of them nobody could say whose an opaque key is; tokens name their issuer."""
    asked, other = {"validation_url": URL}, {"validation_url": "https://b.example/"}
    assert several(asked, {}, {}, license_key_pattern="a+")
    assert several(asked, other, revalidate_every=60)
    for many in ((asked, other), (asked, asked), (asked, {}, other)):
        with pytest.raises(ConfigError) as error:
            several(*many, license_key_pattern="a+")
        assert error.value.setting == "license_key_pattern"


@pytest.mark.parametrize("name", VALIDATION)
def test_each_issuer_has_its_own_license_server(name: str) -> None:
    """The flat fields are refused beside `issuers`."""
    value = {"validation_url": URL, **OF_AN_ISSUER}[name]
    for asked in ({}, {"validation_url": URL}):
        with pytest.raises(ConfigError) as error:
            several(asked, **{name: value})
        assert error.value.setting == name
        assert "each IssuerSettings" in error.value.remedy


def test_flat_fields_are_those_of_the_one_issuer() -> None:
    """What is asked of whom stands in `by_issuer`, whichever way it was written."""
    flat = made(**OF_AN_ISSUER).by_issuer[ISSUER_NAME]
    one = several({"validation_url": URL, **OF_AN_ISSUER}).by_issuer["https://0.example"]
    for name in VALIDATION:
        assert getattr(flat, name) == getattr(one, name) is not None
    assert flat.answer_keys == JWKS
    assert made().by_issuer[ISSUER_NAME].answer_keys is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/validate",
        "http://127.8.9.10/validate",
        "http://[::1]:8000/validate",
        "http://localhost:8000/validate",
        "https://licenses.acme.example:8443/validate?tenant=a",
    ],
)
def test_a_server_of_this_machine_may_be_asked_over_http(url: str) -> None:
    """H15: any other over https, with port and query as it likes."""
    assert made(validation_url=url).by_issuer[ISSUER_NAME].validation_url == url
    assert several({"validation_url": url})


@pytest.mark.parametrize("asked", ["licenses", "LICENSES"])
def test_plain_http_is_for_named_hosts(asked: str) -> None:
    """H15: `insecure_http_hosts` counts for the license server, for that very host alone."""
    url = f"http://{asked}:8000/validate"
    assert blamed(validation_url=url) == "validation_url"
    assert blamed(validation_url=url, insecure_http_hosts=["keys"]) == "validation_url"
    assert made(validation_url=url, insecure_http_hosts=["Licenses"])
    assert several({"validation_url": url}, insecure_http_hosts=["licenses"])
    with pytest.raises(ConfigError, match="insecure_http_hosts"):
        several({"validation_url": url})


def test_keys_of_answers_may_stand_in_a_file(tmp_path: Path) -> None:
    """As text or as a path, read when settings are made, without private members."""
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(JWKS))
    for path in (file, str(file)):
        assert made(validation_jwks=path) == made(validation_jwks=JWKS)
    private = {**JWKS["keys"][0], "d": SECRET}
    both = {"keys": [*ISSUER.jwks()["keys"], private]}
    assert SECRET not in json.dumps(made(validation_jwks=both).validation_jwks)
    assert blamed(validation_jwks=JWKS, algorithms=["RS256"], jwks=None, jwks_url=URL) == (
        "validation_jwks"
    )
    file.write_text("[]")
    assert blamed(validation_jwks=file) == "validation_jwks"


def test_the_environment_spells_them(tmp_path: Path) -> None:
    """Key sets by their path, lists with commas, dialects by name or by dotted path."""
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(JWKS))
    settings = Settings.from_env(
        {
            **ENVIRON,
            "LICET_VALIDATION_PROTOCOL": "licet.validation.Introspection",
            "LICET_VALIDATION_CREDENTIALS": SECRET,
            "LICET_VALIDATION_JWKS": str(file),
            "LICET_VALIDATION_UNSIGNED": "true",
            "LICET_LICENSE_KEY_PATTERN": r"lic_[a-z]{2,8}",
            "LICET_REVALIDATE_EVERY": "3600",
            "LICET_OUTAGE_LIMIT": "0.5",
            "LICET_ONLINE_TIMEOUT": "2",
            "LICET_TLS_PINS": f"{PIN}, {OTHER_PIN}",
            "LICET_TLS_SINGLE_PIN": "0",
            "LICET_TLS_CIPHERS": "ECDHE+AESGCM",
        }
    )
    assert settings.validation_protocol == "licet.validation.Introspection"
    assert settings.validation_credentials == SECRET
    assert settings.validation_jwks == JWKS
    assert settings.validation_unsigned is True
    assert settings.license_key_pattern == r"lic_[a-z]{2,8}"
    assert (settings.revalidate_every, settings.outage_limit) == (3600, 0.5)
    assert settings.online_timeout == 2
    assert settings.tls_pins == (PIN, OTHER_PIN)
    assert settings.tls_ciphers == "ECDHE+AESGCM"


def test_an_empty_variable_is_none_set() -> None:
    """For what may be None; pins written as nothing are pins forgotten, and refused."""
    empty = ("VALIDATION_CREDENTIALS", "VALIDATION_JWKS", "LICENSE_KEY_PATTERN", "TLS_CIPHERS")
    more = ("REVALIDATE_EVERY", "TLS_CLIENT_CERT", "TLS_CLIENT_KEY", "TLS_PINS")
    environ = {**ENVIRON, **{f"LICET_{name}": "" for name in (*empty, *more)}}
    assert Settings.from_env(environ) == Settings.from_env(ENVIRON)
    for name, value in (
        ("VALIDATION_PROTOCOL", "oauth"),
        ("VALIDATION_PROTOCOL", ""),
        ("VALIDATION_UNSIGNED", "yes"),
        ("VALIDATION_JWKS", json.dumps(JWKS)),
        ("ONLINE_TIMEOUT", "3s"),
        ("OUTAGE_LIMIT", ""),
        ("REVALIDATE_EVERY", "1h"),
        ("TLS_PINS", ","),
        ("TLS_PINS", PIN),
        ("VALIDATION_URI", URL),
    ):
        with pytest.raises(ConfigError) as error:
            Settings.from_env({**ENVIRON, f"LICET_{name}": value})
        assert error.value.setting in (name.lower(), "validation_uri")


def test_a_mapping_of_a_framework_may_hold_objects() -> None:
    """A dialect that was made, pins as a list."""
    dialect = Keygen(KEY, "product")
    settings = Settings.from_mapping(
        {**ENVIRON, "LICET_VALIDATION_PROTOCOL": dialect, "LICET_TLS_PINS": [PIN, OTHER_PIN]}
    )
    assert settings.validation_protocol is dialect
    assert settings.tls_pins == (PIN, OTHER_PIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"validation_url": URL + "/2"},
        {"validation_protocol": "introspection"},
        {"validation_protocol": Keygen(KEY, "product")},
        {"validation_credentials": "a"},
        {"validation_jwks": JWKS},
        {"validation_unsigned": True},
        {"license_key_pattern": "a+"},
        {"revalidate_every": 60},
        {"outage_limit": 60},
        {"online_timeout": 2},
        {"tls_ciphers": "ECDHE+AESGCM"},
        {"tls_pins": (PIN, OTHER_PIN)},
    ],
    ids=str,
)
def test_each_option_makes_other_settings(changes: dict[str, Any]) -> None:
    """Gates are shared by the fingerprint: no two servers, dialects or secrets are alike."""
    settings = made(**changes)
    assert settings != made()
    assert settings == made(**changes)
    assert hash(settings) == hash(made(**changes))
    of_an_issuer = {"validation_url": URL, **changes}
    if set(of_an_issuer) <= set(VALIDATION):
        assert several(of_an_issuer) != several({"validation_url": URL})


def test_dialects_are_compared_by_what_they_are_made_of() -> None:
    """Two that were made alike are alike; a class counts as what it makes."""
    key, product = Keygen(KEY, "one"), Keygen(KEY, "two")
    assert made(validation_protocol=key) == made(validation_protocol=Keygen(KEY, "one"))
    assert made(validation_protocol=key) != made(validation_protocol=product)
    assert made(validation_protocol=Keygen(bytes.fromhex(KEY), "one")) == (
        made(validation_protocol=key)
    )
    assert made(validation_protocol=Introspection) == made(validation_protocol=Introspection())


def test_a_function_that_makes_a_dialect_counts_as_what_it_makes() -> None:
    """Where it stands in memory is another in each process, and says nothing of the dialect."""
    alike = [made(validation_protocol=lambda: Keygen(KEY, "one")) for _ in range(2)]
    assert alike[0] == alike[1] == made(validation_protocol=Keygen(KEY, "one"))
    nested = [
        several({"validation_url": URL, "validation_protocol": lambda: Keygen(KEY, "one")})
        for _ in range(2)
    ]
    assert nested[0] == nested[1]


def test_settings_that_hold_credentials_are_not_written_down() -> None:
    """R07: of one issuer or of several, and neither are theirs; without them they may be."""
    one = IssuerSettings("acme", validation_url=URL, validation_credentials=SECRET)
    for secret in (
        made(validation_credentials=SECRET),
        several({"validation_url": URL, "validation_credentials": SECRET}),
        one,
        made(validation_credentials=SECRET).by_issuer[ISSUER_NAME],
    ):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="secret"):
                pickle.dumps(secret, protocol)
        if isinstance(secret, Settings):
            assert copy.deepcopy(secret) is secret
    for plain in (
        made(validation_protocol=Keygen(KEY, "product"), validation_jwks=JWKS),
        several({"validation_url": URL, "validation_protocol": "introspection"}),
        IssuerSettings("acme", validation_url=URL),
    ):
        again = pickle.loads(pickle.dumps(plain))  # noqa: S301 - our own
        assert again == plain
        assert copy.copy(plain) == plain
    assert dataclasses.replace(one, validation_credentials="b").validation_credentials == "b"


def test_credentials_are_shown_nowhere() -> None:
    """R01: neither `repr` nor an error holds them, nor keys that were put there by mistake."""
    settings = made(validation_credentials=SECRET, validation_jwks=JWKS)
    nested = several({"validation_url": URL, "validation_credentials": SECRET})
    leaked = {"keys": [*ISSUER.jwks()["keys"], {**JWKS["keys"][0], "d": SECRET}]}
    private = several({"jwks": leaked, "validation_url": URL, "validation_jwks": leaked})
    for shown in (settings, settings.by_issuer, nested, nested.by_issuer, private):
        assert SECRET not in repr(shown)
        assert JWKS["keys"][0]["x"] not in repr(shown)
    for wrong in (f"{SECRET} x", f"{SECRET}é", f"{SECRET}\n"):
        with pytest.raises(ConfigError) as error:
            made(validation_credentials=wrong)
        assert SECRET not in str(error.value)
    with pytest.raises(ConfigError) as error:
        made(validation_url=f"https://user:{SECRET}@licenses.acme.example/")
    assert SECRET not in str(error.value)


def test_settings_of_questions_cannot_be_changed() -> None:
    """S14: neither a field, nor the key set that the caller still has in hand."""
    keys = copy.deepcopy(JWKS)
    settings = made(validation_jwks=keys)
    before = settings.fingerprint
    keys["keys"].clear()
    assert settings.by_issuer[ISSUER_NAME].answer_keys == JWKS
    assert made(validation_jwks=JWKS).fingerprint == before
    for thing in (settings, settings.by_issuer[ISSUER_NAME]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            thing.validation_unsigned = True  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"validation_protocol": Keygen(KEY, product="p")},
        {"validation_unsigned": True},
        {"validation_jwks": JWKS},
    ],
    ids=["its own key", "unsigned", "keys of answers"],
)
def test_who_signs_nothing_needs_no_key_set(changes: dict[str, Any]) -> None:
    """Where a license server judges every license, its issuer may have no keys at all."""
    gate = Gate(made(jwks=None, **changes))
    token = ISSUER.issue(audience="acme-reports", subject="lic_1", expires_in=60)
    with pytest.raises(LicenseInvalid) as refused:
        flow.run(gate.verify(token.encode()))
    assert refused.value.reason.startswith("unknown_kid")


def test_answers_that_are_signed_need_a_key() -> None:
    """Without a key set and without keys of their own nobody could believe them."""
    assert blamed(jwks=None) == "jwks_url"
