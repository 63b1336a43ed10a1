"""Rows D: payloads that are no JSON object of one reading, signed all the same.

Each is signed by the suite's own issuer, so that nothing but the reading of the payload can
refuse it.
"""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Iterable
from typing import Any

from licet.core.token import base64url
from tests.attacks.case import Case, bearer, row
from tests.licenses import ISSUER, claims, license_token

#: Room for what the default size would refuse before anybody reads it.
ROOM = {"max_token_size": 65_536}


def signed(payload: bytes) -> str:
    """Return a license token with exactly this payload, under a signature that holds."""
    head = ISSUER.sign({}).partition(".")[0]
    signing_input = f"{head}.{base64url.encode(payload).decode()}"
    signature = base64url.encode(ISSUER._keys[-1].sign(signing_input.encode())).decode()
    return f"{signing_input}.{signature}"


def spliced(text: str, **changes: Any) -> str:
    """Return a license whose payload ends in `text`, which stands as it is written."""
    return signed(f"{json.dumps(claims(**changes))[:-1]}, {text}}}".encode())


def refused(name: str, token: str, **options: Any) -> Case:
    """Return the case of a token that is no license."""
    return Case(name, bearer(token), options=options)


def taken(name: str, token: str, **options: Any) -> Case:
    """Return the case of a token that is one."""
    return Case(name, bearer(token), 200, None, options=options)


@row("D01")
def no_claims() -> Iterable[Case]:
    """A payload that is no object with claims."""
    for text in ("", "null", "[]", '"x"', "1", "{}", "true", " "):
        yield refused(repr(text), signed(text.encode()))


@row("D02")
def duplicate_members() -> Iterable[Case]:
    """Two members of one name, at any depth; whichever a reader picks."""
    past = claims()["iat"] - 1_000
    whole = json.dumps(claims())[1:]
    yield refused("exp expired, then valid", signed(f'{{"exp": {past}, {whole}'.encode()))
    yield refused("exp valid, then expired", spliced(f'"exp": {past}'))
    yield refused("aud of another, then ours", signed(f'{{"aud": "evil", {whole}'.encode()))
    yield refused("aud ours, then of another", spliced('"aud": "evil"'))
    yield refused("nested", spliced('"tenant": {"a": {"b": 1, "b": 2}}'))
    yield refused("equal values", spliced('"tenant": 1, "tenant": 1'))
    yield refused("escaped spelling", spliced('"tenant": 1, "ten\\u0061nt": 2'))
    yield refused("limits", spliced('"limits": {"seats": 1, "seats": 99}', limits=None))


@row("D03")
def other_encodings() -> Iterable[Case]:
    """A payload in another encoding than plain UTF-8."""
    text = json.dumps(claims())
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig"):
        yield refused(encoding, signed(text.encode(encoding)))
    yield refused("latin-1", signed(json.dumps(claims(plan="é"), ensure_ascii=False).encode("l1")))
    overlong = text.encode().replace(b'"plan"', b'"\xc1\xb0lan"')
    yield refused("overlong UTF-8", signed(overlong))
    yield refused("surrogates in UTF-8", signed(text.encode().replace(b"pro", b"\xed\xa0\x80")))


@row("D04")
def not_finite() -> Iterable[Case]:
    """NaN and infinity, in known claims and in others."""
    for value in ("NaN", "Infinity", "-Infinity"):
        yield refused(f"{value} unknown", spliced(f'"tenant": {value}'))
        yield refused(f"{value} nested", spliced(f'"tenant": [{{"a": {value}}}]'))
        yield refused(f"{value} exp", spliced(f'"exp": {value}', exp=None))
        yield refused(f"{value} limit", spliced(f'"limits": {{"seats": {value}}}', limits=None))


@row("D05")
def odd_numbers() -> Iterable[Case]:
    """Numbers that overflow are refused; odd spellings of finite ones are plain numbers."""
    for value in ("1e400", "-1e400", "1E999999999"):
        yield refused(f"{value} unknown", spliced(f'"tenant": {value}'))
        yield refused(f"{value} exp", spliced(f'"exp": {value}', exp=None))
    yield refused("1E308 exp", spliced('"exp": 1E308', exp=None))
    for value in ("1E308", "-0", "-0.0", "0.1e1", "1e-400"):
        yield taken(f"{value} unknown", spliced(f'"tenant": {value}'))
    yield refused("0.1e1 iat", spliced('"iat": 0.1e1', iat=None))


@row("D06")
def long_integers() -> Iterable[Case]:
    """Integers of many digits, without the price of reading them."""
    for digits in (17, 4_000, 4_301, 40_000, 1_000_000):
        number = "9" * digits
        yield refused(f"{digits} unknown", spliced(f'"tenant": {number}'), **ROOM)
        yield refused(f"{digits} exp", spliced(f'"exp": {number}', exp=None), **ROOM)
    yield refused("2**53 + 1", spliced(f'"tenant": {2**53 + 1}'))
    yield refused("-(2**53) - 1", spliced(f'"tenant": {-(2**53) - 1}'))
    yield taken("2**53", spliced(f'"tenant": {2**53}'))


@row("D07")
def deep_nesting() -> Iterable[Case]:
    """Depth 32 is read, 33 and beyond are not, whatever the brackets."""
    yield taken("32 deep", spliced('"tenant": ' + "[" * 31 + "]" * 31))
    yield taken("brackets in a string", spliced('"tenant": "' + "[{" * 500 + '"'))
    for depth in (33, 900, 20_000, 100_000, 1_000_000):
        lists = depth - 1
        yield refused(f"{depth} lists", spliced(f'"tenant": {"[" * lists}{"]" * lists}'), **ROOM)
    objects = '{"a":' * 900 + "1" + "}" * 900
    yield refused("900 objects", spliced(f'"tenant": {objects}'), **ROOM)
    yield refused("never closed", signed(b"[" * 40_000), **ROOM)


@row("D08")
def many_members() -> Iterable[Case]:
    """A thousand members, a thousand entries, and no more."""
    own = len(claims()) + len(claims()["limits"])
    for count, make in ((1_000 - own, taken), (1_001 - own, refused), (8_000, refused)):
        members = {f"m{number}": 1 for number in range(count)}
        yield make(f"{count} members", license_token(**members), **ROOM)
        # The claim that holds them is a member too.
        nested = [dict(list(members.items())[1:])]
        yield make(f"{count} nested", license_token(tenant=nested), **ROOM)
    yield taken("1,000 features", license_token(features=[f"f{n}" for n in range(1_000)]), **ROOM)
    yield refused("1,001 features", license_token(features=[f"f{n}" for n in range(1_001)]), **ROOM)
    yield refused("1,001 limits", license_token(limits={f"l{n}": 1 for n in range(1_001)}), **ROOM)
    yield refused("100,000 features", spliced('"features": [' + '"f",' * 99_999 + '"f"]'), **ROOM)
    members = ",".join(f'"m{number}":1' for number in range(200_000))
    yield refused("200,000 members", spliced(members), **ROOM)


@row("D09")
def hash_flooding() -> Iterable[Case]:
    """Names chosen to collide are few at most: their number is bounded before their cost."""
    # Equal under the hash of older interpreters, which added letters up.
    names = {"Ey" * (n % 7) + "FZ" * (n % 11) + f"{n:03}": 1 for n in range(980)}
    yield taken("980 names alike", license_token(**names), **ROOM)
    more = names | {name + "x": 1 for name in names}
    yield refused("twice as many", license_token(**more), **ROOM)


@row("D10")
def not_quite_json() -> Iterable[Case]:
    """What some readers of JSON forgive."""
    text = json.dumps(claims())
    for name, payload in {
        "two objects": text + "{}",
        "trailing text": text + "x",
        "trailing NUL": text + "\0",
        "comment": text[:-1] + "/* all */}",
        "line comment": text + "// all",
        "trailing comma": text[:-1] + ",}",
        "comma in a list": text[:-1] + ', "a": [1,]}',
        "single quotes": text.replace('"', "'"),
        "name without quotes": text.replace('"plan"', "plan"),
        "leading zero": text[:-1] + ', "a": 01}',
        "plus": text[:-1] + ', "a": +1}',
        "hexadecimal": text[:-1] + ', "a": 0x1}',
        "bare point": text[:-1] + ', "a": 1.}',
        "raw control character": text[:-1] + ', "a": "\n"}',
        "bad escape": text[:-1] + ', "a": "\\x41"}',
        "form feed": "\f" + text,
        "no-break space": "\u00a0" + text,
        "cut short": text[:-1],
        "True": text[:-1] + ', "a": True}',
    }.items():
        yield refused(name, signed(payload.encode()))


@row("D11")
def lone_surrogates() -> Iterable[Case]:
    """Half a character, in names and values."""
    for text in (
        '"tenant": "\\ud800"',
        '"tenant": "\\udc00\\ud800"',
        '"tenant": ["a", {"b": "\\uDFFF"}]',
        '"\\ud800": 1',
        '"tenant": "\\ud83d"',
    ):
        yield refused(text, spliced(text))
    yield refused("plan", spliced('"plan": "\\ud800"', plan=None))
    yield taken("a whole pair", spliced('"tenant": "\\ud83d\\ude00"'))


@row("D12")
def control_characters() -> Iterable[Case]:
    """Refused in what identifies or decides, carried as data in what people read."""
    for name, text in {
        "NUL": "a\0b",
        "CR LF": "a\r\nSet-Cookie: x=1",
        "ANSI": "\x1b[31mred",
        "bidi": "a\u202eb",
        "line separator": "a\u2028b",
    }.items():
        yield refused(f"{name} sub", license_token(sub=text))
        yield refused(f"{name} jti", license_token(jti=text))
        yield refused(f"{name} iss", license_token(iss=text))
        yield refused(f"{name} aud", license_token(aud=text))
        yield refused(f"{name} feature", license_token(features=["analytics", text]))
        yield refused(f"{name} role", license_token(roles=[text]))
        yield refused(f"{name} limit", license_token(limits={text: 1}))
        yield refused(f"{name} domain", license_token(domains=[text]))
        yield taken(f"{name} plan", license_token(plan=text))
        yield taken(f"{name} customer", license_token(customer=text))
        yield taken(f"{name} unknown", license_token(tenant={text: text}))


@row("D13")
def names_of_python() -> Iterable[Case]:
    """Claim names are data, whatever they mean to Python."""
    for name in ("__class__", "__init__", "__dict__", "items", "get", "_meta", "_grant", "require"):
        yield taken(name, license_token(**{name: {"a": 1}}))
        yield taken(f"limit {name}", license_token(limits={name: 1}))
    yield taken("all", license_token(**{"__class__": "str", "features ": ["gold"], "self": 1}))


@row("D14")
def other_formats() -> Iterable[Case]:
    """Bytes of other formats are no JSON, and nobody unpacks them."""
    whole = claims()
    for name, payload in {
        "pickle": pickle.dumps(whole),
        "old pickle": pickle.dumps(whole, 0),
        "YAML": "\n".join(f"{key}: {value}" for key, value in whole.items()).encode(),
        "msgpack": b"\x81\xa3iss\xa1x",
        "CBOR": b"\xa1\x63iss\x61x",
        "gzip": gzip.compress(json.dumps(whole).encode()),
        "XML": b"<iss>x</iss>",
    }.items():
        yield refused(name, signed(payload))
