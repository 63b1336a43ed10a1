"""Rows M, F08, F09 and F10: licenses for some networks, regions and hours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from tests.adapters.clients import Connection
from tests.attacks.case import Case, row
from tests.attacks.placed import PROXIES, PROXY, STRANGER, presented, refused

OFFICE = "198.51.100.0/24"
INSIDE, OUTSIDE = "198.51.100.7", "203.0.113.9"
FOR = "X-Forwarded-For"
BY_RFC = {**PROXIES, "forwarded_headers": "forwarded"}
#: A list of hops that no longer fits into what is read of one.
ENDLESS = ", ".join(["198.51.100.7"] * 400)
ARABIC = "".join(chr(0x660 + int(digit)) if digit.isdigit() else digit for digit in INSIDE)


def _called(
    name: str,
    held: bool,
    *lines: tuple[str, str],
    ranges: Iterable[str] = (OFFICE,),
    over: Connection = PROXY,
    options: dict[str, Any] = PROXIES,
) -> Case:
    answer: Any = (200, None) if held else (403, "license_ip")
    claims = {"ip_ranges": [*ranges]}
    return presented(name, *answer, *lines, claims=claims, over=over, options=options)


def _from(name: str, held: bool, peer: str | None, *ranges: str) -> Case:
    return _called(name, held, ranges=ranges, over=Connection(peer=peer), options={})


# -- the claims ------------------------------------------------------------------------------------


@row("F08")
def networks_that_are_none() -> Iterable[Case]:
    """Networks are texts, without host bits, and leave somebody out."""
    for value in (0, True, "", OFFICE, {}, [], [""], [0], [True], [None], [[OFFICE]], [2130706432]):
        yield refused(repr(value), ip_ranges=value)
    for entry in (
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/0.255.255.255",
        "10.0.0.0/255.0.0.0",
        "10.0.0.1/8",
        "10.0.0.0/08",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0",
        "010.0.0.0/8",
        "10.0.0.0 /8",
        " 10.0.0.0/8",
        "10.0.0.0/8\n",
        "10.0.0.0-10.0.0.9",
        "10.0.0.*",
        "::ffff:0.0.0.0/96",
        "*",
        "localhost",
    ):
        yield refused(repr(entry), ip_ranges=[entry])
        yield refused(f"{entry!r} beside a good one", ip_ranges=[OFFICE, entry])
    yield refused("halves of everything", ip_ranges=["0.0.0.0/1", "128.0.0.0/1"])
    yield refused("1,001 entries", ip_ranges=["10.0.0.0/8"] * 1_001)
    yield refused("both spellings", ip_range=OFFICE, ip_ranges=[OFFICE])
    yield refused("singular, a number", ip_range=0)
    yield refused("a region in small letters", regions=["de"])
    for value in ("DE", [], [""], ["*"], ["GERMANY"], True):
        yield refused(f"regions {value!r}", regions=value)


@row("F09")
def scopes() -> Iterable[Case]:
    """An address of one link is no network, and hides no line feed."""
    for entry in (
        "fe80::1%eth0\r\nX",
        "fe80::1%eth0",
        "fe80::1%",
        "fe80::/10%1",
        "fe80::%1/10",
        "::1%\u2028",
    ):
        yield refused(ascii(entry), ip_ranges=[entry])
        yield refused(f"singular {entry!a}", ip_range=entry)


def _at(*moment: int) -> float:
    """Return seconds since the epoch of a moment in UTC."""
    return datetime(*moment, tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]


def _hours(since: str, until: str, tz: str = "Europe/Berlin", **days: Any) -> dict[str, Any]:
    return {"from": since, "to": until, "tz": tz, **days}


def _timed(name: str, held: bool, at: float, *windows: dict[str, Any]) -> Case:
    answer: Any = (200, None) if held else (403, "license_time_window")
    # No digits of the license are to be found in a date of the answer's own.
    claims = {"time_windows": [*windows]}
    return presented(name, *answer, claims=claims, at=at)


@row("F10")
def windows() -> Iterator[Case]:
    """Hours by the wall of a zone; what is no zone and no hour is no license."""
    office = _hours("07:00", "19:00", days="mon-fri")
    # Monday, 5 January 2026; Berlin is an hour ahead of UTC.
    yield _timed("the first moment", True, _at(2026, 1, 5, 6), office)
    yield _timed("just before", False, _at(2026, 1, 5, 5, 59, 59), office)
    yield _timed("the last moment", True, _at(2026, 1, 5, 17, 59, 59), office)
    yield _timed("the end", False, _at(2026, 1, 5, 18), office)
    yield _timed("another day", False, _at(2026, 1, 4, 12), office)
    night = _hours("22:00", "06:00", days="sun")
    yield _timed("before midnight", True, _at(2026, 1, 4, 22, 30), night)
    yield _timed("after midnight, into Monday", True, _at(2026, 1, 5, 4, 59), night)
    yield _timed("the end of the night", False, _at(2026, 1, 5, 5), night)
    yield _timed("the morning of that day", False, _at(2026, 1, 4, 4), night)
    late = _hours("20:00", "24:00", days=["sun"])
    yield _timed("the last second of a day", True, _at(2026, 1, 4, 22, 59, 59), late)
    yield _timed("24:00", False, _at(2026, 1, 4, 23), late)
    # Sunday, 29 March 2026: after 01:59:59 comes 03:00; on 25 October 02:00 to 02:59 comes twice.
    gap = _hours("02:00", "03:00")
    yield _timed("before the gap", False, _at(2026, 3, 29, 0, 59, 59), gap)
    yield _timed("an hour that never comes", False, _at(2026, 3, 29, 1), gap)
    yield _timed("in the repeated hour", True, _at(2026, 10, 25, 0, 30), gap)
    yield _timed("in it again", True, _at(2026, 10, 25, 1, 30), gap)
    yield _timed("after it", False, _at(2026, 10, 25, 2), gap)
    leap = _hours("23:59", "24:00", "UTC")
    yield _timed("a leap second is the second after", False, _at(2017, 1, 1), leap)
    yield _timed("before a leap second", True, _at(2016, 12, 31, 23, 59, 59), leap)
    yield _timed("one of several", True, _at(2026, 1, 5, 12), gap, office)
    for name, window in {
        "a path for a zone": _hours("07:00", "19:00", "../../etc/passwd"),
        "an absolute path": _hours("07:00", "19:00", "/etc/localtime"),
        "this machine's clock": _hours("07:00", "19:00", "localtime"),
        "no zone": _hours("07:00", "19:00", "Mars/Olympus"),
        "no text for a zone": _hours("07:00", "19:00", None),  # type: ignore[arg-type]
        "an offset": _hours("07:00", "19:00", "+01:00"),
        "a zone in another case": _hours("07:00", "19:00", "europe/berlin"),
        "nothing": _hours("07:00", "07:00"),
        "24:00 to begin": _hours("24:00", "07:00"),
        "24:01": _hours("07:00", "24:01"),
        "25:00": _hours("07:00", "25:00"),
        "a leap second": _hours("07:00", "23:59:60"),
        "seconds": _hours("07:00:00", "19:00"),
        "one digit": _hours("7:00", "19:00"),
        "a number": _hours(7, 19),  # type: ignore[arg-type]
        "Arabic digits": _hours("07:00", "\u0661\u0669:00"),
        "a line feed": _hours("07:00", "19:00\n"),
        "no day": _hours("07:00", "19:00", days=""),
        "no days": _hours("07:00", "19:00", days=[]),
        "null for days": _hours("07:00", "19:00", days=None),
        "an unknown day": _hours("07:00", "19:00", days="mon,day"),
        "days in capitals": _hours("07:00", "19:00", days="MON"),
        "a day to itself": _hours("07:00", "19:00", days="mon-mon"),
        "one more member": {**office, "until": "2030"},
        "no zone at all": {"from": "07:00", "to": "19:00"},
        "no end": {"from": "07:00", "tz": "UTC"},
    }.items():
        yield refused(name, time_windows=[window])
        yield refused(f"{name}, beside a good one", time_windows=[office, window])
    for value in ([], {}, "", None, True, [[]], ["07:00-19:00"], 7):
        if value is not None:
            yield refused(f"all {value!r}", time_windows=value)
    yield refused("both spellings", time_limit=office, time_window=office)


# -- the client ------------------------------------------------------------------------------------


@row("M01")
def hops() -> Iterable[Case]:
    """From right to left through the trusted proxies, and no further."""
    yield _called("one hop inside", True, (FOR, INSIDE))
    yield _called("one hop outside", False, (FOR, OUTSIDE))
    yield _called("a forged first hop", False, (FOR, f"{INSIDE}, {OUTSIDE}"))
    yield _called("a forged first hop, of a proxy", False, (FOR, f"10.9.0.1, {OUTSIDE}"))
    yield _called("outside before inside", True, (FOR, f"{OUTSIDE}, {INSIDE}"))
    yield _called("through two proxies", True, (FOR, f"{OUTSIDE}, {INSIDE}, 10.9.0.7"))
    yield _called("outside, through two proxies", False, (FOR, f"{INSIDE}, {OUTSIDE}, 10.9.0.7"))
    hundred = ", ".join([*[INSIDE] * 99, OUTSIDE])
    yield _called("100 entries", False, (FOR, hundred))
    yield _called("100 proxies", True, (FOR, ", ".join([INSIDE, *["10.9.0.7"] * 99])))
    yield _called("more than is read", False, (FOR, ENDLESS))
    yield _called("spaces and a tab", True, (FOR, f"x,  \t{INSIDE} \t"))
    for hop in (
        "",
        f"{INSIDE},",
        f"{INSIDE}, ,10.9.0.7",
        f"{INSIDE}:443",
        f'"{INSIDE}"',
        f"{INSIDE} {INSIDE}",
        f"{INSIDE};{INSIDE}",
        "unknown",
        "_hidden",
        f"{INSIDE}, unknown, 10.9.0.7",
        f"{INSIDE}, _hidden",
        "[2001:db8::7]",
        "localhost",
        f"{INSIDE}/24",
        f"{INSIDE}\x0b",
    ):
        yield _called(f"{hop!r}", False, (FOR, hop), ranges=[OFFICE, "2001:db8::/32"])
    six = ["2001:db8::/32"]
    yield _called("IPv6", True, (FOR, "2001:db8::7"), ranges=six)
    for node, held in {
        f"for={INSIDE}": True,
        f'for="{INSIDE}:4711"': True,
        f'FOR="{INSIDE}:_port";by=10.9.0.5;proto=https': True,
        f"for={OUTSIDE}, for={INSIDE}, for=10.9.0.7": True,
        f"for={INSIDE}, for={OUTSIDE}": False,
        'for="[2001:db8::7]:443"': True,
        'for="2001:db8::7"': False,
        f'for="[{INSIDE}]"': False,
        f"for={INSIDE}, for=unknown": False,
        f"for={INSIDE}, for=_hidden": False,
        f"for={INSIDE}, by=10.9.0.7": False,
        f"for={INSIDE};for={INSIDE}": False,
        f"for={INSIDE};": False,
        f'for="{INSIDE}': False,
        f"for = {INSIDE}": False,
        INSIDE: False,
        "": False,
    }.items():
        line = ("Forwarded", node)
        ranges = [OFFICE, *six]
        yield _called(f"Forwarded {node!r}", held, line, ranges=ranges, options=BY_RFC)
    yield _called("the dialect not configured", False, (FOR, INSIDE), options=BY_RFC)
    yield _called("the other one", False, ("Forwarded", f"for={INSIDE}"))


@row("M02")
def nobody_is_trusted() -> Iterable[Case]:
    """Without trusted proxies, and from a stranger, the peer is the client, whatever it says."""
    at_office = Connection(peer=INSIDE)
    for line in (
        (FOR, INSIDE),
        ("Forwarded", f"for={INSIDE}"),
        ("X-Real-IP", INSIDE),
        ("True-Client-IP", INSIDE),
        ("CF-Connecting-IP", INSIDE),
        ("X-Client-IP", INSIDE),
    ):
        yield _called(f"{line[0]}", False, line, over=STRANGER, options={})
        yield _called(f"{line[0]}, from a stranger", False, line, over=STRANGER)
        outside = (line[0], line[1].replace(INSIDE, OUTSIDE))
        yield _called(f"{line[0]} of another", True, outside, over=at_office, options={})
    region = {**PROXIES, "region_header": "X-Country"}
    inside: dict[str, Any] = {"claims": {"regions": ["DE-BY"]}, "options": region}
    by = ("X-Country", "DE-BY")
    yield presented("the proxy's region", 200, None, by, **inside, over=PROXY)
    elsewhere: Any = (403, "license_region")
    yield presented("a stranger's", *elsewhere, by, **inside, over=STRANGER)
    yield presented("none", *elsewhere, **inside, over=PROXY)
    yield presented("another", *elsewhere, ("X-Country", "DE"), **inside, over=PROXY)
    yield presented("two", *elsewhere, by, by, **inside, over=PROXY)
    yield presented("no source", *elsewhere, by, claims={"regions": ["DE-BY"]}, over=PROXY)


@row("M04")
def two_lines() -> Iterable[Case]:
    """Lines are one list, in the order in which they came."""
    lines = [(FOR, OUTSIDE), (FOR, INSIDE)]
    yield _called("inside last", True, *lines)
    yield _called("outside last", False, *lines[::-1])
    yield _called("a proxy in the last", True, (FOR, INSIDE), (FOR, "10.9.0.7"))
    yield _called("an empty last", False, (FOR, INSIDE), (FOR, ""))
    rfc = [("Forwarded", f"for={OUTSIDE}"), ("Forwarded", f"for={INSIDE}")]
    yield _called("Forwarded, inside last", True, *rfc, options=BY_RFC)
    yield _called("Forwarded, outside last", False, *rfc[::-1], options=BY_RFC)


@row("M05")
def mapped() -> Iterable[Case]:
    """IPv4 mapped into IPv6 is IPv4; what a translator made is the translator's."""
    for peer, held in {
        "::ffff:10.0.0.1": True,
        "::FFFF:0a00:0001": True,
        "0:0:0:0:0:ffff:10.0.0.1": True,
        "64:ff9b::10.0.0.1": False,
        "2002:a00:1::1": False,
        "::10.0.0.1": False,
        "2001:db8::10.0.0.1": False,
        "::ffff:11.0.0.1": False,
    }.items():
        yield _from(peer, held, peer, "10.0.0.0/8")
        yield _called(f"{peer}, forwarded", held, (FOR, peer), ranges=["10.0.0.0/8"])
    yield _from("a mapped network", True, "10.0.0.1", "::ffff:10.0.0.0/104")
    proxy = Connection(peer="::ffff:10.9.0.5")
    yield _called("a mapped proxy", True, (FOR, INSIDE), over=proxy)


@row("M06")
def odd_addresses() -> Iterable[Case]:
    """What two readers could take for two addresses is none."""
    for text in (
        "010.0.0.1",
        "10.0.0.1:80",
        "10.1",
        "0xa.0.0.1",
        "167772161",
        "10.0.0.1.",
        "10.0.0.256",
        "10.0.0.1/32",
        "10.0.0.1\n",
        "::ffff:010.0.0.1",
        ARABIC.encode().decode("latin-1"),
    ):
        yield _from(ascii(text), False, text, "10.0.0.0/8", OFFICE)
        yield _called(f"{text!a}, forwarded", False, (FOR, text), ranges=["10.0.0.0/8", OFFICE])
    yield _from("a space", False, " 10.0.0.1", "10.0.0.0/8")
    yield _from("as it should be", True, "10.0.0.1", "10.0.0.0/8")
    odd = Connection(peer="010.9.0.5")
    yield _called("an odd peer is no proxy", False, (FOR, INSIDE), over=odd)


@row("M07")
def scope_ids() -> Iterable[Case]:
    """An address of one link is an address of nobody."""
    for text in ("fe80::1%a", "fe80::1%eth0", "fe80::1%25eth0", "fe80::1%", "::ffff:10.0.0.1%1"):
        yield _from(text, False, text, "fe80::/10", "10.0.0.0/8")
        yield _called(f"{text}, forwarded", False, (FOR, text), ranges=["fe80::/10", "10.0.0.0/8"])
    yield _from("without one", True, "fe80::1", "fe80::/10")


@row("M08")
def no_address() -> Iterable[Case]:
    """Whoever has no address is in no network; a socket is a proxy only where that is said."""
    everyone = ("0.0.0.0/1", "::/1")
    for name, peer in {"none": None, "empty": ""}.items():
        yield _from(name, False, peer, *everyone)
        nobody = Connection(peer=peer)
        yield _called(f"{name}, forwarded", False, (FOR, INSIDE), over=nobody)
        unix: dict[str, Any] = {"over": nobody, "options": {"trusted_proxies": ["unix"]}}
        yield _called(f"{name}, trusted and forwarded", True, (FOR, INSIDE), **unix)
        yield _called(f"{name}, trusted and silent", False, ranges=everyone, **unix)
        server: dict[str, Any] = {"over": nobody, "options": {"trusted_proxies": ["server"]}}
        yield _called(f"{name}, of a server that knows", False, (FOR, INSIDE), **server)
    for peer in ("unix", "@", "/run/app.sock", "localhost"):
        unix = {"over": Connection(peer=peer), "options": {"trusted_proxies": ["unix"]}}
        yield _called(f"{peer} is no missing address", False, (FOR, INSIDE), **unix)
