"""Rows L, and F07: licenses for some hosts, and requests whose host is another, or none, or two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.adapters.clients import Connection
from tests.attacks.case import Case, row
from tests.attacks.placed import (
    DJANGO,
    NOT_DJANGO,
    PLAIN_ASGI,
    PROXIES,
    PROXY,
    STRANGER,
    WSGI,
    presented,
    refused,
)

OURS = "licensed.example"
EVIL = "evil.example"
NAMELESS = Connection(host=None)
ACUTE = "\N{LATIN SMALL LETTER E WITH ACUTE}"


def _asked(
    name: str,
    status: int,
    code: str | None,
    hosts: tuple[str, ...],
    *lines: tuple[str, str],
    domains: Any,
    **case: Any,
) -> Case:
    asked = [("Host", one) for one in hosts]
    return presented(name, status, code, *asked, *lines, claims={"domains": domains}, **case)


def _served(name: str, *hosts: str, domains: Any = (OURS,), **case: Any) -> Case:
    return _asked(name, 200, None, hosts, domains=[*domains], **case)


def _elsewhere(name: str, *hosts: str, domains: Any = (OURS,), **case: Any) -> Case:
    return _asked(name, 403, "license_domain", hosts, domains=[*domains], **case)


def _bad(name: str, *hosts: str, domains: Any = (OURS,), **case: Any) -> Case:
    return _asked(name, 400, "bad_host", hosts, domains=[*domains], **case)


@row("F07")
def domains_that_are_none() -> Iterable[Case]:
    """Domains are a list with something in it, and no entry of it is everybody's."""
    for value in (
        OURS,
        "",
        None,
        True,
        0,
        {},
        {OURS: True},
        [],
        [""],
        ["*"],
        ["*.com"],
        ["*.co.uk"],
        ["*.*"],
        ["."],
        [None],
        [[OURS]],
        [5],
        [OURS] * 1_001,
    ):
        if value is not None:
            yield refused(f"{str(value)[:30]!r}", domains=value)
            # A good entry beside it is no excuse.
            if isinstance(value, list) and 0 < len(value) < 9:
                yield refused(f"{value!r} beside a good one", domains=[OURS, *value])
    yield refused("singular, empty", domain="")
    yield refused("singular, an empty list", domain=[])
    yield refused("both spellings", domain=OURS, domains=[OURS])


@row("L01")
def no_host_or_two() -> Iterable[Case]:
    """Where a license needs the host, there is one."""
    yield _served("one", OURS)
    yield _bad("missing", over=NAMELESS)
    yield _bad("empty", "")
    yield _bad("two, ours first", OURS, EVIL)
    yield _bad("two, ours last", EVIL, OURS)
    yield _bad("two alike", OURS, OURS)
    yield _bad("one and an empty one", OURS, "")
    yield _bad("joined", f"{OURS}, {EVIL}")
    for host, target in ((OURS, EVIL), (EVIL, OURS)):
        whole, name = f"http://{target}/me", f"{host} but a target at {target}"
        # As servers hand it on: for a path, or beside the path.
        yield _bad(name, host, path=whole, adapters=PLAIN_ASGI)
        over = Connection(variables={"RAW_URI": whole})
        yield _bad(name, host, over=over, adapters=WSGI)
    over = Connection(variables={"RAW_URI": f"http://{OURS}:80/me"})
    yield _served("a target at the same host", OURS, over=over, adapters=WSGI)
    yield presented("not needed, missing", 200, None, claims={}, over=NAMELESS)
    two = [("Host", OURS), ("Host", EVIL)]
    yield presented("not needed, two", 200, None, *two, claims={})
    from_origin = {"domain_from": "origin"}
    for origins in ([], ["null"], [f"https://{OURS}"] * 2, [f"https://{EVIL}"], [OURS], [""]):
        lines = [("Origin", one) for one in origins]
        name = f"origins {origins}"
        asked = (403, "license_domain", (OURS,))
        yield _asked(name, *asked, *lines, domains=[OURS], options=from_origin)
    line = ("Origin", f"https://{OURS}:8443")
    yield _asked("our origin", 200, None, (EVIL,), line, domains=[OURS], options=from_origin)


@row("L02")
def hosts_that_end_or_begin_alike() -> Iterable[Case]:
    """A host is compared whole; one dot at its end is the root's."""
    for host in (f"{OURS}.{EVIL}", f"evil-{OURS}", f"evil{OURS}", "licensed", f"a.{OURS}"):
        yield _elsewhere(host, host)
    yield _served("one dot", f"{OURS}.")
    for host in (f".{OURS}", f"{OURS}..", "licensed..example", "."):
        yield _bad(host, host)


@row("L03")
def case_and_port() -> Iterable[Case]:
    """Case and a valid port decide nothing; a port that is none is no host."""
    for host in ("LICENSED.EXAMPLE", "Licensed.Example:443", f"{OURS}:8443", f"{OURS}.:1"):
        yield _served(host, host)
    wide = "\uff18\uff10".encode().decode("latin-1")
    for port in ("", "0", "99999", "65536", "-1", "+80", "8a", "080", "80:80", " 80", "80 ", wide):
        yield _bad(f"port {port!a}", f"{OURS}:{port}")


@row("L04")
def more_than_a_host() -> Iterable[Case]:
    """User information, a path, white space and escapes are no part of a host."""
    for host in (
        f"{OURS}@{EVIL}",
        f"{EVIL}@{OURS}",
        f"{OURS}:80@{EVIL}",
        f"{EVIL}\\@{OURS}",
        f"{OURS}#",
        f"{OURS}#@{EVIL}",
        f"{OURS}?",
        f"{OURS}/",
        f"{OURS}/health?",
        f"http://{OURS}",
        "licensed .example",
        "licensed\t.example",
        "licensed%2eexample",
        f"{OURS}%00",
        f"{OURS}\0",
        f"<script>{OURS}",
        f"{OURS};{EVIL}",
    ):
        yield _bad(repr(host), host)


@row("L05")
def addresses() -> Iterable[Case]:
    """An address is only itself, in the one way of writing it."""
    for host in ("127.0.0.1", "[::1]", "[::1]:8080", "127.0.0.1:80", "[::ffff:1.2.3.4]"):
        yield _elsewhere(f"{host} of a name", host)
    for host, listed in {
        "127.0.0.1": "127.0.0.1",
        "[::1]": "::1",
        "[0:0::1]:8443": "[::1]",
        "[::FFFF:1.2.3.4]": "::ffff:1.2.3.4",
    }.items():
        yield _served(f"{host}, listed", host, domains=[listed])
    yield _elsewhere("mapped is another", "[::ffff:127.0.0.1]", domains=["127.0.0.1"])
    for host in (
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.256",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "[::1",
        "::1",
        "[]",
        "[127.0.0.1]",
        "[::1]x",
    ):
        yield _bad(host, host, domains=["127.0.0.1", "::1", "fe80::1"])


@row("L06")
def other_letters() -> Iterable[Case]:
    """A-labels of IDNA 2008 are compared; nothing is mapped, and a `Host` is ASCII."""
    sharp, fass = ["fa\xdf.example"], "xn--fa-hia.example"
    yield _served("sharp s is itself", fass, domains=sharp)
    yield _elsewhere("sharp s is not ss", "fass.example", domains=sharp)
    yield _elsewhere("ss is not sharp s", fass, domains=["fass.example"])
    for name in (
        "\uff4cicensed.example",
        "licensed\u3002example",
        "licen\xadsed.example",
        "licen\u200dsed.example",
        "\u212alicensed.example",
        "licen\u017fed.example",
    ):
        yield _bad(f"{name!a} in a Host", name.encode().decode("latin-1"))
        yield refused(f"{name!a} in a claim", domains=[name])
    yield _bad("a U-label in a Host", "fa\xdf.example", domains=sharp)
    yield _bad("in UTF-8", "fa\xdf.example".encode().decode("latin-1"), domains=sharp)


@row("L07")
def look_alikes() -> Iterable[Case]:
    """Letters of another script make another name."""
    cyrillic = "\u0430pple.example"
    encoded = "xn--pple-43d.example"
    yield _elsewhere("a Cyrillic letter in the host", encoded, domains=["apple.example"])
    yield _elsewhere("in the license", "apple.example", domains=[cyrillic])
    yield _served("in both", encoded, domains=[cyrillic])
    yield _bad("raw", cyrillic.encode().decode("latin-1"), domains=["apple.example"])


@row("L08")
def labels_that_are_none() -> Iterable[Case]:
    """What no label can be is no host, and no wildcard covers it."""
    long = ".".join(["a" * 63] * 4)
    for host in (
        "xn--.example",
        "xn--a.example",
        "xn--a",
        f"xn--{ACUTE.encode().decode('latin-1')}.example",
        f"{'a' * 64}.example",
        long,
        "a..example",
        "-a.example",
        "a-.example",
        "a_b.example",
        "_dmarc.example",
        f"a.-.{OURS}",
    ):
        yield _bad(ascii(host)[:40], host, domains=[OURS, f"*.{OURS}"])
        inner = f"{host.partition('.')[0]}.{OURS}"
        if host not in ("xn--a", long, "a..example", f"a.-.{OURS}"):
            yield _bad(f"under a wildcard, {ascii(inner)[:40]}", inner, domains=[f"*.{OURS}"])
    yield _elsewhere("63 letters", f"{'a' * 63}.example")


@row("L09")
def wildcard() -> Iterable[Case]:
    """A wildcard stands for exactly one whole label, the first."""
    every = [f"*.{OURS}"]
    for host in (f"a.{OURS}", f"A-1.{OURS}.:8443", f"xn--fa-hia.{OURS}"):
        yield _served(host, host, domains=every)
    for host in (OURS, f"a.b.{OURS}", f"a{OURS}", f"a.{OURS}.{EVIL}", EVIL):
        yield _elsewhere(host, host, domains=every)
    for host in (f".{OURS}", f"*.{OURS}", f"a..{OURS}", "*"):
        yield _bad(host, host, domains=every)


@row("L10")
def wildcards_that_are_none() -> Iterable[Case]:
    """There is one form of wildcard, and it stands below a domain that somebody owns."""
    for entry in (
        "*",
        "*.",
        "**",
        f"a*.{OURS}",
        f"*a.{OURS}",
        f"*.*.{OURS}",
        f"a.*.{OURS}",
        "licen*ed.example",
        f"{OURS}.*",
        "*.com",
        "*.co.uk",
        "*.github.io",
        "*.example",
        "*.127.0.0.1",
        "*.[::1]",
        f"[!a].{OURS}",
        f"?{OURS}",
        ".*",
        f".*{OURS}",
        f".{OURS}",
        f"%.{OURS}",
        f"/{OURS}/",
    ):
        yield refused(entry, domains=[entry])


@row("L11")
def forwarded_by_strangers() -> Iterable[Case]:
    """Only a trusted proxy says what host it was asked for."""
    for field in (
        "X-Forwarded-Host",
        "X-Original-Host",
        "X-Host",
        "X-Forwarded-Server",
        "X-HTTP-Host-Override",
        "Forwarded",
    ):
        for name, case in {
            "nobody is trusted": {},
            "from a stranger": {"options": PROXIES, "over": STRANGER},
            "from a socket": {"options": PROXIES, "over": Connection(peer=None)},
        }.items():
            ours, evil = (f"host={one}" if field == "Forwarded" else one for one in (OURS, EVIL))
            asked: Any = (403, "license_domain", (EVIL,), (field, ours))
            yield _asked(f"{field}, {name}", *asked, domains=[OURS], **case)
            asked = (200, None, (OURS,), (field, evil))
            yield _asked(f"{field} of another, {name}", *asked, domains=[OURS], **case)


@row("L12")
def forwarded_lists() -> Iterable[Case]:
    """The right-most value is the nearest trusted proxy's; two dialects must not disagree.

    Django decides by itself: without `USE_X_FORWARDED_HOST` the `Host` field alone counts there.
    """
    field = "X-Forwarded-Host"
    by_rfc = {**PROXIES, "forwarded_headers": "forwarded"}
    made: list[tuple[str, int, list[tuple[str, str]], dict[str, Any]]] = [
        ("ours last", 200, [(field, f"{EVIL}, {OURS}")], PROXIES),
        ("ours first", 403, [(field, f"{OURS}, {EVIL}")], PROXIES),
        ("two lines, ours last", 200, [(field, EVIL), (field, OURS)], PROXIES),
        ("two lines, ours first", 403, [(field, OURS), (field, EVIL)], PROXIES),
        ("with a port", 200, [(field, f"{OURS}:8443")], PROXIES),
        ("empty", 400, [(field, "")], PROXIES),
        ("an empty last one", 400, [(field, f"{OURS},")], PROXIES),
        ("no host", 400, [(field, f"user@{OURS}")], PROXIES),
        ("two dialects agree", 200, [(field, OURS), ("Forwarded", f"host={OURS}")], PROXIES),
        ("two dialects", 400, [(field, OURS), ("Forwarded", f"host={EVIL}")], PROXIES),
        ("two dialects, turned", 400, [(field, EVIL), ("Forwarded", f"host={OURS}")], by_rfc),
        ("quoted", 200, [("Forwarded", f'for=192.0.2.1;host="{OURS}"')], by_rfc),
        ("quoted with a port", 200, [("Forwarded", f'host="{OURS}:8443"')], by_rfc),
        ("last element", 200, [("Forwarded", f"host={EVIL}, host={OURS}")], by_rfc),
        ("first element", 403, [("Forwarded", f"host={OURS}, host={EVIL}")], by_rfc),
        (
            "last line",
            200,
            [("Forwarded", f"host={EVIL}"), ("Forwarded", f"host={OURS}")],
            by_rfc,
        ),
        ("an open quote", 400, [("Forwarded", f'host="{OURS}')], by_rfc),
        ("a quote across elements", 400, [("Forwarded", f'for="x, host={OURS}')], by_rfc),
        ("twice in one element", 400, [("Forwarded", f"host={EVIL};host={OURS}")], by_rfc),
        ("the dialect not configured", 403, [(field, EVIL)], PROXIES),
    ]
    codes = {200: None, 400: "bad_host", 403: "license_domain"}
    for name, status, lines, options in made:
        case: dict[str, Any] = {"domains": [OURS], "options": options, "over": PROXY}
        asked: Any = (status, codes[status], ("inner.example",), *lines)
        yield _asked(name, *asked, **case, adapters=NOT_DJANGO)
        asked = (403, "license_domain", (EVIL,), *lines)
        yield _asked(f"{name}, beside another Host", *asked, **case, adapters=DJANGO)
        asked = (200, None, (OURS,), *lines)
        yield _asked(f"{name}, beside our Host", *asked, **case, adapters=DJANGO)


@row("L13")
def development() -> Iterable[Case]:
    """A name of one's own machine is as good as any other: where the license lists it."""
    local = (
        "localhost",
        "127.0.0.1",
        "app.localhost",
        "192.168.0.1",
        "[::1]",
        "10.0.0.1",
        "intranet",
    )
    for host in local:
        yield _elsewhere(host, f"{host}:8000")
        yield _served(f"{host}, listed", f"{host}:8000", domains=[host])
    yield _elsewhere("localhost covers nothing", "app.localhost", domains=["localhost"])


@row("L14")
def spellings_in_the_license() -> Iterable[Case]:
    """Case and one dot are spelling; a scheme, a port or a path is a mistake."""
    for entry in ("LICENSED.Example", f"{OURS}.", "LICENSED.EXAMPLE."):
        yield _served(entry, OURS, domains=[entry])
    for entry in ("*.LICENSED.example.", f"*.{OURS}"):
        yield _served(entry, f"a.{OURS}", domains=[entry])
    for entry in (
        f"{OURS}:443",
        f"https://{OURS}",
        f"//{OURS}",
        f"{OURS}/",
        f"{OURS}/path",
        f"{OURS}?",
        f" {OURS}",
        f"{OURS}\n",
        f"{OURS}..",
        f"user@{OURS}",
        f"{OURS},{EVIL}",
        "[::1]:443",
        "10.0.0.0/8",
    ):
        yield refused(repr(entry), domains=[entry])


@row("L15")
def rebinding() -> Iterable[Case]:
    """A name that resolves to this machine is still another name, whoever connects."""
    for peer in ("127.0.0.1", "::1", "10.0.0.7", "203.0.113.9"):
        yield _elsewhere(f"from {peer}", EVIL, over=Connection(peer=peer))
    yield _elsewhere("with our port", f"{EVIL}:443")


@row("L16")
def name_of_the_server() -> Iterable[Case]:
    """The server's own name stands for no request: not without `Host`, and not beside it."""
    for name in ("testserver", "testserver:80"):
        yield _bad(f"no Host, {name}", domains=["testserver"], over=NAMELESS)
    named = Connection(host=None, variables={"SERVER_NAME": OURS, "SERVER_PORT": "443"})
    yield _bad("a name that is listed", over=named, adapters=WSGI)
    yield _elsewhere("another Host", EVIL, domains=["testserver"])
