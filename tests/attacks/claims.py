"""Rows E and F: claims that are missing, of the wrong kind, out of range or another's."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from tests.attacks.case import Case, bearer, row
from tests.attacks.payload import ROOM, refused, spliced, taken
from tests.licenses import AUDIENCE, ISSUER, ISSUER_NAME, claims, license_token

HOUR = 3_600
#: What is no text and no list of texts.
NOT_TEXTS: tuple[Any, ...] = (1, True, {"a": 1}, [1], ["a", None], [["a"]], [""], 1.5)


def _expired(name: str, token: str, **options: Any) -> Case:
    return Case(name, bearer(token), 401, "license_expired", options=options)


def _null(name: str) -> str:
    return spliced(f'"{name}": null', **{name: None})


# -- E: registered claims --------------------------------------------------------------------------


@row("E01")
def exp_missing() -> Iterable[Case]:
    """There is no license without an end."""
    yield refused("exp", license_token(exp=None))
    yield refused("iat", license_token(iat=None))
    yield refused("both", license_token(iat=None, exp=None))
    yield refused("in other case", license_token(exp=None, Exp=claims()["exp"]))


@row("E02")
def exp_as_text() -> Iterable[Case]:
    """A NumericDate is a JSON number (RFC 7519, section 2)."""
    arabic = "".join(chr(0x660 + int(digit)) for digit in "9999999999")
    for text in ("9999999999", " 9999999999 ", "9_999_999_999", "+9999999999", arabic, "1e10", ""):
        yield refused(repr(text), license_token(exp=text))
    soon = str(claims()["exp"])
    yield refused("a time that would hold", license_token(exp=soon))
    yield refused("iat", license_token(iat=str(claims()["iat"])))


@row("E03")
def exp_of_another_kind() -> Iterable[Case]:
    """No other JSON value is a NumericDate."""
    for value in (True, False, [], [claims()["exp"]], {}, {"exp": 1}, ""):
        yield refused(repr(value), license_token(exp=value))
    yield refused("null", _null("exp"))
    yield refused("null iat", _null("iat"))


@row("E04")
def exp_odd_numbers() -> Iterable[Case]:
    """A fraction counts as it stands; what no calendar knows is refused."""
    now = time.time()
    yield taken("fraction", license_token(exp=now + 60.9))
    yield _expired("not rounded up", license_token(iat=now - 60, exp=now - 0.001), leeway=0)
    for value in (1e18, 1e308, 253_402_300_800, 253_402_300_799.5, -1, -0.5):
        yield refused(repr(value), license_token(exp=value))
    yield refused("0, before iat", license_token(exp=0))
    yield _expired("0", license_token(iat=0, exp=0))
    forever = {"max_lifetime": 36_525 * 86_400}
    yield refused("year 9999", license_token(exp=253_402_300_799), **forever)


@row("E05")
def exp_now() -> Iterable[Case]:
    """`now >= exp + leeway` refuses; the leeway is as much as is set and no more."""
    now = int(time.time())
    yield _expired("now, no leeway", license_token(iat=now - HOUR, exp=now), leeway=0)
    yield _expired("now, leeway gone", license_token(iat=now - HOUR, exp=now - 30))
    yield taken("now, inside the leeway", license_token(iat=now - HOUR, exp=now), leeway=60)
    yield _expired("long ago", license_token(iat=now - 2 * HOUR, exp=now - HOUR), leeway=300)


@row("E06")
def exp_in_milliseconds() -> Iterable[Case]:
    """Thirteen digits are a time too far."""
    now = int(time.time())
    yield refused("exp", license_token(exp=(now + HOUR) * 1_000))
    yield refused("both", license_token(iat=now * 1_000, exp=(now + HOUR) * 1_000))


@row("E07")
def lifetime_too_long() -> Iterable[Case]:
    """`exp - iat` is held against `max_lifetime`."""
    now = int(time.time())
    limit = {"max_lifetime": 86_400}
    yield taken("as long as allowed", license_token(exp=now + 86_400, iat=now), **limit)
    yield refused("a second more", license_token(exp=now + 86_401, iat=now), **limit)
    yield refused("more than the default", license_token(exp=now + 401 * 86_400, iat=now))


@row("E08")
def nbf() -> Iterable[Case]:
    """Before its time is an answer of its own; what is no time is no license."""
    now = int(time.time())
    early = bearer(license_token(nbf=now + 600))
    yield Case("future", early, 401, "license_not_active")
    yield taken("inside the leeway", license_token(nbf=now + 20))
    for value in (str(now), True, [], {}, -1, 1e300):
        yield refused(repr(value), license_token(nbf=value))
    yield refused("null", _null("nbf"))
    yield refused("NaN", spliced('"nbf": NaN'))
    yield refused("after exp", license_token(nbf=now + HOUR + 600))


@row("E09")
def iat() -> Iterable[Case]:
    """Issued in the future, too long ago, or at what is no time."""
    now = int(time.time())
    yield refused("future", license_token(iat=now + 600))
    yield taken("inside the leeway", license_token(iat=now + 20))
    for value in (True, str(now), [], -1, 1e300):
        yield refused(repr(value), license_token(iat=value))
    yield refused("too long ago", license_token(iat=now - 400 * 86_400))
    yield refused("after exp", license_token(iat=now, exp=now - 1))


@row("E11")
def iss() -> Iterable[Case]:
    """The issuer is compared exactly."""
    yield refused("missing", license_token(iss=None))
    yield refused("null", _null("iss"))
    for name in (
        "https://evil.example",
        ISSUER_NAME[:-1],
        ISSUER_NAME + "/",
        ISSUER_NAME + ".evil.example",
        ISSUER_NAME.upper(),
        ISSUER_NAME + "\0",
        " " + ISSUER_NAME,
        ISSUER_NAME.replace("a", "\u0430", 1),
        "",
        "https",
        [ISSUER_NAME],
        {"iss": ISSUER_NAME},
        True,
    ):
        yield refused(repr(name), license_token(iss=name))


@row("E13")
def aud() -> Iterable[Case]:
    """The audience is one of the configured ones, as a text or in a list of texts."""
    yield refused("missing", license_token(aud=None))
    yield refused("null", _null("aud"))
    for value in (
        "another",
        AUDIENCE[:-1],
        AUDIENCE + " ",
        AUDIENCE.upper(),
        AUDIENCE + "-pro",
        "",
        "*",
        [],
        1,
        True,
        {AUDIENCE: True},
        [[AUDIENCE]],
        [1],
        [AUDIENCE, 1],
        [AUDIENCE, None],
        ["another"],
        [f"{AUDIENCE},another"],
    ):
        yield refused(repr(value), license_token(aud=value))
    yield refused("1,001 entries", license_token(aud=[AUDIENCE] * 1_001), **ROOM)
    yield refused("100,000 entries", license_token(aud=[AUDIENCE] * 100_000), **ROOM)
    yield taken("one in a list", license_token(aud=[AUDIENCE]))


@row("E14")
def aud_among_others() -> Iterable[Case]:
    """A license may be for other products too."""
    yield taken("first", license_token(aud=[AUDIENCE, "another"]))
    yield taken("last", license_token(aud=["another", "third", AUDIENCE]))
    several = {"audience": ["acme-mobile", AUDIENCE]}
    yield taken("one of several configured", license_token(), **several)
    yield refused("none of several", license_token(aud=["another", "third"]), **several)


@row("E15")
def identifiers() -> Iterable[Case]:
    """`sub` is 1 to 256 printable characters, and so is `jti` where it stands."""
    for name in ("sub", "jti"):
        for value in (1, True, [], ["lic_1"], {}, "", "x" * 257, 1.5):
            yield refused(f"{name} {str(value)[:20]!r}", license_token(**{name: value}))
        yield refused(f"{name} null", _null(name))
        yield taken(f"{name} as long as allowed", license_token(**{name: "x" * 256}))
    yield refused("no sub", license_token(sub=None))


@row("E17")
def other_tokens() -> Iterable[Case]:
    """Whatever else the issuer's key signs is no license, and whatever it says."""
    for typ in (
        "JWT",
        "at+jwt",
        "id_token+jwt",
        "logout+jwt",
        "dpop+jwt",
        "statuslist+jwt",
        "license-validation+jwt",
        "token-introspection+jwt",
        "secevent+jwt",
        None,
    ):
        yield refused(f"typ {typ}", ISSUER.sign(claims(), header={"typ": typ}))
    now = claims()["iat"]
    for name, body in {
        "id_token": {"nonce": "n", "sub": "u", "aud": AUDIENCE, "exp": now + HOUR, "iat": now},
        "dpop": {"jti": "x", "htm": "GET", "htu": "https://testserver/me", "iat": now},
        "validation answer": {"valid": True, "license": claims(), "iss": ISSUER_NAME},
        "webhook": {"type": "license.revoked", "timestamp": now, "data": {"license_id": "x"}},
    }.items():
        yield refused(f"body of {name}", ISSUER.sign(body))


# -- F: license claims -----------------------------------------------------------------------------


@row("F01")
def features_as_text() -> Iterable[Case]:
    """`"analytics" in "superanalytics"` is true in Python, and no license."""
    for value in ("superanalytics", "analytics", "analytics,other", ""):
        yield Case(repr(value), bearer(license_token(features=value)), path="/reports")


@row("F02")
def features_of_another_kind() -> Iterable[Case]:
    """Features are a list of texts; a repeated one is one."""
    for value in (*NOT_TEXTS, {"analytics": False}, {"analytics": True}, [{"analytics": True}], 0):
        yield Case(repr(value), bearer(license_token(features=value)), path="/reports")
    yield Case("null", bearer(_null("features")), path="/reports")
    yield refused("too long a name", license_token(features=["x" * 129]))
    twice = bearer(license_token(features=["analytics", "analytics"]))
    yield Case("duplicates", twice, 200, None, path="/reports")
    for name in ("roles", "must_understand"):
        for value in (*NOT_TEXTS, "admin"):
            yield refused(f"{name} {value!r}", license_token(**{name: value}))


@row("F03")
def features_that_look_alike() -> Iterable[Case]:
    """A feature is compared exactly; what no feature can be called is no license."""
    for name in ("Analytics", "ANALYTICS", "analytic", "analytics2", "analytics.", "a", "all"):
        headers = bearer(license_token(features=[name]))
        yield Case(name, headers, 403, "feature_not_licensed", path="/reports")
    for name in (
        "\uff41nalytics",
        "analytics\u200b",
        "analytics ",
        " analytics",
        "*",
        "a*",
        "\u0430nalytics",
    ):
        yield Case(ascii(name), bearer(license_token(features=[name])), path="/reports")


@row("F04")
def limits() -> Iterable[Case]:
    """A limit is a whole number from 0 to 2^53, `"unlimited"`, or one with its period."""
    for text in (
        "true",
        "false",
        '"10"',
        "NaN",
        "1e309",
        "-1",
        "null",
        "9.5",
        "1e2",
        str(10**400),
        str(2**53 + 1),
        "[]",
        "[10]",
        '"UNLIMITED"',
        '{"max": 1}',
        '{"per": "day"}',
        '{"max": -1, "per": "day"}',
        '{"max": true, "per": "day"}',
        '{"max": 1, "per": "year"}',
        '{"max": 1, "per": ["day"]}',
        '{"max": 1, "per": "day", "also": 1}',
    ):
        yield refused(text[:40], spliced(f'"limits": {{"users": {text}}}', limits=None))
    for value in ([], ["seats"], "seats", 1, True):
        yield refused(f"all {value!r}", license_token(limits=value))
    yield refused("all null", _null("limits"))
    for limit in (0, 2**53, "unlimited", {"max": 5, "per": "month"}):
        yield taken(repr(limit), license_token(limits={"users": limit}))


@row("F06")
def must_understand() -> Iterable[Case]:
    """An unknown claim is carried, unless the license says that it must be understood."""
    yield taken("unknown", license_token(tenant="example", ver=99, schema={"version": "7.0"}))
    yield taken("nothing to understand", license_token(must_understand=[]))
    for names in (["tenant"], ["tenant", "plan"], ["not_even_there"], ["exp"], "tenant", {}, True):
        token = license_token(must_understand=names, tenant="example")
        yield refused(repr(names), token)
    yield refused("null", _null("must_understand"))


@row("F11")
def grace() -> Iterable[Case]:
    """Grace is whole seconds up to 90 days, and a trial is true or false."""
    for value in (-1, 90 * 86_400 + 1, 2**53, 1.5, 86_400.0, "86400", True, False, [], {}):
        yield refused(repr(value), license_token(grace=value))
    yield refused("null", _null("grace"))
    yield taken("none", license_token(grace=0))
    yield taken(
        "as much as allowed", license_token(grace=90 * 86_400, exp=claims()["iat"] + 90 * 86_400)
    )
    for value in (1, "true", [], {}):
        yield refused(f"trial {value!r}", license_token(trial=value))


@row("F13")
def entitlements_in_headers() -> Iterable[Case]:
    """No header field but the license itself says what a request may do."""
    claimed = [
        ("X-License-Features", "analytics"),
        ("X-Licet-Entitlements", '{"features": ["analytics"]}'),
        ("Licet-Entitlements", "all"),
        ("X-Entitlements", "analytics"),
        ("X-License", license_token()),
    ]
    yield Case("without a license", claimed, 401, "license_required", path="/reports")
    without = [*bearer(license_token(features=[])), *claimed]
    yield Case("beside a license", without, 403, "feature_not_licensed", path="/reports")
