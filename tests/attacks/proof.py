"""Rows N: licenses that are bound to a key, and proofs of it that are none (RFC 9449)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from typing import Any, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from licet.core.keys.jwk import thumbprint
from licet.core.possession.nonces import LIFETIME, Nonces
from licet.possession import ProofKey
from tests.attacks.case import Case, Lines, bearer, row
from tests.attacks.forge import b64, unb64
from tests.attacks.placed import PROXIES, PROXY, STRANGER, limited
from tests.core.hands import Hands
from tests.core.jwks import private_key, public_jwk
from tests.licenses import ISSUER, claims

SITE = "https://api.example"
HERE = {"external_url": SITE}
URL = f"{SITE}/me"
KEY, THIEF = ProofKey.generate(), ProofKey.generate()
PUBLIC = jwt.get_unverified_header(KEY.proof("GET", URL, "x"))["jwk"]
#: A time for gates that live by another clock.
NOON = 1_800_000_000.0
SECRET = "a secret that every worker has, of 32 bytes or more"

#: Status and code of an answer.
Expected: TypeAlias = tuple[int, str | None]
REQUIRED: Expected = (401, "pop_required")
INVALID: Expected = (401, "pop_invalid")
NO_LICENSE: Expected = (401, "license_invalid")
UNAVAILABLE: Expected = (503, "license_unavailable")
TAKEN: Expected = (200, None)

#: What makes the `DPoP` lines of a request that carries a license.
Proofs = Callable[[str], Iterable[str]]


def bound(**changes: Any) -> str:
    """Return a license that is bound to the suite's key, and that no gate has seen."""
    return limited(**{"cnf": {"jkt": KEY.jkt}, **changes})


def proofs(key: ProofKey = KEY, **changes: Any) -> Proofs:
    """Return what makes one proof for `GET /me`, good but for `changes`, anew for each request."""
    return lambda token: [key.proof(**{"method": "GET", "url": URL, "token": token, **changes})]


def _shown(
    name: str,
    answer: Expected,
    make: Proofs = proofs(),  # noqa: B008 - it has no state
    *lines: tuple[str, str],
    token: str | None = None,
    form: str = "DPoP",
    **case: Any,
) -> Case:
    """Return the case of a bound license, shown with the proofs that `make` makes."""
    if token is None:
        at = case.get("at")
        token = bound(**({} if at is None else {"iat": at - 600, "exp": at + 3_600}))
    field = "X-License-Token" if not form else "Authorization"

    def headers() -> Lines:
        shown: Lines = [("DPoP", one) for one in make(token)]
        return [(field, f"{form} {token}".lstrip()), *shown, *lines]

    permitted = (KEY.jkt, SITE.partition("//")[2])
    return Case(
        name, headers, *answer, **{"options": HERE, "twice": True, **case}, permitted=permitted
    )


def _refused(name: str, make: Proofs, **case: Any) -> Case:
    return _shown(name, INVALID, make, **case)


def _by_hand(token: str, header: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    """Return the header, payload and signature of a good proof whose parts are then changed."""
    [made] = proofs(header=header, **changes)(token)
    return made.split(".")


def none(token: str) -> list[str]:
    """Make no proof at all."""
    return []


def spoilt(change: Callable[[str], str]) -> Proofs:
    """Return what makes a good proof that is changed afterwards."""
    return lambda token: [change(one) for one in proofs()(token)]


@row("N01")
def no_proof() -> Iterable[Case]:
    """A bound license alone is of no use, nor is one that is sent as if it were not bound."""
    yield _shown("a proof", TAKEN)
    yield _shown("a proof beside a field of the license's own", TAKEN, form="")
    yield _shown("as Bearer with a proof", REQUIRED, form="Bearer")
    for form in ("Bearer", "bEaReR", "DPoP", "dpop", ""):
        yield _shown(f"{form or 'in a field'}, without a proof", REQUIRED, none, form=form)


@row("N02")
def not_bound() -> Iterable[Case]:
    """The scheme DPoP says that a license is bound; where it is not, nothing is proved."""
    for name, make in {"a good proof": proofs(), "a thief's": proofs(THIEF), "none": none}.items():
        yield _shown(name, INVALID, make, token=limited())
        yield _shown(f"{name}, as Bearer", TAKEN, make, token=limited(), form="Bearer")


@row("N03")
def confirmations() -> Iterable[Case]:
    """Whom a license is bound to is said in a way that is known here, or it is no license."""
    jkt = KEY.jkt
    for value in (
        "",
        jkt,
        [],
        [jkt],
        {},
        True,
        0,
        {"jkt": None},
        {"jkt": ""},
        {"jkt": 5},
        {"jkt": [jkt]},
        {"jkt": f"{jkt}="},
        {"jkt": jkt[:-1]},
        {"jkt": b64(b"0" * 31)},
        {"kid": "x"},
        {"jwk": PUBLIC},
        {"x5t": b64(b"0" * 20)},
        {"JKT": jkt},
        {"jkt": jkt, "kid": "x"},
        {"jkt": jkt, "osc": {}},
    ):
        name = ascii(value)[:40]
        yield _shown(name, NO_LICENSE, token=bound(cnf=value))
        yield _shown(f"{name}, Bearer", NO_LICENSE, token=bound(cnf=value), form="Bearer")
    null = ISSUER.sign({**claims(), "cnf": None})
    yield _shown("null", NO_LICENSE, token=null)
    # DER of nothing that anybody would read: only its digest counts.
    der = b"\x30\x03\x02\x01\x05"
    both = bound(cnf={"jkt": jkt, "x5t#S256": b64(sha256(der).digest())})
    shows: dict[str, Any] = {
        "token": both,
        "options": {**HERE, **PROXIES, "client_certificate": "header:client-cert"},
        "over": PROXY,
    }
    certificate, other = (
        ("Client-Cert", f":{_base64(text)}:") for text in (der, b"\x30\x03\x02\x01\x06")
    )
    # One license for all of these, which the first of them makes known.
    shows["twice"] = False
    yield _shown("both", TAKEN, proofs(), certificate, **shows)
    yield _shown("the key alone", REQUIRED, **shows)
    yield _shown("another certificate", INVALID, proofs(), other, **shows)
    yield _shown("another key", INVALID, proofs(THIEF), certificate, **shows)
    yield _shown("the certificate alone", REQUIRED, none, certificate, **shows)
    as_bearer = {**shows, "form": "Bearer"}
    yield _shown("the certificate, as Bearer", REQUIRED, none, certificate, **as_bearer)


def _base64(data: bytes) -> str:
    text = b64(data).replace("-", "+").replace("_", "/")
    return text + "=" * (-len(text) % 4)


@row("N04")
def not_one_proof() -> Iterable[Case]:
    """Exactly one field, with exactly one compact JWS."""
    one = proofs()
    yield _refused("two", lambda token: [*one(token), *one(token)])
    yield _refused("two alike", lambda token: [*one(token)] * 2)
    yield _refused("one and an empty one", lambda token: [*one(token), ""])
    yield _refused("an empty one first", lambda token: ["", *one(token)])
    for comma in (",", ", "):
        yield _refused(
            f"joined by {comma!r}", spoilt(lambda made, comma=comma: made + comma + made)
        )
    for text in ("", " ", "x", "..", "a.b", "a.b.c.d.e", "{}", "." * 9_000, "A" * 8_193):
        yield _refused(f"{text[:12]!r}", lambda token, text=text: [text])
    for name, change in {
        "five segments": lambda made: f"{made}.a.b",
        "two segments": lambda made: made.rpartition(".")[0],
        "a dot more": lambda made: f"{made}.",
        "padded": lambda made: f"{made}=",
        "a letter more": lambda made: f"X{made}",
        "not ASCII": lambda made: f"{made}\xe9",
        "quoted": lambda made: f'"{made}"',
        "with a scheme": lambda made: f"DPoP {made}",
    }.items():
        yield _refused(name, spoilt(change))


@row("N05")
def claims_of_proofs() -> Iterable[Case]:
    """A proof says that it is one, and says all that it has to."""
    for typ in (None, "", "JWT", "license+jwt", "at+jwt", "dpop", "jwt+dpop", 5, ["dpop+jwt"]):
        yield _refused(f"typ {typ!r}", proofs(header={"typ": typ}))
    for name in ("htm", "htu", "ath"):
        for value in (None, 5, True, [], ["GET", URL], {}):
            yield _refused(f"{name} {value!r}", proofs(**{name: value}))
    for value in (5, True, [], ["a"], {}):
        yield _refused(f"jti {value!r}", proofs(jti=value))
    for name in ("htm", "htu", "iat", "jti", "ath"):
        yield _refused(f"no {name}", _without(name))


def _without(name: str) -> Proofs:
    return _signed(lambda members: {each: members[each] for each in members if each != name})


def _signed(change: Callable[[dict[str, Any]], object]) -> Proofs:
    """Return what makes a proof whose payload was changed before it was signed."""

    def make(token: str) -> list[str]:
        head, payload, _ = _by_hand(token)
        changed = change(json.loads(unb64(payload)))
        text = changed if isinstance(changed, str) else json.dumps(changed)
        signing_input = f"{head}.{b64(text.encode())}"
        return [f"{signing_input}.{b64(KEY._key.sign(signing_input.encode()))}"]

    return make


@row("N06")
def algorithms() -> Iterable[Case]:
    """Asymmetric, listed, and the key's own."""
    for alg in (
        *("none", "None", "", "HS256", "HS512", "ES384", "ES512", "ES256K", "es256", "RSA-OAEP"),
        *(5, None, ["ES256"], "EdDSA", "Ed25519", "RS256", "PS256"),
    ):
        yield _refused(f"{alg!r}", proofs(header={"alg": alg}))

    def unsigned(token: str) -> list[str]:
        return [".".join([*_by_hand(token, {"alg": "none"})[:2], ""])]

    yield _refused("none, unsigned", unsigned)
    private = private_key("Ed25519", "hand")
    public = public_jwk(private)
    for name, secret in {"its x": public["x"], "its bytes": unb64(public["x"])}.items():
        token = bound(cnf={"jkt": thumbprint(public)})
        yield _refused(f"HS256 with {name} for a secret", _mac(secret, public), token=token)


def _mac(secret: str | bytes, public: dict[str, Any]) -> Proofs:
    def make(token: str) -> list[str]:
        payload = json.loads(unb64(_by_hand(token)[1]))
        header = {"typ": "dpop+jwt", "jwk": public}
        return [jwt.encode(payload, secret, algorithm="HS256", headers=header)]

    return make


@cache
def bad_keys() -> dict[str, tuple[dict[str, Any], str]]:
    """Return keys that prove nothing though a license may name them, and their algorithms."""
    curve, edwards = {"kty": "EC", "crv": "P-256"}, {"kty": "OKP", "crv": "Ed25519"}
    good = public_jwk(private_key("P-256", "good"))
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - refused for it
    return {
        "RSA 1024": (public_jwk(weak), "RS256"),
        "off the curve": ({**curve, "x": b64(b"1" * 32), "y": b64(b"2" * 32)}, "ES256"),
        "small order": ({**edwards, "x": b64(b"\x01" + bytes(31))}, "EdDSA"),
        "zero": ({**edwards, "x": b64(bytes(32))}, "Ed25519"),
        "private": ({**good, "d": b64(b"1" * 32)}, "ES256"),
        "padded": ({**good, "x": f"{good['x']}="}, "ES256"),
        "longer than it is": ({**good, "x": b64(b"\0" + unb64(good["x"]))}, "ES256"),
        "for encryption": ({**good, "use": "enc"}, "ES256"),
        "of another algorithm": ({**good, "alg": "ES384"}, "ES256"),
    }


@row("N07")
def keys() -> Iterable[Case]:
    """The key is in the proof: public, whole, and strong."""
    secret = {"kty": "oct", "k": "AAAA"}
    for jwk in (None, "", "x", 5, [], {}, secret, [PUBLIC], {**PUBLIC, "kty": "RSA"}):
        yield _refused(f"jwk {str(jwk)[:30]}", proofs(header={"jwk": jwk}))
    for name in ("x5c", "jku", "x5u", "crit", "b64", "cty", "zip"):
        for value in ("https://evil.example/", ["x"]):
            yield _refused(f"{name} beside it", proofs(header={name: value}))
            yield _refused(f"{name} instead", proofs(header={name: value, "jwk": None}))
    for name, (jwk, alg) in bad_keys().items():
        token = bound(cnf={"jkt": thumbprint(jwk)})
        yield _refused(name, proofs(header={"jwk": jwk, "alg": alg}), token=token)
    identity, alg = bad_keys()["small order"]

    def forged(token: str) -> list[str]:
        signing_input = _by_hand(token, {"jwk": identity, "alg": alg})[:2]
        return [".".join([*signing_input, b64(b"\x01" + bytes(63))])]

    named = bound(cnf={"jkt": thumbprint(identity)})
    yield _refused("a forgery for every message", forged, token=named)


@row("N08")
def signatures() -> Iterable[Case]:
    """Signed by the key that it brings, as it stands."""
    yield _refused("by another key", proofs(THIEF, header={"jwk": PUBLIC}))
    for place in range(3):
        yield _refused(f"a letter of part {place}", spoilt(lambda made, at=place: _other(made, at)))
    for name, end in {"none": "", "zero": b64(bytes(64)), "short": b64(b"1" * 63)}.items():
        yield _refused(
            f"signature {name}",
            spoilt(lambda made, end=end: f"{made.rpartition('.')[0]}.{end}"),
        )


def _other(made: str, place: int) -> str:
    parts = made.split(".")
    parts[place] = parts[place][:20] + ("B" if parts[place][20] == "A" else "A") + parts[place][21:]
    return ".".join(parts)


@row("N09")
def thumbprints() -> Iterable[Case]:
    """The key is the one that the license names, in the one way of naming it."""
    yield _refused("a thief's own", proofs(THIEF))
    yield _shown("the thief's license", TAKEN, proofs(THIEF), token=bound(cnf={"jkt": THIEF.jkt}))
    first = next(each for each in KEY.jkt if each.isalpha())
    other = {"jkt": KEY.jkt.replace(first, first.swapcase(), 1)}
    yield _refused("in another case", proofs(), token=bound(cnf=other))
    for name in ("x", "y"):
        value = unb64(PUBLIC[name])
        for kind, text in {"padded": f"{PUBLIC[name]}=", "longer": b64(b"\0" + value)}.items():
            jwk = {**PUBLIC, name: text}
            yield _refused(f"{name} {kind}", proofs(header={"jwk": jwk}))
            named = bound(cnf={"jkt": thumbprint(jwk)})
            yield _refused(f"{name} {kind}, named so", proofs(header={"jwk": jwk}), token=named)
    more = {**PUBLIC, "ext": True, "key_ops": ["verify"], "kid": "x"}
    yield _shown("members that do not count", TAKEN, proofs(header={"jwk": more}))


@row("N10")
def methods() -> Iterable[Case]:
    """The method is the request's own, with case."""
    for htm in ("POST", "get", "Get", "HEAD", "GET ", "", "*", "GET,POST"):
        yield _refused(f"{htm!r}", proofs(method=htm))
    yield _shown("POST", TAKEN, proofs(method="POST"), method="POST")
    yield _refused("GET of a POST", proofs(), method="POST")
    for field in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        line = (field, "GET")
        yield _shown(f"{field} on a POST", INVALID, proofs(), line, method="POST")
        yield _shown(f"{field} on a GET", TAKEN, proofs(), (field, "POST"))
    # No body comes with it to tell why.
    yield _shown("GET of a HEAD", (401, None), proofs(), method="HEAD")


@row("N11")
def targets() -> Iterable[Case]:
    """Two URLs are one by their syntax and scheme, without query and fragment."""
    for url in (
        URL,
        f"{SITE}:443/me",
        f"{SITE}:/me",
        "HTTPS://API.Example/me",
        f"{SITE}/%6de",
        f"{SITE}/%6De",
        f"{SITE}/./me",
        f"{SITE}/x/../me",
        f"{SITE}/../me",
    ):
        yield _shown(url, TAKEN, proofs(htu=url))
    for url in (f"{URL}?a=1", f"{URL}#a", f"{URL}?", f"{URL}?a=/../x#/y"):
        yield _shown(url, TAKEN, proofs(htu=url), path="/me?b=2")
    yield _shown("escapes in the request", TAKEN, path="/%6de")
    for url in (
        "https://evil.example/me",
        f"{SITE}.evil.example/me",
        "https://testserver/me",
        "http://api.example/me",
        f"{SITE}:8443/me",
        f"{SITE}:80/me",
        f"{SITE}/",
        SITE,
        f"{SITE}/me/",
        f"{SITE}//me",
        f"{SITE}/ME",
        f"{SITE}/%2fme",
        f"{SITE}/me%2f",
        f"{SITE}/m%65%00",
        f"{SITE}/x/..%2fme",
        f"{SITE}/me;a",
        f"{SITE}/me\\",
        "https://user@api.example/me",
        "https://api.example@evil.example/me",
        "https://api.example./me",
        "https://xn--/me",
        "https://\u0430pi.example/me",
        "https://api\u3002example/me",
        f"{SITE}/m\u0435",
        "//api.example/me",
        "/me",
        "me",
        "*",
        "",
        f" {URL}",
        f"{URL}\n",
        f"{URL} ",
        "wss://api.example/me",
        "javascript:alert(1)",
    ):
        yield _refused(ascii(url), proofs(htu=url))


@row("N12")
def spoofed() -> Iterable[Case]:
    """What a proof is for is built from the settings, whatever the request says of itself."""
    evil = "https://evil.example"
    for lines in (
        [("Host", "evil.example")],
        [("X-Forwarded-Host", "evil.example")],
        [("X-Forwarded-Proto", "http")],
        [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https")],
        [("Forwarded", "host=evil.example;proto=https")],
        [("X-Original-URL", "/other")],
        [("X-Forwarded-Prefix", "/other")],
        [("Host", "")],
    ):
        for name, case in {
            "": {},
            ", from a stranger": {"options": {**HERE, **PROXIES}, "over": STRANGER},
            ", through a proxy": {"options": {**HERE, **PROXIES}, "over": PROXY},
        }.items():
            told = f"{lines}{name}"
            yield _shown(told, TAKEN, proofs(), *lines, **case)
            stolen = proofs(url=f"{evil}/me")
            yield _shown(f"{told}, elsewhere", INVALID, stolen, *lines, **case)
    yield _shown("another path", INVALID, proofs(url=f"{SITE}/other"))
    # Nobody vouches for a host here: Django would, were `ALLOWED_HOSTS` not open to all.
    own = ("Host", "api.example")
    yield _shown("no external_url", UNAVAILABLE, proofs(), own, options={})
    asked = proofs(url="http://api.example/me")
    yield _shown("no external_url, the scheme as it is", UNAVAILABLE, asked, own, options={})


@row("N13")
def times() -> Iterable[Case]:
    """Made at most 60 s ago, by a clock at most 5 s ahead."""
    for ago in (0, 1, 59.5, 60, -5, -4.5):
        yield _shown(f"{ago} s ago", TAKEN, proofs(iat=NOON - ago), at=NOON)
    for ago in (60.5, 61, 3_600, NOON, 10**9, -5.5, -6, -(10**12)):
        yield _refused(f"{ago} s ago", proofs(iat=NOON - ago), at=NOON)
    for value in (str(NOON), NOON * 1_000, True, [NOON], {}, "", -NOON, 1e300):
        yield _refused(f"{str(value)[:20]!r}", proofs(iat=value), at=NOON)
    for text in ("NaN", "Infinity", "-Infinity", "1e999", "null", "9" * 400):
        make = _signed(
            lambda said, text=text: json.dumps({**said, "iat": "@"}).replace('"@"', text)
        )
        yield _refused(text[:12], make, at=NOON)


@row("N14")
def replays() -> Iterable[Case]:
    """A proof serves once."""
    for name, form in {"": "DPoP", ", in a field": ""}.items():
        token = bound()
        made = [*proofs()(token)]
        again: dict[str, Any] = {"token": token, "form": form, "twice": False}
        yield _shown(f"first{name}", TAKEN, lambda token, made=made: made, **again)
        for number in range(3):
            yield _shown(f"again{name}, {number}", INVALID, lambda token, made=made: made, **again)
        yield _shown(f"another one{name}", TAKEN, **again)
    jti = secrets.token_hex(8)
    yield _shown("an id, first", TAKEN, proofs(jti=jti), twice=False)
    yield _refused("with another license", proofs(jti=jti))


@row("N15")
def replays_in_disguise() -> Iterable[Case]:
    """What a sender may vary makes no other proof: key and id are remembered, nothing else."""
    jti, token = secrets.token_hex(8), bound()
    yield _shown("first", TAKEN, proofs(jti=jti), token=token, twice=False)
    shown: dict[str, Any] = {"token": token, "twice": False}
    for name, make, case in (
        ("another query", proofs(jti=jti, htu=f"{URL}?x=1"), {"path": "/me?x=1"}),
        ("another fragment", proofs(jti=jti, htu=f"{URL}#x"), {}),
        ("another spelling", proofs(jti=jti, htu="HTTPS://API.EXAMPLE:443/%6de"), {}),
        ("another method", proofs(jti=jti, method="POST"), {"method": "POST"}),
        ("method in another case", proofs(jti=jti, method="get"), {}),
        ("another claim", proofs(jti=jti, x="1"), {}),
        ("another header", proofs(jti=jti, header={"n": 1}), {}),
        ("the other form", proofs(jti=jti), {"form": ""}),
    ):
        yield _shown(name, INVALID, make, **shown, **case)
    shown["token"] = bound(cnf={"jkt": THIEF.jkt})
    yield _shown("another key", TAKEN, proofs(THIEF, jti=jti), **shown)


@row("N16")
def replays_of_the_future() -> Iterable[Case]:
    """A proof made by a clock that is ahead is remembered for as long as it could be shown."""
    token = bound(iat=NOON - 600, exp=NOON + 3_600)
    made = [*proofs(iat=NOON + 5)(token)]
    shown: dict[str, Any] = {"token": token, "twice": False}
    yield _shown("5 s ahead", TAKEN, lambda token: made, at=NOON, **shown)
    for later in (1, 59, 61, 64, 65):
        yield _shown(f"{later} s later", INVALID, lambda token: made, at=NOON + later, **shown)
        # It would hold, were it not for the first one.
        fresh = proofs(iat=NOON + 5)
        yield _shown(f"another, {later} s later", TAKEN, fresh, at=NOON + later, **shown)
    yield _shown("too old", INVALID, proofs(iat=NOON + 5), at=NOON + 66, **shown)


@row("N17")
def ids() -> Iterable[Case]:
    """An id is short, printable text; it is recorded only once all else holds."""
    for jti in ("", "x" * 129, "x" * 5_000, "a\n", "a\0", "\xe9", "\u2028", "\ud800"):
        yield _refused(ascii(jti)[:20], proofs(jti=jti))
    yield _refused("1 MB", proofs(jti="x" * 1_000_000))
    for jti in (5, True, ["x"], {"x": 1}):
        yield _refused(repr(jti), proofs(jti=jti))
    yield _shown("128 characters", TAKEN, lambda token: proofs(jti=secrets.token_hex(64))(token))
    jti = secrets.token_hex(8)
    for name, make in {
        "of a thief": proofs(THIEF, jti=jti),
        "for another method": proofs(jti=jti, method="POST"),
        "for another place": proofs(jti=jti, url=f"{SITE}/other"),
        "too old": proofs(jti=jti, iat=1),
        "for another license": lambda token: proofs(jti=jti)(f"{token}x"),
        "not signed": lambda token: [f"{proofs(jti=jti)(token)[0][:-8]}AAAAAAAA"],  # type: ignore[index]
    }.items():
        yield _refused(f"an id {name}", make)
    yield _shown("is still new", TAKEN, proofs(jti=jti), twice=False)
    yield _refused("and then is not", proofs(jti=jti))


@row("N18")
def no_store() -> Iterable[Case]:
    """Where nobody can tell whether a proof is new, it is not taken for new."""
    yield _shown("the one that is there", TAKEN)
    if find_spec("redis"):
        down: dict[str, Any] = {"options": {**HERE, "store": "redis://127.0.0.1:1/0"}}
        yield _shown("down", UNAVAILABLE, **down)
        yield _shown("not asked about a bad proof", INVALID, proofs(THIEF), **down)
        yield _shown("nor about none", REQUIRED, none, **down)
        unbound = limited()
        yield Case("nor about a license of nobody's", bearer(unbound), 200, None, **down)


@row("N19")
def license_of_the_proof() -> Iterable[Case]:
    """A proof is for one license, by the hash of its text."""
    for name, ath in {
        "none": None,
        "empty": "",
        "no hash": "x",
        "of nothing": b64(sha256(b"").digest()),
        "a list": ["x"],
    }.items():
        yield _refused(name, proofs(ath=ath))
    for name, of in {
        "of another license": lambda token: bound(),
        "of the proof's own key": lambda token: KEY.jkt,
        "of its signature": lambda token: token.rpartition(".")[2],
        "with its scheme": lambda token: f"DPoP {token}",
        "with a line feed": lambda token: f"{token}\n",
    }.items():
        yield _refused(name, lambda token, of=of: proofs()(of(token)))
    for name, spell in {
        "padded": lambda hashed: b64(hashed) + "=",
        "hexadecimal": lambda hashed: hashed.hex(),
        "of another alphabet": lambda hashed: _base64(hashed),
        "cut": lambda hashed: b64(hashed[:16]),
        "of other bits": lambda hashed: b64(hashed)[:-1] + "_",
    }.items():
        yield _refused(
            name,
            lambda token, spell=spell: proofs(ath=spell(sha256(token.encode()).digest()))(token),
        )


@row("N20")
def nonces() -> Iterable[Case]:
    """Where nonces are demanded, a proof carries one of late; else it is told the current one."""
    with_nonces: dict[str, Any] = {"options": {**HERE, "dpop_nonce_secret": SECRET}, "at": NOON}
    asked: Expected = (401, "use_dpop_nonce")

    def nonce(ago: float, secret: str = SECRET) -> str:
        return Nonces(secret.encode(), Hands(wall=NOON - ago).clock).current()

    def shown(name: str, answer: Expected, value: object, key: ProofKey = KEY) -> Case:
        return _shown(name, answer, proofs(key, nonce=value, iat=NOON), **with_nonces)

    yield shown("missing", asked, None)
    yield shown("current", TAKEN, nonce(0))
    yield shown("the one before", TAKEN, nonce(LIFETIME))
    yield shown("of the future", asked, nonce(-LIFETIME))
    for ago in (2, 3, 1_000):
        yield shown(f"{ago} too old", asked, nonce(ago * LIFETIME))
    yield shown("of another secret", asked, nonce(0, SECRET[::-1]))
    for value in ("", "x", f"{nonce(0)}=", nonce(0)[:-1], nonce(0).swapcase(), 5, [nonce(0)], True):
        yield shown(f"{str(value)[:12]!r}", asked, value)
    yield shown("a thief gets none", INVALID, None, THIEF)
    yield shown("even with one", INVALID, nonce(0), THIEF)
    yield _shown("no proof, no nonce", REQUIRED, none, **with_nonces)
    yield _shown("not demanded", TAKEN, proofs(nonce="x"))


@row("N21")
def wrong_type() -> Iterable[Case]:
    """A proof is no license, and a license is no proof."""
    for form in ("Bearer", "DPoP", ""):
        [made] = proofs()(bound())
        said = "presented as a license"
        yield _shown(f"a proof {said}, {form}", NO_LICENSE, token=made, form=form)
    token = bound()
    yield _refused("a license as a proof", lambda token: [token])
    yield _refused("another license", lambda _: [bound()])
    dressed = ISSUER.sign(claims(), header={"typ": "dpop+jwt"})
    yield _refused("a license that says it is a proof", lambda _: [dressed])
    yield _shown("and as a license", NO_LICENSE, token=dressed)
    typed = proofs(header={"typ": "license+jwt"})
    yield _refused("a proof that says it is a license", typed)
    [made] = typed(token)
    yield _shown("and as a license, by the proof's key", NO_LICENSE, token=made)
