"""Rows K: requests that carry a good license in a bad way."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from tests.attacks.case import Case, bearer, row
from tests.licenses import license_token

QUERY = {"sources": ["query:license"]}
COOKIE = {"sources": ["cookie:license"]}
ALL = {"sources": ["authorization", "x-license-token", "cookie:license", "query:license"]}


def _ambiguous(
    name: str, headers: list[tuple[str, str]], path: str = "/me", **options: object
) -> Case:
    return Case(name, headers, 400, "license_ambiguous", path=path, options=options)


def _absent(
    name: str, headers: list[tuple[str, str]], path: str = "/me", **options: object
) -> Case:
    return Case(name, headers, 401, "license_required", path=path, options=options)


def _good(name: str, headers: list[tuple[str, str]], path: str = "/me", **options: object) -> Case:
    return Case(name, headers, 200, None, path=path, options=options)


@row("K01")
def two_in_one_source() -> Iterable[Case]:
    """Neither the first nor the last of two credentials is picked."""
    one, other = license_token(sub="lic_a"), license_token(sub="lic_b")
    for second in (one, other, "rubbish", ""):
        name = {one: "equal", other: "two", "": "empty"}.get(second, second)
        yield _ambiguous(f"two lines, {name}", [*bearer(one), *bearer(second)])
        yield _ambiguous(f"two lines turned round, {name}", [*bearer(second), *bearer(one)])
        line = [("X-License-Token", one), ("X-License-Token", second)]
        yield _ambiguous(f"two lines of a field, {name}", line)
    for value in (
        f"Bearer {one}, Bearer {other}",
        f"Bearer {one},Bearer {one}",
        f"Bearer {one}, {other}",
        f"Basic dTpw, Bearer {one}",
        f"Basic dTpw,bearer {one}",
        f"Digest a=b, DPoP {one}",
        f"Bearer {one},",
    ):
        yield _ambiguous(value.replace(one, "A").replace(other, "B"), [("Authorization", value)])
    yield _ambiguous("joined field", [("X-License-Token", f"{one}, {other}")])


@row("K02")
def two_sources() -> Iterable[Case]:
    """Two sources that carry something are ambiguous, whatever they carry."""
    one, other = license_token(sub="lic_a"), license_token(sub="lic_b")
    for name, second in {"equal": one, "two": other, "rubbish": "rubbish", "empty": ""}.items():
        header = ("X-License-Token", second)
        cookie = ("Cookie", f"license={second}")
        yield _ambiguous(f"two headers, {name}", [*bearer(one), header])
        yield _ambiguous(f"header and cookie, {name}", [*bearer(one), cookie], **ALL)
        yield _ambiguous(f"header and query, {name}", bearer(one), f"/me?license={second}", **ALL)
        yield _ambiguous(
            f"cookie and query, {name}",
            [("Cookie", f"license={one}")],
            f"/me?license={second}",
            **ALL,
        )
    three = [*bearer(one), ("Cookie", f"license={one}")]
    yield _ambiguous("three", three, f"/me?license={one}", **ALL)
    yield _good(
        "another's scheme beside ours", [("Authorization", "Basic dTpw"), ("X-License-Token", one)]
    )
    yield _good("a source that is not listed", three, f"/me?license={other}")


@row("K04")
def schemes() -> Iterable[Case]:
    """The scheme is read without case; another's counts as absent (RFC 9110, section 11.4)."""
    token = license_token()
    for value in ("Bearer {}", "bearer {}", "BEARER {}", "bEaReR {}", "Bearer  {}", "Bearer   {}"):
        yield _good(value, [("Authorization", value.format(token))])
    for value in (
        "Bearer\t{}",
        "Bearer: {}",
        "Bearer:{}",
        "Bearer{}",
        "Bearer={}",
        "Token {}",
        "Basic {}",
        "Digest {}",
        "Negotiate {}",
        "{}",
        "Be\u0430rer {}".encode().decode("latin-1"),
    ):
        yield _absent(ascii(value), [("Authorization", value.format(token))])
    for value in ("Bearer", "Bearer ", "Bearer  ", "", " "):
        yield Case(f"{value!r} alone", [("Authorization", value)])
    yield Case("two words", [("Authorization", f"Bearer {token} {token}")])
    yield Case("quoted", [("Authorization", f'Bearer "{token}"')])
    unbound = [("Authorization", f"DPoP {token}")]
    yield Case("DPoP without a bound key", unbound, 401, "pop_invalid")


@row("K05")
def query_not_listed() -> Iterable[Case]:
    """A query parameter is read only where it is listed."""
    token = license_token()
    for name in ("license", "access_token", "token", "authorization", "x-license-token"):
        yield _absent(name, [], f"/me?{name}={token}")
    yield _good("listed", [], f"/me?license={token}", **QUERY)
    yield _absent("another name", [], f"/me?licence={token}", **QUERY)
    yield _absent("another case", [], f"/me?License={token}", **QUERY)


@row("K06")
def query_pollution() -> Iterable[Case]:
    """Once, whole, and in a query that can be read at all."""
    token = license_token()
    yield _ambiguous("twice", [], f"/me?license={token}&license={token}", **QUERY)
    yield _ambiguous("twice, one empty", [], f"/me?license={token}&license=", **QUERY)
    yield _ambiguous("twice, one encoded", [], f"/me?license={token}&%6Cicense=x", **QUERY)
    yield _absent("an array", [], f"/me?license[]={token}", **QUERY)
    yield _absent("behind a semicolon", [], f"/me?a=1;license={token}", **QUERY)
    yield _good("encoded", [], f"/me?a=1&license={quote(token).replace('.', '%2E')}&b", **QUERY)
    for name, query in {
        "empty": "license=",
        "no value": "license",
        "plus": f"license=+{token}",
        "encoded twice": f"license={token.replace('.', '%252E')}",
        "before a semicolon": f"license={token};a=1",
        "not ASCII": f"license={token}%C3%A9",
        "NUL": f"license={token}%00",
        "10,000 parameters": "a=1&" * 10_000 + f"license={token}",
    }.items():
        yield Case(name, [], path=f"/me?{query}", options=QUERY)


@row("K07")
def cookies() -> Iterable[Case]:
    """A cookie counts once, by its exact name, as it stands."""
    token = license_token()

    def cookie(value: str) -> list[tuple[str, str]]:
        return [("Cookie", value)]

    yield _ambiguous("twice", cookie(f"license={token}; license={token}"), **COOKIE)
    yield _ambiguous("tossed", cookie(f"license=x; a=b; license={token}"), **COOKIE)
    yield Case("quoted", cookie(f'license="{token}"'), options=COOKIE)
    yield Case("empty", cookie("license="), options=COOKIE)
    yield _absent("without `=`", cookie(f"license; {token}"), **COOKIE)
    yield _absent("another case", cookie(f"License={token}"), **COOKIE)
    yield _absent("another name", cookie(f"xlicense={token}; license2={token}"), **COOKIE)
    yield _absent("not listed", cookie(f"license={token}"))
    many = "; ".join(f"c{number}={number}" for number in range(200))
    yield _good("among 200", cookie(f"{many}; license={token}"), **COOKIE)
    host = {"sources": ["cookie:__Host-license"]}
    yield _good("__Host-", cookie(f"__Host-license={token}"), **host)
    yield _absent("without the prefix", cookie(f"license={token}"), **host)


@row("K08")
def cookie_from_elsewhere() -> Iterable[Case]:
    """A cookie speaks for its browser only where the site itself asks."""
    cookie = ("Cookie", f"license={license_token()}")
    for extra in (
        [],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "cross-site"), ("Origin", "http://testserver")],
        [("Origin", "http://evil.example")],
        [("Origin", "https://testserver")],
        [("Origin", "http://testserver.evil.example")],
        [("Origin", "http://testserver:81")],
        [("Origin", "null")],
        [("Origin", "")],
        [("Referer", "http://testserver/")],
    ):
        for method in ("POST", "DELETE"):
            yield Case(
                f"{method} {extra}",
                [cookie, *extra],
                401,
                "license_required",
                method=method,
                options=COOKIE,
            )
    yield _good("a link from elsewhere", [cookie, ("Sec-Fetch-Site", "cross-site")], **COOKIE)


@row("K10")
def bad_host() -> Iterable[Case]:
    """A `Host` that looks like a path exempts nothing (CVE-2026-48710)."""
    exempt = {"exempt_paths": ["/health", "/static/*"]}
    for host in (
        "localhost/health?",
        "localhost/health#",
        "localhost/static/x?",
        "testserver/health",
        "user@testserver/health?",
        "",
        "a b",
        "[::1",
        "testserver:99999",
        "<script>",
    ):
        yield _absent(repr(host), [("Host", host)], **exempt)
    for field in ("X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        yield _absent(field, [(field, "/health")], **exempt)


@row("K13")
def method_overrides() -> Iterable[Case]:
    """No method is let through, and nothing in a header makes it another."""
    for method in ("HEAD", "POST", "DELETE", "PROPFIND"):
        yield Case(method, [], 401, None, method=method)
    for field in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for value in ("OPTIONS", "HEAD", "GET"):
            yield _absent(f"{field}: {value}", [(field, value)])
    yield _absent(
        "headers of a preflight on a GET",
        [
            ("Origin", "https://app.example"),
            ("Access-Control-Request-Method", "GET"),
        ],
    )
