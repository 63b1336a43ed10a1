"""Rows A, B and C where no request can carry them, and what a request cannot show."""

from __future__ import annotations

import ast
import dataclasses
import gc
import hashlib
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import licet.core
from licet.core import flow
from licet.core.environ import EnvironFacts
from licet.core.errors import ConfigError, LicenseError, LicenseInvalid
from licet.core.gate import Gate
from licet.core.settings import Settings
from licet.core.token import base64url, strictjson
from licet.core.token.compact import FORBIDDEN, HeaderCache, parse
from licet.core.verify import averify, verify
from tests.adapters.clients import environ
from tests.attacks import forge
from tests.attacks.case import CASES
from tests.attacks.forge import all_keys, header, jws, with_header, with_signature
from tests.attacks.token import mirrored
from tests.licenses import FORGER, ISSUER, OPTIONS, claims, license_token

SETTINGS = Settings(**OPTIONS)


def gate(**options: Any) -> Gate:
    """Return a gate of its own, with no memory."""
    return Gate(Settings(**{**OPTIONS, **options}))


def reason(text: str | bytes, **options: Any) -> str:
    """Return why a credential is refused."""
    credential = text.encode("ascii") if isinstance(text, str) else text
    with pytest.raises(LicenseError) as caught:
        flow.run(gate(**options).verify(credential))
    return caught.value.reason


@pytest.mark.row("A18")
@pytest.mark.parametrize("credential", [None, 1, [], bytearray(b"x"), memoryview(b"x"), {}, True])
def test_what_is_no_text_is_a_programming_error(credential: Any) -> None:
    """The door takes text or bytes; anything else is a TypeError that names the type alone."""
    for judge in (verify, lambda *given: anyio.run(partial(averify, *given))):
        with pytest.raises(TypeError, match=type(credential).__name__):
            judge(credential, SETTINGS)


@pytest.mark.row("A16")
@pytest.mark.parametrize("mark", ["\ud800", "\udcff", "\udfff"])  # noqa: PT014 - they differ
def test_half_a_character_is_no_credential(mark: str) -> None:
    """A lone surrogate, as a server may decode a field or a caller pass it, is refused."""
    text = license_token() + mark
    with pytest.raises(LicenseInvalid):
        verify(text, SETTINGS)
    for name in ("Authorization", "X-License-Token"):
        given = environ("GET", "/", [(name, f"Bearer {text}" if name[0] == "A" else text)])
        with pytest.raises(LicenseInvalid):
            flow.run(gate().decide(EnvironFacts(given)))


class Counted:
    """Counts the calls of functions that cost something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        for owner, name in (
            (base64url, "decode"),
            (strictjson, "loads"),
            (zlib, "decompress"),
            (zlib, "decompressobj"),
            (hashlib, "pbkdf2_hmac"),
            (hashlib, "scrypt"),
        ):
            monkeypatch.setattr(owner, name, self._counting(name, getattr(owner, name)))

    def _counting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*given: Any, **named: Any) -> Any:
            self.calls.append(name)
            return function(*given, **named)

        return counting


@pytest.mark.row("A04", "A05", "A06")
def test_an_encrypted_token_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by its dots: nothing is decoded, derived, decrypted or inflated."""
    texts = [case.headers[0][1][7:] for row in ("A04", "A05") for case in CASES[row]()]
    squeezed = zlib.compress(bytes(16_000_000), 9)
    texts.append(".".join(map(forge.b64, [b"{}", b"k", b"i", squeezed, b"t"])))
    signed = jws(header(zip="DEF"), squeezed)
    judge = gate(max_token_size=65_536)
    counted = Counted(monkeypatch)
    for text in texts:
        with pytest.raises(LicenseInvalid) as caught:
            flow.run(judge.verify(text.encode()))
        assert caught.value.reason == "not_a_jws"
    assert counted.calls == []
    # A JWS that asks for it is not inflated either.
    with pytest.raises(LicenseInvalid):
        flow.run(judge.verify(signed.encode()))
    assert {"decode"} <= set(counted.calls) <= {"decode", "loads"}


@pytest.mark.row("A19", "A20")
@pytest.mark.parametrize("letter", [b"A", b".", b"="])
def test_20_megabytes_cost_one_comparison(letter: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long is neither digested nor decoded, and nothing of it is kept."""
    judge = gate()
    counted = Counted(monkeypatch)
    text = letter * 20_000_000
    monkeypatch.setattr("licet.core.judgements.sha256", None)
    assert judge.recall(text) is None
    with pytest.raises(LicenseInvalid) as caught:
        flow.run(judge.judge(text))
    assert caught.value.reason == "token_too_large"
    assert counted.calls == []
    assert letter.decode() * 10 not in repr(caught.value)


@pytest.mark.row("A19")
def test_a_refused_token_is_not_held() -> None:
    """The refusal of a token refers to nothing of it."""
    text = license_token(FORGER).encode()
    with pytest.raises(LicenseInvalid) as caught:
        flow.run(gate().verify(text))
    assert text not in gc.get_referents(caught.value, *gc.get_referents(caught.value))


@pytest.mark.row("A21", "C06")
def test_two_signatures_are_two_tokens_of_one_license() -> None:
    """Grants are kept by the credential's digest; the license id is the same for both."""
    text = jws(alg="ES256").encode()
    other = mirrored(text.decode()).encode()
    judge = gate(**all_keys())
    first = flow.run(judge.verify(text))
    assert judge.recall(text) is not None
    assert judge.recall(other) is None
    assert flow.run(judge.verify(other)).license_id == first.license_id
    for spelling in (text + b"=", text + b"\n", b" " + text):
        assert judge.recall(spelling) is None


@pytest.mark.row("B20", "B21", "B22")
def test_no_header_causes_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that names an address is refused before keys are looked for, let alone fetched."""
    judge = gate(jwks_url="https://licenses.acme.example/jwks.json")
    asked: list[str] = []
    for keys in judge.keys.values():
        monkeypatch.setattr(keys, "find", lambda kid, alg: asked.append(kid))
    for name in sorted(FORBIDDEN):
        with pytest.raises(LicenseInvalid) as caught:
            flow.run(judge.verify(with_header(**{name: "https://evil.example/"}).encode()))
        assert caught.value.reason == f"header_param_forbidden:{name}"
    assert asked == []


@pytest.mark.row("B30")
def test_the_payload_speaks_and_not_the_header() -> None:
    """Claims repeated in the header are not read."""
    text = with_header(sub="lic_2", features=["all"], exp=1, plan="free")
    entitlements = verify(text, SETTINGS)
    assert (entitlements.license_id, entitlements.plan) == ("lic_1", "professional")
    assert not entitlements.allows("all")


@pytest.mark.row("B18", "B16")
def test_a_kid_is_told_escaped_and_cut() -> None:
    """The reason holds at most 64 characters of a stranger's kid, none of which ends a line."""
    told = reason(with_header(kid="${jndi:ldap://evil.example/a}" + "k" * 200))
    assert told.startswith("unknown_kid:")
    assert len(told) <= len("unknown_kid:") + 66
    assert told.isprintable()


@pytest.mark.row("B15", "B16")
@pytest.mark.parametrize("kid", ["", "k" * 257, "k\n", "k\0", "k\x7f", "k\x85", "ké", "k\u2028", 7])
def test_an_odd_kid_is_refused_before_keys_are_asked(kid: object) -> None:
    """No key store sees a kid that no key could have."""
    assert reason(with_header(kid=kid)) == "bad_kid"


#: Points of small order, and spellings of theirs beyond the field (RFC 8032, section 5.1).
P = 2**255 - 19
SMALL = [1, 0, P - 1, P, P + 1, 1 | 1 << 255, 1 << 255, (P - 1) | 1 << 255, (P + 1) | 1 << 255]
#: Of order 8, and its mirror image.
SMALL += [
    int.from_bytes(bytes.fromhex(text), "little")
    for text in (
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
]


@pytest.mark.row("C08")
@pytest.mark.parametrize("point", SMALL)
def test_a_key_of_small_order_is_dropped(point: int) -> None:
    """Under such a key one signature holds for every message: the key is not in the set."""
    weak = {"kty": "OKP", "crv": "Ed25519", "kid": "weak", "alg": "EdDSA"}
    weak["x"] = forge.b64(point.to_bytes(32, "little"))
    options = all_keys(weak)
    forged = with_signature(with_header(kid="weak"), (1).to_bytes(32, "little") + bytes(32))
    assert reason(forged, **options) == "unknown_kid:weak"
    flow.run(gate(**options).verify(license_token().encode()))
    with pytest.raises(ConfigError):
        Settings(**{**OPTIONS, "jwks": {"keys": [weak]}})


@pytest.mark.row("C11")
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "none", "None", "hs256"])
@pytest.mark.parametrize("secret", ["", "AA", "c2VjcmV0", "x" * 86])
def test_shared_secrets_cannot_be_configured(alg: str, secret: str) -> None:
    """Neither an algorithm of secrets nor a secret for a key is a setting, short or long."""
    for algorithms in ([alg], ["EdDSA", alg]):
        with pytest.raises(ConfigError, match="algorithms"):
            Settings(**{**OPTIONS, "algorithms": algorithms})
    for jwk in ({"kty": "oct", "k": secret, "kid": "s", "alg": alg}, {"kty": "oct", "k": secret}):
        with pytest.raises(ConfigError, match="jwks") as caught:
            Settings(**{**OPTIONS, "jwks": {"keys": [jwk]}})
        assert not secret or secret not in str(caught.value)
        # Beside a good key it is left out, and its kid finds nothing.
        options = all_keys({"kid": "s", **jwk})
        text = forge.mac(forge.b64(b"").encode(), "HS256", header(alg="HS256", kid="s"))
        assert reason(text, **options) == "alg_not_allowed"


@pytest.mark.row("C14")
def test_a_key_that_was_withdrawn_verifies_nothing_from_then_on() -> None:
    """With the first set that lacks it, its kid is unknown, and so is what it vouched for."""
    both = all_keys(algorithms="EdDSA ES256")
    judge = gate(**both)
    text = jws(alg="ES256").encode()
    flow.run(judge.verify(text))
    assert judge.recall(text) is not None
    [keys] = judge.keys.values()
    before = keys.snapshot
    assert before is not None
    left = {name: key for name, key in before.keys.items() if name[1] != "ES256"}
    keys.snapshot = dataclasses.replace(
        before,
        keys=left,
        thumbprints=frozenset(key.thumbprint for key in left.values()),
        generation=before.generation + 1,
    )
    assert judge.recall(text) is None
    with pytest.raises(LicenseInvalid) as caught:
        flow.run(judge.verify(text))
    assert caught.value.reason.startswith("unknown_kid")
    assert flow.run(judge.verify(license_token().encode())).license_id == "lic_1"


def _comparisons() -> Iterator[tuple[str, str]]:
    """Yield every comparison for equality in the core, with where it stands."""
    for path in sorted(Path(*licet.core.__path__).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                sides = (node.left, *node.comparators)
                # What is written in the source is no secret.
                if any(isinstance(side, ast.Constant) for side in sides):
                    continue
                for side in sides:
                    name = getattr(side, "attr", getattr(side, "id", ""))
                    yield name, f"{path.name}:{node.lineno} {ast.unparse(node)}"


@pytest.mark.row("C15")
def test_no_secret_is_compared_letter_by_letter() -> None:
    """Nothing that is secret stands beside `==`: `hmac.compare_digest`, or a look-up by digest."""
    secrets = {"credential", "digest", "mac", "nonce", "proof", "secret", "signature", "token"}
    seen = list(_comparisons())
    assert len(seen) > 20, "the core was read"
    assert [where for name, where in seen if name.lower().strip("_") in secrets] == []


@pytest.mark.row("C15")
def test_a_bad_signature_and_an_unknown_key_are_told_alike() -> None:
    """A token is looked up by its digest, and of a refusal only the log knows which it was."""
    judge = gate()
    parts = license_token().split(".")
    refusals = []
    for text in (
        license_token(FORGER),
        FORGER.sign(claims(), header={"kid": ISSUER.kid}),
        f"{parts[0]}.{parts[1]}.{'A' * 86}",
        license_token(jti="known"),
    ):
        try:
            flow.run(judge.verify(text.encode()))
        except LicenseInvalid as error:
            refusals.append(error)
    assert len({error.reason for error in refusals}) == 2
    assert len({(error.code, error.status, str(error.members)) for error in refusals}) == 1
    assert all(
        type(digest) is bytes and len(digest) == 32 for digest in judge._judgements.grants._grants
    )


def test_parts_that_pass_are_the_parts_that_came() -> None:
    """What is verified is what was presented, to the byte."""
    text = license_token().encode()
    parsed = parse(text, max_size=4096, headers=HeaderCache())
    assert parsed.signing_input + b"." + base64url.encode(parsed.signature) == text
