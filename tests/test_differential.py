"""What Licet accepts, PyJWT accepts too, with the same key, algorithm, audience and issuer.

The corpus is made by a seeded generator: which token is changed how is the same in every run,
while keys, dates and the random part of signatures are not. Where Licet alone refuses, its reason
stands in `STRICTER`, with why.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from jwt.algorithms import OKPAlgorithm

from licet.core import flow
from licet.core.errors import LicenseError
from licet.core.gate import Gate
from licet.core.settings import Settings
from tests.attacks.forge import (
    all_keys,
    dumps,
    header,
    issuer_of,
    jws,
    other_last_letters,
    private_of,
    signed,
)
from tests.licenses import AUDIENCE, ISSUER_NAME, OPTIONS, claims

#: The header's name, and the key that signs.
ALGORITHMS = {"Ed25519": "EdDSA"} | {name: name for name in "EdDSA ES256 RS256 PS256".split()}
EACH = 1_200
LEEWAY = 30

#: Why Licet refuses what PyJWT accepts: the profile is narrower than RFC 7519, on purpose.
STRICTER = {
    "malformed": "other spellings of base64url and JSON, text that can be read in two ways",
    "token_too_large": "4 KiB by default",
    "header_too_large": "2 KiB",
    "header_param_forbidden": "members that name keys, extensions or encryption",
    "kid_required": "keys are named",
    "bad_kid": "1 to 256 printable ASCII characters",
    "unknown_kid": "keys are looked up by their name; PyJWT was handed the one that signed",
    "wrong_type": "license+jwt",
    "missing_claim": "exp, iat and sub are required",
    "bad_claim": "claims of other types and ranges, `int()` is not used on them",
    "lifetime_too_long": "max_lifetime",
    "must_understand": "claims that must be understood",
    "constraint_not_supported": "constraints that cannot be judged yet",
}

#: Values that a claim or header member may turn into.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, 2**53, 2**63, 10**18, -(2**63), 1e308, float("nan")),
    *(float("inf"), "", " ", "0", "x", "\0", "\ud800", "é", "x" * 300, "9999999999", "1e9"),
    *([], [None], ["x"], ["x", "x"], [[]], {}, {"x": 1}, [True], [1]),
)
CLAIMS = (
    "iss aud sub jti iat exp nbf customer plan features limits scope roles role trial grace"
    " must_understand domains ip_ranges cnf status extra"
).split()
MEMBERS = "alg kid typ cty crit b64 jku jwk x5c x5u zip enc p2c x5t nonce iss".split()


class Corpus:
    """Tokens of one algorithm, each with the name of what was done to it."""

    def __init__(self, alg: str) -> None:
        self.alg, self.key = alg, ALGORITHMS[alg]
        self.chance = random.Random(f"differential {alg}")
        self.now = int(time.time())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        ways: list[Callable[[], str]] = [
            self.good,
            self.with_odd_claims,
            self.with_odd_times,
            self.with_odd_audience,
            self.with_odd_header,
            self.with_odd_json,
            self.respelled,
            self.with_changed_text,
            self.mixed,
        ]
        for number in range(EACH):
            way = ways[number % len(ways)]
            yield way.__name__, way()

    def sign(self, head: Any = None, body: Any = None) -> str:
        head = self.header() if head is None else head
        return jws(head, self.claims() if body is None else body, alg=self.key)

    def header(self, **changes: Any) -> dict[str, Any]:
        return header(self.key, alg=self.alg, **changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        pick = self.chance
        varied: dict[str, Any] = {
            "sub": f"lic_{pick.randrange(10**6)}",
            "features": pick.sample(["analytics", "export", "a.b", "x:y"], pick.randrange(5)),
            "limits": {"seats": pick.choice([0, 1, 2**53, "unlimited", {"max": 1, "per": "day"}])},
            "jti": pick.choice([None, "j", "é" * 9]),
            "aud": pick.choice([AUDIENCE, [AUDIENCE], ["x", AUDIENCE]]),
            "nbf": pick.choice([None, self.now - 5, self.now - 0.5]),
        }
        return claims(**{**varied, **changes})

    def good(self) -> str:
        return self.sign(self.header(**self.chance.choice([{}, {"x": 1}, {"typ": "LICENSE+JWT"}])))

    def with_odd_claims(self) -> str:
        body = self.claims()
        for name in self.chance.sample(CLAIMS, self.chance.choice([1, 1, 1, 2])):
            value = self.chance.choice((..., *ODD))
            body.pop(name, None)
            if value is not ...:
                body[name] = value
        return self.sign(body=body)

    def with_odd_times(self) -> str:
        body = self.claims(nbf=None)
        for name in self.chance.sample(["iat", "exp", "nbf"], self.chance.randrange(1, 4)):
            # Never within a second of a limit, where the two clocks are read apart.
            apart = self.chance.choice([-(10**9), -4000, -100, -25, 0, 25, 100, 4000, 10**8, 10**9])
            written = self.chance.choice([int, float, str, lambda time: time + 0.25])
            body[name] = written(self.now + apart)
        return self.sign(body=body)

    def with_odd_audience(self) -> str:
        near = (AUDIENCE, AUDIENCE[:-1], AUDIENCE.upper(), f" {AUDIENCE}", ["x"], [AUDIENCE] * 2)
        far = ([[AUDIENCE]], {AUDIENCE: 1}, [AUDIENCE, 1], [AUDIENCE, None], "", [], "*")
        body = self.claims(aud=self.chance.choice((*near, *far)))
        issuer = self.chance.choice(
            [ISSUER_NAME] * 3 + [ISSUER_NAME + "/", ISSUER_NAME[:9], "", []]
        )
        return self.sign(body={**body, "iss": issuer})

    def with_odd_header(self) -> str:
        head = self.header()
        for name in self.chance.sample(MEMBERS, self.chance.choice([1, 1, 2])):
            others = [*ALGORITHMS, issuer_of("ES256").kid, "JWT", "none", "HS256", "at+jwt"]
            value = self.chance.choice((*[...] * 9, *ODD, *others))
            head.pop(name, None)
            if value is not ...:
                head[name] = value
        return self.sign(head)

    def with_odd_json(self) -> str:
        parts = [dumps(self.header()), dumps(self.claims())]
        at = self.chance.randrange(2)
        text = parts[at]
        name = self.chance.choice([*json.loads(text)])
        member = json.dumps({name: self.chance.choice(["x", 1, None])}).encode()[1:-1]
        parts[at] = self.chance.choice(
            [
                text[:-1] + b"," + member + b"}",
                text[:1] + member + b"," + text[1:],
                text.decode().encode("utf-16"),
                text.decode().encode("utf-8-sig"),
                text[:-1] + b',"x":NaN}',
                text[:-1] + b',"x":"\\ud800"}',
                text[:-1] + b',"x":1e400}',
                text[:-1] + b',"x":' + b"9" * 30 + b"}",
                text[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}",
                text[:-1] + b',"x":"\xff"}',
                b" " + text + b"\n",
                text.replace(b":", b" : "),
                text.replace(b"a", b"\\u0061"),
                text + b"x",
                text[:-1],
                b"[" + text + b"]",
                text[:-1] + b',"x":"' + b"y" * 5_000 + b'"}',
                text[:-1] + b',"x":[' + b"1," * 800 + b"1]}",
            ]
        )
        return self.sign(*parts)

    def respelled(self) -> str:
        """A change of spelling under a signature over the changed text, or of the signature."""
        parts = self.sign().split(".")
        at = self.chance.randrange(3)
        others = [parts[at] + pad for pad in ("=", "==", "A", "\n", " ")]
        others += [parts[at].replace("-", "+").replace("_", "/"), *other_last_letters(parts[at])]
        parts[at] = self.chance.choice(others)
        if at == 2:
            return ".".join(parts)
        return signed(parts[0], parts[1], self.key)

    def with_changed_text(self) -> str:
        text = self.sign()
        at = self.chance.randrange(len(text))
        letter = self.chance.choice("Aa0-_.=+/ \n")
        return self.chance.choice(
            [
                text[:at] + letter + text[at:],
                text[:at] + letter + text[at + 1 :],
                text[:at] + text[at + 1 :],
                text[:at] + text[at:][:1] + text[at:],
                text[:at],
                text[at:],
                text + letter,
                text + text[-at - 1 :],
            ]
        )

    def mixed(self) -> str:
        """Segments of two tokens, and of another key's."""
        alg = self.chance.choice(["EdDSA", "ES256", "RS256", "PS256"])
        one, two = self.sign().split("."), jws(alg=alg).split(".")
        # Never all of one token: that of another key is good, and not what is asked here.
        for at in self.chance.sample(range(3), self.chance.choice([1, 2])):
            one[at] = two[at]
        return ".".join(one)


def theirs(api: jwt.PyJWT, text: str, alg: str) -> bool:
    """Whether PyJWT accepts `text`."""
    try:
        api.decode(
            text,
            private_of(ALGORITHMS[alg]).public_key(),
            algorithms=["EdDSA", "Ed25519"] if alg in ("EdDSA", "Ed25519") else [alg],
            audience=AUDIENCE,
            issuer=ISSUER_NAME,
            leeway=LEEWAY,
        )
    except Exception:
        # Not all of what it raises is its own; none of it is a yes.
        return False
    return True


@pytest.fixture(scope="module")
def api() -> jwt.PyJWT:
    """Return a PyJWT that knows `Ed25519` (RFC 9864) for the `EdDSA` that it is."""
    made = jwt.PyJWT()
    made._jws.register_algorithm("Ed25519", OKPAlgorithm())
    return made


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_whatever_is_accepted_pyjwt_accepts(alg: str, api: jwt.PyJWT) -> None:
    """Of 1,200 tokens of each algorithm none is accepted by Licet alone."""
    gate = Gate(Settings(**{**OPTIONS, **all_keys(), "leeway": LEEWAY}))
    summary: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for way, text in Corpus(alg):
        agreed = theirs(api, text, alg)
        try:
            flow.run(gate.judge(text.encode("utf-8", "surrogatepass")))
        except LicenseError as error:
            summary["refused by Licet alone" if agreed else "refused by both"] += 1
            if agreed:
                alone[error.reason.partition(":")[0]] += 1
        else:
            assert agreed, f"{way}: {text}"
            summary["accepted by both"] += 1
    assert summary.total() == EACH
    assert alone.keys() <= STRICTER.keys(), alone
    # Each verdict is a good part of the corpus, or the comparison would say little.
    assert min(summary.values()) > EACH // 10, summary
    print(alg, dict(summary), dict(alone.most_common()))  # noqa: T201 - shown with `pytest -rP`


def test_the_corpus_is_large_enough() -> None:
    """At least 5,000 tokens are compared."""
    assert EACH * len(ALGORITHMS) >= 5_000
