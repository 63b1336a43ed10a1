"""Rows A: the shape of a token and its encoding, before anything is believed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests import vectors
from tests.attacks.case import Case, bearer, row
from tests.attacks.forge import (
    all_keys,
    b64,
    dumps,
    header,
    issuer_of,
    jws,
    of_length,
    other_last_letters,
    signature,
    signed,
    with_header,
    with_signature,
)
from tests.licenses import ISSUER, claims, license_token

QUERY: dict[str, Any] = {"sources": ["query:license"]}
COOKIE: dict[str, Any] = {"sources": ["cookie:license"]}
FIELD = "X-License-Token"


def queried(name: str, token: str, **expected: Any) -> Case:
    """Return a case that presents `token`, percent-encoded, in the query."""
    path = f"/me?license={quote(token, safe='', errors='surrogatepass')}"
    return Case(name, [], path=path, options=QUERY, **expected)


def as_sent(text: str) -> str:
    """Return the latin-1 reading of text that a client sends in UTF-8, as servers hand it on."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def segments(token: str | None = None) -> list[str]:
    """Return the three segments of a token, by default of a good one."""
    return (token or license_token()).split(".")


@row("A01")
def no_token() -> Iterator[Case]:
    """Nothing in a listed source is a missing license, whatever stands elsewhere."""
    token = license_token()
    for name, headers in {
        "nothing": [],
        "another scheme": [("Authorization", "Basic dTpw")],
        "the token as a scheme": [("Authorization", token)],
        "an unlisted field": [("X-Api-Key", token), ("X-License", token)],
        "an unlisted cookie": [("Cookie", f"license={token}")],
        "Proxy-Authorization": [("Proxy-Authorization", f"Bearer {token}")],
    }.items():
        yield Case(name, headers, code="license_required")
    for name in ("license", "access_token", "token"):
        path = f"/me?{name}={token}"
        yield Case(f"an unlisted query {name}", [], path=path, code="license_required")
    yield Case("Authorization not listed", bearer(token), options=QUERY, code="license_required")


@row("A02")
def empty() -> Iterator[Case]:
    """A listed source that is there and empty is a bad license, not an absent one."""
    for value in ("", " ", "   ", "\t", "Bearer", "Bearer ", "Bearer    ", "bearer \t ", "DPoP "):
        yield Case(f"Authorization {value!r}", [("Authorization", value)])
    for value in ("", " ", "  \t "):
        yield Case(f"{FIELD} {value!r}", [(FIELD, value)])
    yield queried("query", "")
    yield queried("query of spaces", "  ")
    yield Case("cookie", [("Cookie", "license=")], options=COOKIE)


@row("A03")
def wrong_number_of_segments() -> Iterator[Case]:
    """A compact JWS has three segments, none of them empty."""
    head, body, seal = segments()
    for name, text in {
        "1": head,
        "2": f"{head}.{body}",
        "4": f"{head}.{body}.{seal}.{seal}",
        "5": f"{head}.{body}.{seal}.{body}.{seal}",
        "6": ".".join([head, body, seal] * 2),
        "trailing dot": f"{head}.{body}.{seal}.",
        "leading dot": f".{head}.{body}.{seal}",
        "both": f".{head}.{body}.{seal}.",
        "no header": f".{body}.{seal}",
        "no payload": f"{head}..{seal}",
        "no signature": f"{head}.{body}.",
        "signature alone": f"..{seal}",
        "one dot": ".",
        "two dots": "..",
        "three dots": "...",
        "a signed empty payload": signed(head, ""),
        "a signed empty header": signed("", body),
        "100 000 dots": "." * 100_000,
    }.items():
        yield Case(name, bearer(text))
    large = {"max_token_size": 65_536}
    yield Case("65 536 dots within the limit", bearer("." * 65_536), options=large)


def _dir_jwe() -> str:
    """Return a JWE that is valid under its key (RFC 7518, section 4.5)."""
    head = b64(dumps({"alg": "dir", "enc": "A256GCM", "kid": ISSUER.kid, "typ": "license+jwt"}))
    sealed = AESGCM(bytes(32)).encrypt(bytes(12), dumps(claims()), head.encode("ascii"))
    return f"{head}..{b64(bytes(12))}.{b64(sealed[:-16])}.{b64(sealed[-16:])}"


def _jwe(**members: Any) -> str:
    head = {"alg": "dir", "enc": "A256GCM", "kid": ISSUER.kid, **members}
    return ".".join(map(b64, [dumps(head), b"k" * 40, b"i" * 12, b"c" * 64, b"t" * 16]))


@row("A04")
def encrypted() -> Iterator[Case]:
    """An encrypted token is no license, valid or not."""
    yield Case("valid, dir", bearer(_dir_jwe()))
    for alg in ("RSA-OAEP", "RSA-OAEP-256", "RSA1_5", "ECDH-ES", "A128KW", "PBES2-HS256+A128KW"):
        yield Case(alg, bearer(_jwe(alg=alg)))
    yield Case("the algorithm of a license", bearer(_jwe(alg="EdDSA", typ="license+jwt")))
    seen = set()
    for vector in vectors.load("wycheproof_jwe_reject")["tests"]:
        kind = (vector["group"], vector["wycheproof_result"])
        if kind not in seen and vector["jwe"].isascii() and "," not in vector["jwe"]:
            seen.add(kind)
            yield Case(f"Wycheproof {vector['tcId']} {kind}", bearer(vector["jwe"]))


@row("A05")
def billion_hashes() -> Iterator[Case]:
    """A token that asks for a key derivation gets none."""
    for count in (2**31 - 1, 1_000_000, 10**16, -1):
        made = _jwe(alg="PBES2-HS512+A256KW", p2c=count, p2s="c2FsdHNhbHQ")
        yield Case(f"p2c {count}", bearer(made))


@row("A06")
def bomb() -> Iterator[Case]:
    """A token that asks for inflation gets none."""
    for size, options in ((2_000_000, {}), (16_000_000, {"max_token_size": 65_536})):
        squeezed = zlib.compress(bytes(size), 9)[2:-4]
        head = {"alg": "dir", "enc": "A256GCM", "kid": ISSUER.kid, "zip": "DEF"}
        text = f"{b64(dumps(head))}..{b64(bytes(12))}.{b64(squeezed)}.{b64(bytes(16))}"
        yield Case(f"JWE of {size}", bearer(text), options=options)
        text = jws(header(zip="DEF"), squeezed)
        yield Case(f"signed JWS of {size}", bearer(text), options=options)


@row("A07")
def json_serialization() -> Iterator[Case]:
    """The JSON serializations are none of ours; a comma in a field already divides two values."""
    head, body, seal = segments()
    one = {"protected": head, "signature": seal}
    for name, made in {
        "flattened": {"payload": body, **one},
        "general": {"payload": body, "signatures": [one]},
        "several signatures": {"payload": body, "signatures": [one, one]},
        "unprotected header": {"payload": body, "header": header(), "signature": seal},
    }.items():
        text = json.dumps(made)
        yield queried(f"{name} in a query", text)
        yield Case(f"{name} in a field", bearer(text), 400, "license_ambiguous")


@row("A08")
def polyglot() -> Iterator[Case]:
    """Text that is JSON to one reader and a compact token to another is neither."""
    head, body, seal = segments()
    forged = b64(dumps(claims(features=["analytics", "all"])))
    for name, text in {
        "a token as a member": f'{{"x":"{head}.{body}.{seal}"}}',
        "dots around a forged payload": f'{{"{head}.{forged}.{seal}":""}}',
        "braces at both ends": f"{{{head}.{body}.{seal}}}",
        "quoted": f'"{head}.{body}.{seal}"',
    }.items():
        yield Case(name, bearer(text))
    whole = {"protected": head, f" .{forged}.": "", "payload": body, "signature": seal}
    yield queried("flattened, forged between dots", json.dumps(whole))


def _each_segment(token: str, change: Any) -> Iterator[tuple[str, str]]:
    """Yield a token with each segment changed, under the old signature and under a true one."""
    parts = token.split(".")
    for place, name in enumerate(("header", "payload", "signature")):
        changed = [*parts]
        changed[place] = change(parts[place])
        yield name, ".".join(changed)
        if place < 2:
            yield f"{name}, signed so", signed(changed[0], changed[1])


@row("A09")
def padding() -> Iterator[Case]:
    """Base64url here has no padding (RFC 7515, section 2), not even the right one."""
    for width in range(3):
        token = jws(header(x="x" * width), dumps(claims(filler="x" * width)))
        for pad in ("=", "==", "==="):
            for name, text in _each_segment(token, lambda part, pad=pad: part + pad):
                yield Case(f"{pad} on the {name}, {width}", bearer(text))
    yield Case("percent-encoded", bearer(license_token() + "%3D"))


@row("A10")
def standard_alphabet() -> Iterator[Case]:
    """`+` and `/` belong to another alphabet."""
    # These bytes are spelled with both letters that the alphabets differ in.
    odd = "\u0bfb\u0bfe\u07ff>>>???~~~"
    while True:
        body = json.dumps(claims(filler=odd), ensure_ascii=False).encode()
        head = json.dumps(header(x=odd), ensure_ascii=False).encode()
        token = jws(head, body)
        if all({"-", "_"} <= set(part) for part in token.split(".")):
            break
        odd += "?"
    yield Case("the alphabet of URLs", bearer(token), 200, None)
    for name, text in _each_segment(token, lambda part: part.replace("-", "+").replace("_", "/")):
        yield Case(name, bearer(text))
    for name, text in _each_segment(token, lambda part: part.replace("-", "+")):
        yield Case(f"+ in the {name}", bearer(text))
    for name, text in _each_segment(token, lambda part: part.replace("_", "/")):
        yield Case(f"/ in the {name}", bearer(text))


@row("A11")
def unused_bits() -> Iterator[Case]:
    """The unused bits of a last letter are zero, or one value has several spellings."""
    for width in range(3):
        token = jws(header(x="x" * width), dumps(claims(filler="x" * width)))
        head, body, seal = segments(token)
        for other in other_last_letters(head):
            yield Case(f"header …{other[-1]}", bearer(f"{other}.{body}.{seal}"))
            yield Case(f"header …{other[-1]} signed so", bearer(signed(other, body)))
        for other in other_last_letters(body):
            yield Case(f"payload …{other[-1]}", bearer(f"{head}.{other}.{seal}"))
            yield Case(f"payload …{other[-1]} signed so", bearer(signed(head, other)))
    for other in other_last_letters(seal):
        yield Case(f"signature …{other[-1]}", bearer(f"{head}.{body}.{other}"))


@row("A12")
def impossible_length() -> Iterator[Case]:
    """No bytes are spelled with four letters and one."""

    def change(part: str) -> str:
        return part + "A" * ((1 - len(part)) % 4)

    for name, text in _each_segment(license_token(), change):
        yield Case(name, bearer(text))
    for name, text in _each_segment(license_token(), lambda part: "A"):
        yield Case(f"one letter for the {name}", bearer(text))


@row("A13")
def junk() -> Iterator[Case]:
    """Letters outside the alphabet refuse a token wherever they stand."""
    for mark in ("!!!!", "####", "?", " ", "\t", "\r", "\n", "\r\n", "\0", "~", ";", ":", "%", "*"):
        for name, text in _each_segment(
            license_token(), lambda part, mark=mark: part[:5] + mark + part[5:]
        ):
            yield Case(f"{mark!r} inside the {name}", bearer(text))
    for mark in ("!!!!", "####", "?", "\r", "\n", "\0", "\x0b", "\x0c", "\x1f", "\x7f"):
        for name, text in _each_segment(license_token(), lambda part, mark=mark: part + mark):
            yield Case(f"{mark!r} after the {name}", bearer(text))
        yield Case(f"{mark!r} before it, in a field", [(FIELD, mark + license_token())])
    # A header field is trimmed before anybody sees its value (RFC 9110, 5.5); a parameter is not.
    for mark in (" ", "\t", "\r\n", "\0", ","):
        yield queried(f"{mark!r} after it, in a query", license_token() + mark)
        yield queried(f"{mark!r} before it, in a query", mark + license_token())


@row("A14")
def line_feed() -> Iterator[Case]:
    """A line feed behind a token is no part of it; `$` of a regular expression would agree."""
    token = license_token()
    for end in ("\n", "\r\n", "\n\n", "\n "):
        yield Case(f"Authorization {end!r}", bearer(token + end))
        yield Case(f"{FIELD} {end!r}", [(FIELD, token + end)])
        yield queried(f"query {end!r}", token + end)
    yield Case("cookie", [("Cookie", f"license={token}\n")], options=COOKIE)


@row("A15")
def look_alikes() -> Iterator[Case]:
    """Letters that look, fold or normalise like those of the alphabet are not those."""
    token = license_token()
    head, body, seal = segments(token)
    made = {
        "fullwidth full stop": token.replace(".", "\uff0e"),
        "ideographic full stop": token.replace(".", "\u3002"),
        "one dot leader": token.replace(".", "\u2024"),
        "fullwidth letters": "".join(chr(ord(one) + 0xFEE0) for one in head) + f".{body}.{seal}",
        "Cyrillic e": "\u0435" + token[1:],
        "Arabic-Indic digit": token + "\u0660",
        "fullwidth digit": token + "\uff11",
        "Kelvin sign": token + "\u212a",
        "long s": token + "\u017f",
        "zero width space": token + "\u200b",
        "byte order mark": "\ufeff" + token,
        "soft hyphen": f"{head}.{body[:9]}\xad{body[9:]}.{seal}",
        "no-break space": token + "\xa0",
        "next line": token + "\x85",
        "line separator": token + "\u2028",
    }
    for name, text in made.items():
        yield Case(f"{name} in a field", bearer(as_sent(text)))
        yield queried(f"{name} in a query", text)


@row("A16")
def lone_surrogate() -> Iterator[Case]:
    """Half a character is none, however it comes in; what reads it does not fall."""
    token = license_token()
    for name, text in {
        "after": token + "\ud800",
        "within": f"{token[:30]}\udcff{token[30:]}",
    }.items():
        yield Case(f"{name}, in a field", bearer(as_sent(text)))
        yield Case(f"{name}, in {FIELD}", [(FIELD, as_sent(text))])
        yield queried(f"{name}, in a query", text)
        cookie = [("Cookie", f"license={as_sent(text)}")]
        yield Case(f"{name}, in a cookie", cookie, options=COOKIE)


@row("A17")
def latin_1() -> Iterator[Case]:
    """Bytes beyond ASCII are in no token."""
    token = license_token()
    for letter in ("\xe9", "\xff", "\x80", "\xa0", "\xb5", "\xaa"):
        for name, text in _each_segment(token, lambda part, one=letter: part[:4] + one + part[4:]):
            yield Case(f"{letter!r} in the {name}", bearer(text))
        yield Case(f"{letter!r} first", [(FIELD, letter + token)])
        yield Case(f"{letter!r} last", [(FIELD, token + letter)])
        yield Case(f"{letter!r} alone", bearer(letter))


@row("A19")
def one_byte_too_many() -> Iterator[Case]:
    """A license that is good in all but its length is refused for that; the limit is exact."""
    for limit in (1024, 4096, 8192, 65_536):
        options = {} if limit == 4096 else {"max_token_size": limit}
        yield Case(f"{limit}", bearer(of_length(limit)), 200, None, options=options)
        yield Case(f"{limit} + 1", bearer(of_length(limit + 1)), options=options)
    yield Case("8 KiB + 1", bearer(of_length(8193)))


@row("A20")
def much() -> Iterator[Case]:
    """Much of one letter is refused for its length; 20 MB of it, at the core."""
    for letter in "A.=":
        for size in (4097, 65_537, 1_000_000):
            yield Case(f"{size} of {letter}", bearer(letter * size))
        within = {"max_token_size": 65_536}
        yield Case(f"65 536 of {letter} within the limit", bearer(letter * 65_536), options=within)


@row("A21")
def equivalent_spellings() -> Iterator[Case]:
    """Another spelling of a token is refused; another valid signature of it is another token."""
    token = license_token()
    head, body, seal = segments(token)
    yield Case("the token", bearer(token), 200, None)
    yield Case("padded, after the token", bearer(token + "=="))
    for other in other_last_letters(seal)[:3]:
        yield Case(f"…{other[-1]}, after the token", bearer(f"{head}.{body}.{other}"))
    within = [("Authorization", f"Bea rer {token}")]
    yield Case("white space within the scheme", within, code="license_required")
    for value in (f"Bearer   {token}", f"  Bearer {token}  ", f"bEARER {token}\t"):
        yield Case(f"white space around: {value[:9]!r}", [("Authorization", value)], 200, None)
    es256 = jws(alg="ES256")
    yield Case("(r, s)", bearer(es256), 200, None, options=all_keys())
    yield Case("(r, n-s)", bearer(mirrored(es256)), 200, None, options=all_keys())


#: The order of P-256 (SEC 2, section 2.4.2).
N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def mirrored(token: str) -> str:
    """Return an ES256 token with the other of its two valid values of s."""
    raw = signature(token)
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    return with_signature(token, r.to_bytes(32) + (N256 - s).to_bytes(32))


@row("A22")
def nested() -> Iterator[Case]:
    """A license within a license is none, whether or not the header says so."""
    inner = license_token()
    for cty in ("JWT", "jwt", "application/jwt", "", None):
        yield Case(f"cty {cty!r}, a good payload", bearer(with_header(cty=cty)))
    for name, body in {
        "a token": inner.encode(),
        "a token as a JSON string": json.dumps(inner).encode(),
        "a token in a list": json.dumps([inner]).encode(),
    }.items():
        yield Case(f"{name}, cty", bearer(jws(header(cty="JWT"), body)))
        yield Case(f"{name}, no cty", bearer(jws(header(), body)))
    yield Case("a token for a signature", bearer(with_signature(inner, inner.encode())))
    other = issuer_of("ES256").sign(claims())
    yield Case("a token for a header", bearer(signed(b64(other.encode()), segments()[1])))
