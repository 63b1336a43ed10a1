"""Status lists: what a license may name, what a list has to be, and what it says."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from timeit import repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.documents.unusable import Unusable
from licet.core.errors import LicenseInvalid
from licet.core.revocation.statuslist import (
    BITS,
    MAX_INFLATED,
    MAX_TOKEN,
    StatusList,
    StatusReference,
    pack,
    read_list,
    read_reference,
)
from licet.core.token import base64url
from licet.core.token.signature import Verifier
from licet.issuer import Issuer

ISSUER = "https://licenses.test"
URI = "https://licenses.test/status/1"
NOW = 1_800_000_000.0
VENDOR = Issuer.generate(ISSUER)


def lst(packed: bytes) -> str:
    """Return bytes as they stand in a list."""
    return base64url.encode(zlib.compress(packed, 9)).decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good list of four licenses; a change to None removes the claim."""
    whole = {
        "sub": URI,
        "iat": NOW,
        "exp": NOW + 3_600,
        "ttl": 300,
        "status_list": {"bits": 2, "lst": lst(b"\xe4")},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def signed(*, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a list signed by the vendor, good but for these changes."""
    return VENDOR.sign(claims(**changes), header={"typ": "statuslist+jwt", **(header or {})})


def trusting(kid: str, alg: str) -> Verifier:
    """Find a key that vouches for everything."""
    return lambda signing_input, signature: True


def forbidden(kid: str, alg: str) -> Verifier:
    """Fail the test: nobody was to look for a key."""
    raise AssertionError("a key was looked for")


def read(
    token: str, find: Callable[[str, str], Verifier] = trusting, now: float = NOW
) -> StatusList:
    return read_list(token.encode(), URI, ISSUER, find, now)


def refused(token: str, find: Callable[[str, str], Verifier] = trusting, now: float = NOW) -> str:
    """Return why a list is of no use."""
    with pytest.raises(Unusable) as caught:
        read(token, find, now)
    assert str(caught.value) == caught.value.word
    return caught.value.word


# -- what a license names --------------------------------------------------------------------------


def test_a_reference_is_an_address_and_a_place() -> None:
    """The claim of the protocol is read; what else its mechanism says is nobody's business."""
    claim = {"status_list": {"idx": 412, "uri": URI, "note": "x"}}
    assert read_reference(claim) == StatusReference(uri=URI, idx=412)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:8080/status/1?a=b&c=%20",
        "https://[2001:db8::1]:443/status",
        "https://licenses.test",
        "https://licenses.test?list=1",
        "https://licenses.test/" + "x" * (1_024 - 22),
    ],
)
def test_an_address_is_an_absolute_url(uri: str) -> None:
    """Whatever RFC 3986 permits of scheme, host, port, path and query."""
    assert read_reference({"status_list": {"idx": 0, "uri": uri}}).uri == uri


@pytest.mark.parametrize(
    "claim",
    [
        None,
        [],
        "revoked",
        {},
        {"status_list": None},
        {"status_list": [0, URI]},
        {"status_list": {"uri": URI}},
        {"status_list": {"idx": 0}},
        {"status_list": {"idx": 0, "uri": URI}, "identifier_list": {"id": "x"}},
        *[
            {"status_list": {"idx": idx, "uri": URI}}
            for idx in (True, False, -1, 0.0, 1.5, "0", None, [0])
        ],
        *[
            {"status_list": {"idx": 0, "uri": uri}}
            for uri in (
                "",
                7,
                None,
                "/status/1",
                "//licenses.test/status/1",
                "ftp://licenses.test/status/1",
                "HTTPS://licenses.test/status/1",
                "file:///etc/passwd",
                "https://",
                "https:///status/1",
                "https://user@licenses.test/status/1",
                "https://user:word@licenses.test/status/1",
                "https://licenses.test/status/1#one",
                "https://licenses.test/status/1#",
                "https://licenses.test:99999/status/1",
                "https://licenses.test:/status/1",
                "https://licenses.test\\@evil.test/",
                "https://licenses.test/a b",
                "https://licenses.test/a\n",
                "https://licenses.test/a\x7f",
                "https://lizenzen.tést/1",
                "https://licenses.test/" + "x" * (1_025 - 22),
            )
        ],
    ],
)
def test_any_other_claim_refuses_the_license(claim: object) -> None:
    """What is not understood could withdraw the license without anybody noticing."""
    with pytest.raises(LicenseInvalid) as caught:
        read_reference(claim)
    assert caught.value.reason == "bad_claim:status"


# -- what stands in a list -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "spelt", "expected"),
    [
        (1, "eNrbuRgAAhcBXQ", [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]),
        (2, "eNo76fITAAPfAgc", [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]),
    ],
)
def test_the_examples_of_the_standard_are_read(bits: int, spelt: str, expected: list[int]) -> None:
    """Section 4.1: least significant bits first."""
    found = read(signed(status_list={"bits": bits, "lst": spelt}))
    assert [found.status(idx) for idx in range(len(expected))] == expected
    assert found.status(len(expected)) is None


def test_the_large_example_of_the_standard_is_read() -> None:
    """Appendix C: 2^20 places of one bit, eleven of which are set."""
    spelt = (
        "eNrt3AENwCAMAEGogklACtKQPg9LugC9k_ACvreiogEAAKkeCQAAAAAAAAAAAAAAAAAAAIBylgQAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAXG9IAAAAAAAAAPwsJAAAAAAAAAAAAAAAvhsSAAAAAAAAAAAA7KpLAAAA"
        "AAAAAAAAAAAAAAAAAJsLCQAAAAAAAAAAADjelAAAAAAAAAAAKjDMAQAAAACAZC8L2AEb"
    )
    found = read(signed(status_list={"bits": 1, "lst": spelt}))
    expected = {0, 1993, 25460, 159495, 495669, 554353, 645645, 723232, 854545, 934534, 1000345}
    assert {idx for idx in range(2**20) if found.status(idx)} == expected
    assert found.status(2**20) is None


@st.composite
def contents(draw: st.DrawFn) -> tuple[int, list[int]]:
    bits = draw(st.sampled_from(BITS))
    return bits, draw(st.lists(st.integers(0, 2**bits - 1), max_size=70))


@given(contents())
def test_what_is_packed_is_read_back(content: tuple[int, list[int]]) -> None:
    """At 1, 2, 4 and 8 bits, against a model that writes each list as one long number."""
    bits, statuses = content
    packed = pack(enumerate(statuses), len(statuses), bits)
    model = sum(status << (idx * bits) for idx, status in enumerate(statuses))
    assert packed == model.to_bytes((len(statuses) * bits + 7) // 8, "little")
    found = read(signed(status_list={"bits": bits, "lst": lst(packed)}))
    places = len(packed) * 8 // bits
    padding = [0] * (places - len(statuses))
    assert [found.status(idx) for idx in range(places)] == statuses + padding
    assert found.status(places) is found.status(-1) is found.status(2**70) is None


def test_words_are_said_of_the_registered_values() -> None:
    """0, 1 and 2 are valid, revoked and suspended."""
    found = read(signed())
    assert [found.word(idx) for idx in range(3)] == ["valid", "revoked", "suspended"]


@pytest.mark.parametrize("idx", [-1, -4, 4, 2**53, 2**100])
def test_an_index_outside_refuses(idx: int) -> None:
    """Nothing is said of it, which is no yes."""
    found = read(signed())
    with pytest.raises(LicenseInvalid) as caught:
        found.word(idx)
    assert caught.value.reason == "status_index"


@pytest.mark.parametrize("value", [3, 4, 12, 15, 128, 255])
def test_any_other_value_refuses(value: int) -> None:
    """What an application of the issuer's own means by it nobody knows here."""
    found = read(signed(status_list={"bits": 8, "lst": lst(bytes([0, value]))}))
    assert found.word(0) == "valid"
    with pytest.raises(LicenseInvalid) as caught:
        found.word(1)
    assert caught.value.reason == "status_unknown"


def test_an_empty_list_speaks_of_nobody() -> None:
    """It is a list all the same."""
    found = read(signed(status_list={"bits": 1, "lst": lst(b"")}))
    assert found.status(0) is None


def test_a_list_never_changes_and_does_not_fill_a_log() -> None:
    """It is shared between threads, and eight megabytes are nobody's `repr`."""
    found = read(signed())
    with pytest.raises(FrozenInstanceError):
        found.bits = 1  # type: ignore[misc]
    assert "packed" not in repr(found)


# -- what is a list --------------------------------------------------------------------------------


def test_a_list_is_read_as_it_says() -> None:
    """Times as they are; `exp`, `ttl` and `iss` may be missing, other members may be there."""
    found = read(signed(iss=ISSUER, extra={"a": 1}, status_list={"bits": 2, "lst": lst(b"\xe4"),
        "aggregation_uri": "https://licenses.test/all"}))  # fmt: skip
    assert (found.uri, found.bits, found.packed) == (URI, 2, b"\xe4")
    assert (found.issued_at, found.expires_at, found.ttl) == (NOW, NOW + 3_600, 300)
    least = read(signed(exp=None, ttl=None))
    assert (least.expires_at, least.ttl) == (None, None)


def test_the_type_may_be_spelt_as_a_media_type() -> None:
    """RFC 7515, section 4.1.9."""
    assert read(signed(header={"typ": "application/StatusList+JWT"}))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"header": {"typ": None}}, "wrong_type"),
        ({"header": {"typ": "JWT"}}, "wrong_type"),
        ({"header": {"typ": "license+jwt"}}, "wrong_type"),
        ({"header": {"typ": "license-validation+jwt"}}, "wrong_type"),
        ({"header": {"typ": "statuslist+cwt"}}, "wrong_type"),
        ({"header": {"kid": None}}, "kid_required"),
        ({"header": {"zip": "DEF"}}, "header_param_forbidden:zip"),
        ({"header": {"jku": "https://evil.test"}}, "header_param_forbidden:jku"),
        ({"sub": None}, "bad_claim:sub"),
        ({"sub": URI + "/"}, "bad_claim:sub"),
        ({"sub": [URI]}, "bad_claim:sub"),
        ({"iss": "https://evil.test"}, "bad_issuer"),
        ({"iss": [ISSUER]}, "bad_issuer"),
        ({"aud": "acme-reports"}, "bad_claim:aud"),
        ({"iat": None}, "missing_claim:iat"),
        *[({"iat": iat}, "bad_claim:iat") for iat in (str(NOW), True, -1)],
        ({"iat": NOW + 31}, "from_the_future"),
        ({"nbf": NOW + 31}, "from_the_future"),
        ({"nbf": "soon"}, "bad_claim:nbf"),
        ({"exp": NOW - 30}, "expired"),
        *[({"exp": exp}, "bad_claim:exp") for exp in (False, 10**12, "never")],
        *[({"ttl": ttl}, "bad_claim:ttl") for ttl in (0, -1, True, "300", [1])],
    ],
)
def test_whatever_is_no_list_for_here_and_now_is_of_no_use(
    changes: dict[str, Any], word: str
) -> None:
    """It is refused before a key is looked for, in one word that quotes nothing."""
    assert refused(signed(**changes), forbidden) == word


@pytest.mark.parametrize(
    ("token", "word"),
    [
        ("", "not_a_jws"),
        ("opaque", "not_a_jws"),
        ("a.b.c.d", "not_a_jws"),
        ("a.b.c", "malformed"),
        ('{"status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}}', "not_a_jws"),
    ],
)
def test_a_list_is_a_compact_jws(token: str, word: str) -> None:
    """Whatever its media type said."""
    assert refused(token, forbidden) == word


@pytest.mark.parametrize("moment", [NOW - 30, NOW + 3_629.9])
def test_clocks_may_differ_by_half_a_minute(moment: float) -> None:
    """Before `iat` and after `exp`."""
    assert read(signed(), now=moment)


def test_no_algorithm_without_a_public_key_is_looked_for() -> None:
    """`none` and shared secrets sign nothing."""
    _, payload, signature = signed().split(".")
    for alg in ("none", "HS256", "ES256K"):
        named = json.dumps({"typ": "statuslist+jwt", "alg": alg, "kid": "k"}).encode()
        token = f"{base64url.encode(named).decode()}.{payload}.{signature}"
        assert refused(token, forbidden) == "alg_not_allowed"


def test_the_signature_is_checked_before_anything_is_inflated() -> None:
    """A stranger's bomb is not even touched."""
    bomb = lst(bytes(MAX_INFLATED + 1))
    token = signed(status_list={"bits": 1, "lst": bomb})
    assert refused(token, lambda kid, alg: lambda signed, signature: False) == "bad_signature"


def test_the_key_is_the_one_that_the_header_names() -> None:
    """By id and algorithm; what it is given is the signing input as it came."""
    asked: list[object] = []

    def find(kid: str, alg: str) -> Verifier:
        asked.append((kid, alg))
        return lambda *given: asked.append(given) or True  # type: ignore[func-returns-value]

    token = signed().encode()
    read(token.decode(), find)
    body, _, signature = token.rpartition(b".")
    assert asked == [(VENDOR.kid, "EdDSA"), (body, base64url.decode(signature))]


# -- what is inflated ------------------------------------------------------------------------------

WHOLE = zlib.compress(b"\xe4" * 100)


def raw(value: bytes) -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return made.compress(value) + made.flush()


def with_dictionary() -> bytes:
    made = zlib.compressobj(zdict=b"\xe4" * 32)
    return made.compress(b"\xe4" * 100) + made.flush()


@pytest.mark.parametrize(
    "member",
    [
        None,
        [],
        {},
        {"bits": 2},
        {"lst": lst(b"\0")},
        *[{"bits": bits, "lst": lst(b"\0")} for bits in (0, 3, 16, 2.0, True, "2", None)],
        {"bits": 1, "lst": None},
        {"bits": 1, "lst": [1, 0]},
    ],
)
def test_a_list_has_bits_and_bytes(member: object) -> None:
    """Of 1, 2, 4 or 8 and base64url; anything else is no list."""
    found = refused(VENDOR.sign({**claims(), "status_list": member}, header={
        "typ": "statuslist+jwt"}))  # fmt: skip
    assert found == "bad_claim:status_list"


@pytest.mark.parametrize(
    "spelt",
    [
        "",
        "!!",
        lst(b"\xe4") + "=",
        lst(b"\xe4").replace("e", "ë", 1),
        base64url.encode(b"no zlib").decode(),
        base64url.encode(WHOLE[:-1]).decode(),
        base64url.encode(WHOLE[:-5]).decode(),
        base64url.encode(WHOLE[:2]).decode(),
        base64url.encode(WHOLE + b"\0").decode(),
        base64url.encode(WHOLE + WHOLE).decode(),
        base64url.encode(WHOLE[:-1] + bytes([WHOLE[-1] ^ 1])).decode(),
        base64url.encode(raw(b"\xe4" * 100)).decode(),
        base64url.encode(with_dictionary()).decode(),
    ],
)
def test_bytes_are_one_whole_zlib_stream(spelt: str) -> None:
    """RFC 1950: nothing missing, nothing behind it, its check sum right, no dictionary."""
    assert refused(signed(status_list={"bits": 2, "lst": spelt})) == "bad_claim:lst"


def test_eight_megabytes_are_read() -> None:
    """The cap is a list of that length, and its last place."""
    found = read(signed(status_list={"bits": 8, "lst": lst(bytes(MAX_INFLATED - 1) + b"\2")}))
    assert found.word(MAX_INFLATED - 1) == "suspended"
    assert found.status(MAX_INFLATED) is None


def test_a_bomb_is_refused_at_eight_megabytes() -> None:
    """A gigabyte in a megabyte takes no more memory than the longest list does."""
    made, block = zlib.compressobj(9), bytes(1024 * 1024)
    first, again = (made.compress(block) + made.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    bomb = first + again * 1023
    assert len(bomb) > 900_000
    token = signed(status_list={"bits": 1, "lst": base64url.encode(bomb).decode()})
    tracemalloc.start()
    try:
        assert refused(token) == "list_too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * MAX_INFLATED + 8 * len(token)


def test_a_token_above_its_size_is_not_read() -> None:
    """Its length alone is enough."""
    assert refused("x" * (MAX_TOKEN + 1), forbidden) == "token_too_large"
    assert refused("x" * MAX_TOKEN, forbidden) == "not_a_jws"


def test_a_million_licenses_cost_little() -> None:
    """A quarter of a megabyte, and far less than a millisecond for each look."""
    token = VENDOR.status_list(
        URI, dict.fromkeys(range(0, 1_000_000, 20), "revoked"), issued_at=NOW
    )
    tracemalloc.start()
    try:
        found = read(token)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.1 * 2**20 / 4
    assert [found.word(idx) for idx in (0, 1, 999_980, 999_999)] == [
        "revoked",
        "valid",
        "revoked",
        "valid",
    ]
    each = min(repeat(lambda: found.word(412), number=10_000, repeat=5)) / 10_000
    assert each < 20e-6, each
