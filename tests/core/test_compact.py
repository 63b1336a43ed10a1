"""A compact JWS taken apart: the one shape, the one header, and nothing believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.errors import LicenseInvalid
from licet.core.token import base64url
from licet.core.token.compact import (
    FORBIDDEN,
    MAX_HEADER,
    CompactToken,
    Header,
    HeaderCache,
    media_type,
    parse,
)
from tests.licenses import license_token

HEADER = {"typ": "license+jwt", "alg": "EdDSA", "kid": "k1"}


def segment(value: Any) -> bytes:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64url.encode(data)


def token(header: Any = HEADER, payload: Any = None, signature: bytes = b"s" * 64) -> bytes:
    payload = {"iss": "i"} if payload is None else payload
    return b".".join((segment(header), segment(payload), base64url.encode(signature)))


def parsed(credential: bytes, max_size: int = 65_536) -> CompactToken:
    return parse(credential, max_size=max_size, headers=HeaderCache())


def reason(credential: bytes, max_size: int = 65_536) -> str:
    with pytest.raises(LicenseInvalid) as refused:
        parsed(credential, max_size)
    assert credential not in repr(refused.value).encode() or not credential
    return refused.value.reason


def test_the_parts_are_those_that_were_put_together() -> None:
    """Header, payload, signature and the signing input come out as they were spelt."""
    whole = token(payload={"a": 1}, signature=b"sig")
    parts = parsed(whole)
    assert parts.header == Header("EdDSA", "k1", "license+jwt")
    assert parts.header_segment == segment(HEADER)
    assert parts.payload == {"a": 1}
    assert parts.signature == b"sig"
    assert parts.signing_input == whole.rpartition(b".")[0]


GOOD = token()
HEAD, BODY, SIGNATURE = GOOD.split(b".")


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(b"", id="A02-empty"),
        pytest.param(b"   ", id="A02-spaces"),
        pytest.param(HEAD + b"." + BODY, id="A03-two"),
        pytest.param(GOOD + b".AA", id="A03-four"),
        pytest.param(GOOD + b".AA.AA", id="A04-five"),
        pytest.param(GOOD + b".AA.AA.AA", id="A03-six"),
        pytest.param(GOOD + b".", id="A03-trailing-dot"),
        pytest.param(b"." + GOOD, id="A03-leading-dot"),
        pytest.param(b"..", id="A03-two-dots"),
        pytest.param(b"...", id="A03-three-dots"),
        pytest.param(b"." * 60_000, id="A03-60000-dots"),
        pytest.param(HEAD + b".." + SIGNATURE, id="D01-no-payload"),
        pytest.param(HEAD + b"." + BODY + b".", id="B08-no-signature"),
        pytest.param(b'{"payload":"","protected":"","signature":""}', id="A07-json"),
        pytest.param(b'{"x":"' + GOOD + b'","payload":""}', id="A08-polyglot"),
        pytest.param(HEAD + b"=." + BODY + b"." + SIGNATURE, id="A09-padded-header"),
        pytest.param(HEAD + b"." + BODY + b"=." + SIGNATURE, id="A09-padded-payload"),
        pytest.param(GOOD + b"==", id="A09-padded-signature"),
        pytest.param(GOOD + b"\n", id="A14-newline"),
        pytest.param(b" " + GOOD, id="A13-space"),
        pytest.param(GOOD.replace(b".", b" .", 1), id="A13-space-inside"),
        pytest.param(GOOD + b"\0", id="A13-nul"),
        pytest.param(GOOD.replace(b".", "\uff0e".encode()), id="A15-fullwidth"),
        pytest.param(GOOD + b"\xe9", id="A17-latin-1"),
        pytest.param(b"ABCD-EFGH-1234", id="opaque"),
    ],
)
def test_another_shape_is_refused(credential: bytes) -> None:
    """A02 to A17: whatever is not three canonical segments is `license_invalid` at once."""
    assert reason(credential) in {"not_a_jws", "malformed"}


def test_a_jwe_is_refused_before_anything_of_it_is_read() -> None:
    """A04, A05, A06: five segments are refused by their number, not one of them decoded."""
    header = segment({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31 - 1})
    headers = HeaderCache()
    with pytest.raises(LicenseInvalid) as refused:
        parse(header + b".AA.AA.AA.!!", max_size=4096, headers=headers)
    assert refused.value.reason == "not_a_jws"


def test_size_is_looked_at_first() -> None:
    """A19, A20: one byte above the limit is too large, whatever the bytes."""
    assert parsed(GOOD, max_size=len(GOOD)).payload == {"iss": "i"}
    assert reason(GOOD, max_size=len(GOOD) - 1) == "token_too_large"
    assert reason(b"A" * 20_000_000, max_size=4096) == "token_too_large"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        pytest.param([], "malformed", id="B01-array"),
        pytest.param(None, "malformed", id="B01-null"),
        pytest.param("x", "malformed", id="B01-text"),
        pytest.param(1, "malformed", id="B01-number"),
        pytest.param({}, "alg_not_allowed", id="B01-empty"),
        pytest.param(b'{"alg":"EdDSA","alg":"none","kid":"k"}', "malformed", id="B02-alg-twice"),
        pytest.param(b'{"alg":"EdDSA","kid":"a","kid":"b"}', "malformed", id="B02-kid-twice"),
        pytest.param(json.dumps(HEADER).encode("utf-16"), "malformed", id="B03-utf-16"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(HEADER).encode(), "malformed", id="B03-bom"),
        pytest.param(b'{"alg":"EdDSA","kid":"\xff"}', "malformed", id="B04-no-utf-8"),
        pytest.param({**HEADER, "x": "\ud800"}, "malformed", id="B04-surrogate"),
        pytest.param(b'{"a":' * 40 + b"1" + b"}" * 40, "malformed", id="B05-deep"),
        pytest.param({**HEADER, "alg": None}, "alg_not_allowed", id="B07-null"),
        pytest.param({**HEADER, "alg": 1}, "alg_not_allowed", id="B07-number"),
        pytest.param({**HEADER, "alg": ["EdDSA"]}, "alg_not_allowed", id="B07-list"),
        pytest.param({**HEADER, "alg": {}}, "alg_not_allowed", id="B07-object"),
        pytest.param({**HEADER, "alg": True}, "alg_not_allowed", id="B07-boolean"),
        pytest.param({"alg": "EdDSA"}, "kid_required", id="B14-missing"),
        pytest.param({**HEADER, "kid": None}, "bad_kid", id="B15-null"),
        pytest.param({**HEADER, "kid": 1}, "bad_kid", id="B15-number"),
        pytest.param({**HEADER, "kid": ["k1"]}, "bad_kid", id="B15-list"),
        pytest.param({**HEADER, "kid": {}}, "bad_kid", id="B15-object"),
        pytest.param({**HEADER, "kid": True}, "bad_kid", id="B15-boolean"),
        pytest.param({**HEADER, "kid": ""}, "bad_kid", id="B15-empty"),
        pytest.param({**HEADER, "kid": "k" * 257}, "bad_kid", id="B16-long"),
        pytest.param({**HEADER, "kid": "k\r\nx"}, "bad_kid", id="B16-crlf"),
        pytest.param({**HEADER, "kid": "k\0"}, "bad_kid", id="B16-nul"),
        pytest.param({**HEADER, "kid": "k\x7f"}, "bad_kid", id="B16-del"),
        pytest.param({**HEADER, "kid": "ké"}, "bad_kid", id="B16-no-ascii"),
        pytest.param({**HEADER, "typ": None}, "wrong_type", id="B28-null"),
        pytest.param({**HEADER, "typ": 5}, "wrong_type", id="B28-number"),
        pytest.param({**HEADER, "typ": ["license+jwt"]}, "wrong_type", id="B28-list"),
        pytest.param({**HEADER, "typ": {}}, "wrong_type", id="B28-object"),
    ],
)
def test_another_header_is_refused(header: Any, why: str) -> None:
    """B01 to B28: a header that is not one object of well-formed members refuses the token."""
    assert reason(token(header)) == why


@pytest.mark.parametrize("member", sorted(FORBIDDEN))
@pytest.mark.parametrize("value", [None, "", [], ["b64"], True, False, 0, {}], ids=repr)
def test_a_member_that_would_change_the_reading_refuses(member: str, value: object) -> None:
    """B20 to B25, B29: keys by the token, `crit`, `b64` and JWE members refuse by being there."""
    assert reason(token({**HEADER, member: value})) == f"header_param_forbidden:{member}"


def test_the_forbidden_members_are_all_named() -> None:
    """A22, B20 to B29: every member the specification names is among them."""
    named = "jku x5u jwk x5c crit b64 cty zip enc p2c p2s epk apu apv iv tag".split()
    assert set(named) <= FORBIDDEN


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({**HEADER, "iss": "other", "aud": "x", "sub": 1}, id="B30-claims"),
        pytest.param({**HEADER, "vendor": [1, {"a": None}]}, id="B31-unknown"),
        pytest.param({**HEADER, "__class__": 1}, id="D13-names"),
    ],
)
def test_unknown_members_are_ignored(header: dict[str, Any]) -> None:
    """B30, B31: what a header says beside `alg`, `kid` and `typ` changes nothing."""
    assert parsed(token(header)).header == Header("EdDSA", "k1", "license+jwt")


@pytest.mark.parametrize(
    "kid",
    [
        *("k", "k" * 256, "a b", "~!", "__class__", "keys", "0", "../../../dev/null"),
        *("file:///etc/passwd", "x' UNION SELECT '1';--", "$(sleep 10)", "${jndi:ldap://x}"),
    ],
)
def test_a_kid_is_only_text(kid: str) -> None:
    """B17, B18, B19: printable ASCII of 1 to 256 letters passes as it is, whatever it spells."""
    assert parsed(token({**HEADER, "kid": kid})).header.kid == kid


def test_a_header_of_two_kibibytes_is_the_largest() -> None:
    """B06: 2,048 bytes decoded pass, 2,049 are too large."""
    room = MAX_HEADER - len(json.dumps({**HEADER, "pad": ""}))
    assert parsed(token({**HEADER, "pad": "x" * room})).header.kid == "k1"
    assert reason(token({**HEADER, "pad": "x" * (room + 1)})) == "header_too_large"


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b'"x"', b"1", b"foo", b'{"a":1,"a":2}'])
def test_a_payload_is_one_object(payload: bytes) -> None:
    """D01, D02: a payload that is no object, or one with two readings, refuses."""
    assert reason(token(payload=payload)) == "malformed"


@pytest.mark.parametrize(
    ("typ", "form"),
    [
        ("license+jwt", "license+jwt"),
        ("LICENSE+JWT", "license+jwt"),
        ("application/license+jwt", "license+jwt"),
        ("Application/License+JWT", "license+jwt"),
        ("application/application/license+jwt", "application/license+jwt"),
        ("text/license+jwt", "text/license+jwt"),
        (" license+jwt", " license+jwt"),
        ("license+\u212ajwt", "license+\u212ajwt"),
        ("", ""),
    ],
)
def test_a_type_is_compared_in_one_form(typ: str, form: str) -> None:
    """B26, B27: without case and one `application/`; no letter outside ASCII is folded into it."""
    assert media_type(typ) == form
    assert parsed(token({**HEADER, "typ": typ})).header.typ == form


def test_a_missing_type_is_told_from_any_other() -> None:
    """B26: a header without `typ` has none, which is not the empty one."""
    assert parsed(token({"alg": "EdDSA", "kid": "k1"})).header.typ is None


def test_a_header_is_remembered_only_when_told() -> None:
    """Parsing fills no cache; a remembered segment is the same object next time."""
    headers = HeaderCache()
    first = parse(GOOD, max_size=4096, headers=headers)
    assert not headers
    headers.remember(first)
    headers.remember(first)
    assert parse(GOOD, max_size=4096, headers=headers).header is first.header
    assert len(headers) == 1


def test_the_cache_of_headers_is_bounded() -> None:
    """P06: more headers than it holds empty it and the newest is kept."""
    headers = HeaderCache()
    for n in range(HeaderCache.CAPACITY + 1):
        headers.remember(parsed(token({**HEADER, "kid": str(n)})))
    assert [header.kid for header in headers.values()] == [str(HeaderCache.CAPACITY)]


def test_a_refusal_does_not_quote_the_token() -> None:
    """R01, R06: neither the error nor a shown cause holds a byte of what was presented."""
    canary = "canary-5d1f"
    with pytest.raises(LicenseInvalid) as refused:
        parsed(token(payload=b'{"a":"' + canary.encode() + b'",}'))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert canary not in f"{refused.value!r}{refused.value.reason}{refused.value.members}"


@given(
    credential=st.one_of(
        st.binary(max_size=80),
        st.lists(st.sampled_from([HEAD, BODY, SIGNATURE, b".", b"..", b"=", b"A", b"\xff"])).map(
            b"".join
        ),
        st.binary(max_size=40).map(lambda header: token(header or b"{}")),
    )
)
@settings(max_examples=200, deadline=None)
def test_no_bytes_get_anything_but_a_token_or_a_refusal(credential: bytes) -> None:
    """A03, A13: any bytes are three canonical segments, put together again, or LicenseInvalid."""
    try:
        parts = parsed(credential)
    except LicenseInvalid:
        return
    assert parts.signing_input + b"." + base64url.encode(parts.signature) == credential


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_never_leaves_the_same_parts(position: int, bit: int) -> None:
    """A21: a token with one bit flipped is refused, or has another signing input or signature."""
    whole = bytearray(LICENSE)
    whole[position % len(whole)] ^= 1 << bit
    try:
        parts = parsed(bytes(whole))
    except LicenseInvalid:
        return
    genuine = parsed(LICENSE)
    assert (parts.signing_input, parts.signature) != (genuine.signing_input, genuine.signature)


LICENSE = license_token().encode()


def test_a_header_without_a_type_has_all_else() -> None:
    """B26: `alg` and `kid` are read as in any other header."""
    assert parsed(token({"alg": "EdDSA", "kid": "k1"})).header == Header("EdDSA", "k1", None)
