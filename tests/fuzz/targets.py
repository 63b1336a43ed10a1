"""What no input may do: one function for each target, an exception where it did.

An input is text as far as it can be, so that a fuzzer's dictionary and a reader both understand
it. Nothing here needs the fuzzer: `tests/test_fuzz_corpus.py` replays the saved corpus.
"""

from __future__ import annotations

import base64
import json
import math
import posixpath
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWT
from jwt.algorithms import OKPAlgorithm

from licet.asgi import AsgiFacts
from licet.core import flow
from licet.core.clock import Clock
from licet.core.environ import EnvironFacts, EnvironMemory
from licet.core.errors import ConfigError, LicenseAmbiguous, LicenseError, LicenseInvalid
from licet.core.gate import Gate
from licet.core.keys.jwk import VerifyKey, read_jwks
from licet.core.request import Credential, Sources, find_credential, paths
from licet.core.settings import Settings, options
from licet.core.token import base64url, strictjson


class Broken(Exception):
    """A target did what it must not."""


def require(condition: object, what: str) -> None:
    """Raise `Broken` with `what` unless `condition` is true."""
    if not condition:
        raise Broken(what)


# -- a token ---------------------------------------------------------------------------------------
NOW = 1_800_000_000
LEEWAY = 30
ISSUER = "https://licenses.acme.example"
AUDIENCE = "acme-reports"
#: Everybody can sign with it; the corpus must verify for ever.
_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"the key of the fuzzed tokens").digest())
_PUBLIC = _KEY.public_key()
_X = base64url.encode(_PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
_GATE = Gate(
    Settings(
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks={"keys": [{"kty": "OKP", "crv": "Ed25519", "x": _X, "kid": "k"}]},
        jwks_url=None,
        leeway=LEEWAY,
    ),
    clock=Clock(wall=lambda: NOW, monotonic=lambda: 0.0),
)


class _Oracle(PyJWT):
    """PyJWT at the moment `NOW`, and taught the name that RFC 9864 gives to EdDSA."""

    def __init__(self) -> None:
        super().__init__()
        if "Ed25519" not in self._jws.get_algorithms():
            self._jws.register_algorithm("Ed25519", OKPAlgorithm())

    def _validate_iat(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        super()._validate_iat(payload, NOW, leeway)

    def _validate_nbf(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        super()._validate_nbf(payload, NOW, leeway)

    def _validate_exp(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        # It cuts the fraction off `exp`, which ends a license up to a second early.
        super()._validate_exp(payload, NOW - math.modf(payload["exp"])[0], leeway)


_ORACLE = _Oracle()


def credential(data: bytes) -> bytes:
    """Return the credential that `data` spells: itself, or what two lines or more are signed to.

    The first line is the header, the rest the payload.
    """
    header, newline, payload = data.partition(b"\n")
    if not newline:
        return data
    signing_input = base64url.encode(header) + b"." + base64url.encode(payload)
    return signing_input + b"." + base64url.encode(_KEY.sign(signing_input))


def token(data: bytes) -> None:
    """Only a `LicenseError` leaves the gate, and PyJWT takes what it takes."""
    presented = credential(data)
    try:
        grant = flow.run(_GATE.judge(presented))
    except LicenseError:
        return
    # Raises, if it refuses.
    claims = _ORACLE.decode(
        presented,
        _PUBLIC,
        algorithms=["EdDSA", "Ed25519"],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=LEEWAY,
        options={"require": ["iss", "aud", "sub", "iat", "exp"]},
    )
    require(grant.license_id == claims["sub"], "another license than PyJWT reads")
    require(grant.expires_at == claims["exp"], "another end than PyJWT reads")
    require(_GATE.recall(presented) is grant, "what was accepted is not remembered")
    header, payload, signature = presented.split(b".")
    for segment in (header, payload):
        _check_unique(base64url.decode(segment))
    require(len(signature) == 86, "a signature of another length")


def _check_unique(document: bytes) -> None:
    """Another reader might take the first of two members, or the last."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require(len(dict(pairs)) == len(pairs), "a document with two readings")
        return dict(pairs)

    json.loads(document, object_pairs_hook=unique)


# -- a key set -------------------------------------------------------------------------------------
_FITTING = {
    ("OKP", "Ed25519"): {"Ed25519", "EdDSA"},
    ("EC", "P-256"): {"ES256"},
    ("EC", "P-384"): {"ES384"},
    ("EC", "P-521"): {"ES512"},
    ("RSA", None): {"PS256", "RS256"},
}
_ALGORITHMS = ("Ed25519", "ES256", "ES384", "ES512", "PS256", "RS256")
_CURVES: dict[str, Callable[[], ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_FIELD = 2**255 - 19


def jwks(data: bytes) -> None:
    """Only a ValueError leaves the reader, and what it takes is as keys.md, section 5, says."""
    try:
        document = strictjson.loads(data, max_members=options.MAX_MEMBERS)
        found = read_jwks(document, _ALGORITHMS)
    except ValueError:
        return
    _check_unique(data)
    for (kid, alg), key in found.keys.items():
        require((key.kid, key.alg) == (kid, alg), "a key under another name")
        named = [one for one in document["keys"] if isinstance(one, dict) and one.get("kid") == kid]
        require(not any(_PRIVATE & one.keys() for one in named), "a published private key is used")
        sound = [one for one in named if _thumbprint(one) == key.thumbprint]
        require(any(_serves(one, alg) for one in sound), "a key that may not be used")
        _check_refusals(key)
    for rejected in found.rejected:
        require(rejected.kid.isascii() and rejected.kid.isprintable(), "an odd kid is told")
        require(len(rejected.kid) < 300, "a long kid is told")


_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the thumbprint of RFC 7638, of whatever looks like a key."""
    names = {"RSA": "e kty n", "EC": "crv kty x y", "OKP": "crv kty x"}.get(str(jwk.get("kty")), "")
    members = {name: jwk.get(name) for name in names.split()}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(sha256(canonical).digest()).rstrip(b"=").decode()


def _serves(jwk: Mapping[str, Any], alg: str) -> bool:
    fitting = _FITTING.get((jwk["kty"], jwk.get("crv") if jwk["kty"] != "RSA" else None), set())
    if "alg" in jwk:
        eddsa = {"Ed25519", "EdDSA"}
        fitting = fitting & (eddsa if jwk["alg"] in eddsa else {jwk["alg"]})
    ops = jwk.get("key_ops", ["verify"])
    return (
        alg in fitting
        and (len(fitting) == 1 or fitting == {"Ed25519", "EdDSA"})
        and jwk.get("use", "sig") == "sig"
        and "verify" in ops
        and len(ops) == len(set(ops))
        and re.fullmatch(r"[ -~]{1,256}", jwk["kid"]) is not None
        and _is_sound(jwk)
    )


def _is_sound(jwk: Mapping[str, Any]) -> bool:
    if jwk["kty"] == "RSA":
        n, e = int.from_bytes(_octets(jwk["n"])), int.from_bytes(_octets(jwk["e"]))
        return 2048 <= n.bit_length() <= 8192 and e >= 65537 and e % 2 == 1 and n % 2 == 1
    if jwk["kty"] == "EC":
        point = b"\4" + _octets(jwk["x"]) + _octets(jwk["y"])
        ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[jwk["crv"]](), point)
        return True
    encoded = _octets(jwk["x"])
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    return len(encoded) == 32 and 1 < y < _FIELD - 1


def _octets(text: str) -> bytes:
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    require(base64.urlsafe_b64encode(octets).decode().rstrip("=") == text, "another spelling")
    return octets


def _check_refusals(key: VerifyKey) -> None:
    """Signatures that nobody made: under a point of small order some of them hold."""
    for signature in (b"", bytes(64), b"\1" + bytes(63), b"\xff" * 64):
        require(key.verify(b"m", signature) is False, "a signature that nobody made holds")


# -- a request -------------------------------------------------------------------------------------
_SOURCES = ("authorization", "x-license-token", "cookie:license", "query:license")
_FIELD_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)", re.DOTALL)
_START = re.compile(r"(\S+) (\S*) (\S*)")


def request(data: bytes) -> None:
    """Only what is documented leaves, and no two readings of one request differ.

    The first line is method, path and query; a line that begins with `@url`, `@host`, `@exempt`
    or `@source` is a setting; the others are header field lines.
    """
    first, *lines = data.decode("latin-1").split("\n")
    start = _START.fullmatch(first)
    method, path, query = start.groups() if start else ("GET", "/", "")
    sources, exempt = list(_SOURCES), list[str]()
    fields: list[tuple[str, str]] = []
    for line in lines:
        name, _, value = line.partition(" ")
        if name in _SETTINGS:
            _SETTINGS[name](value)
        elif name == "@exempt":
            exempt += _accepted(paths.exempt_path, value)
        elif name == "@source":
            sources = list(_accepted_source(value)) or sources
        elif field := _FIELD_LINE.fullmatch(line):
            fields.append((field[1].lower(), field[2].strip(" \t")))
    _check_exempt(tuple(exempt), path)
    _check_credential(method, query, fields, sources)


def _accepted(check: Callable[[str, str], str], value: str) -> list[str]:
    try:
        return [check("setting", value)]
    except ConfigError:
        return []


def _accepted_source(value: str) -> tuple[str, ...]:
    try:
        return Sources.checked([value])
    except ConfigError:
        return ()


def _url(value: str) -> None:
    for address in _accepted(options.url, value):
        parts = urlsplit(address)
        require(parts.hostname, "an address without a host")
        require(parts.username is None and parts.password is None, "an address with a user")
        require(parts.scheme == "https" or _is_loopback(parts.hostname), "plain http")
        require(re.fullmatch(r"[!-~]+", address) and "\\" not in address, "odd characters")


def _is_loopback(host: str | None) -> bool:
    # A zone changes nothing: whatever interface it names, `::1` does not leave the machine.
    address = (host or "").partition("%")[0]
    mapped = r"[0:]*:ffff:(127\..*|7f[\da-f]{2}:.*)"
    return re.fullmatch(rf"localhost|127(\.\d{{1,3}}){{3}}|[0:]+1|{mapped}", address) is not None


def _host(value: str) -> None:
    for host in _accepted(options.host, value):
        require(host == host.lower(), "a host in capitals")
        require(not re.search(r"[\s/@?#\\]", host), "more than a host")


_SETTINGS: dict[str, Callable[[str], None]] = {"@url": _url, "@host": _host}


def _check_exempt(rules: tuple[str, ...], path: str) -> None:
    if path not in paths.ExemptPaths(rules):
        return
    # However a second component reads it, it is below the same rule.
    again = unquote(path)
    require(again == path, "an exempt path that can be decoded once more")
    flat = posixpath.normpath(path) + ("/" if path.endswith("/") and path != "/" else "")
    require(flat == path, "an exempt path that another component shortens")
    below = any(rule[-1] == "*" and flat.startswith(rule[:-1]) for rule in rules)
    require(flat in rules or below, "exempt without a rule")


def _check_credential(
    method: str, query: str, fields: list[tuple[str, str]], listed: list[str]
) -> None:
    sources = Sources.of(listed)
    scope = {
        "type": "http",
        "method": method,
        "scheme": "https",
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields],
    }
    environ: dict[str, str] = {
        "REQUEST_METHOD": method,
        "QUERY_STRING": query,
        "wsgi.url_scheme": "https",
    }
    for name, value in fields:
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    by_line = _find(AsgiFacts(scope), sources)
    joined = _find(EnvironFacts(environ), sources)
    if isinstance(by_line, Credential):
        alone = {one: _find(AsgiFacts(scope), Sources.of([one])) for one in listed}
        require(alone.pop(by_line.source) == by_line, "its source alone holds something else")
        require(not any(alone.values()), "one credential of two is taken")
    handshake = _find(AsgiFacts({**scope, "type": "websocket", "scheme": "wss"}), sources)
    if method not in ("GET", "HEAD", "OPTIONS"):
        _check_witness(by_line, fields)
    _check_witness(handshake, fields)
    unlike = {name.replace("-", "_") for name, _ in fields}
    if len(unlike) == len(fields) and not any("_" in name for name, _ in fields):
        require(by_line == joined, "ASGI and WSGI find different credentials")
    if isinstance(handshake, Credential) and isinstance(by_line, Credential):
        require(handshake == by_line, "a handshake finds another credential")
    _check_short_way(environ, sources, joined)


def _check_witness(found: Credential | str | None, fields: list[tuple[str, str]]) -> None:
    """A cookie counts on a request that changes something if the user's own page sent it."""
    if not isinstance(found, Credential) or not found.source.startswith("cookie:"):
        return
    site, origins, hosts = (
        [value for field, value in fields if field == name]
        for name in ("sec-fetch-site", "origin", "host")
    )
    own = [f"https://{host}".lower() for host in hosts]
    same = len(origins) == len(own) == 1 and origins[0].lower() == own[0]
    require(site in (["same-origin"], ["none"]) or (not site and same), "another site's cookie")


def _find(facts: Any, sources: Sources) -> Credential | str | None:
    try:
        found = find_credential(facts, sources)
    except (LicenseAmbiguous, LicenseInvalid) as error:
        return error.reason
    if found is not None:
        require(found.value.isascii() and found.value, "an empty or odd credential")
        kind, _, name = found.source.rpartition(":")
        listed = {"": sources.headers, "cookie": sources.cookies, "query": sources.queries}[kind]
        require(name in listed, "a credential from a source that is not listed")
        require(bool(found.scheme) == (found.source == "authorization"), "a scheme elsewhere")
    return found


class _Everything:
    """A gate that remembers every credential that could be a token."""

    installation = None

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def recall(self, presented: bytes) -> object:
        return SimpleNamespace(free=False) if re.fullmatch(rb"[\w.-]+", presented) else None

    def admit(
        self, grant: object, presented: bytes, source: str, facts: object, request: object
    ) -> tuple[bytes, str]:
        return presented, source


def _check_short_way(
    environ: Mapping[str, str], sources: Sources, found: Credential | str | None
) -> None:
    """What the cache is asked for is what the long way finds."""
    memory = EnvironMemory(_Everything(sources))  # type: ignore[arg-type]
    asked: Any = memory.recall(environ)
    if asked is not None:
        require(
            isinstance(found, Credential) and asked == (found.value, found.source),
            "the short way takes what the long way does not",
        )


TARGETS: dict[str, Callable[[bytes], None]] = {"token": token, "jwks": jwks, "request": request}
