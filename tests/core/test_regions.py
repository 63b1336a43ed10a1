"""Where a region comes from: a proxy's word, or a database on disk."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.errors import ConfigError
from licet.core.request.addresses import read_address
from licet.core.request.proxies import Proxies
from licet.core.request.regions import REGION, RegionDatabase, RegionHeader, read_region
from tests.core.hands import Hands
from tests.core.mmdb import place, write
from tests.core.test_proxies import PROXY, STRANGER, Facts

HERE = read_address("198.51.100.7")
RECORDS: dict[str, Any] = {
    "198.51.100.0/24": place("DE", "BY", "M"),
    "203.0.113.0/24": place("AT"),
    "2001:db8::/32": place("US", "CA"),
    "192.0.2.0/28": place("GB", "LONDON"),
    "192.0.2.16/28": place("gb", "eng"),
    "192.0.2.32/28": place("GBR"),
    "192.0.2.48/28": place(1),
    "192.0.2.64/28": {"country": "DE"},
    "192.0.2.80/28": {"continent": {"code": "EU"}},
    "192.0.2.96/28": {**place("FR"), "subdivisions": []},
    "192.0.2.112/28": {**place("FR"), "subdivisions": "IDF"},
    "192.0.2.128/28": place("FR", 75),
    "192.0.2.144/28": "DE",
    "192.0.2.160/28": {"registered_country": {"iso_code": "DE"}},
}


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return write(tmp_path / "places.mmdb", RECORDS)


def where(database: RegionDatabase, text: str) -> str | None:
    return database.region(Facts(), read_address(text))


# -- texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("DE", "DE"),
        ("de", "DE"),
        ("DE-BY", "DE-BY"),
        ("us-ca", "US-CA"),
        ("FR-75C", "FR-75C"),
        *((text, None) for text in ("", "D", "DEU", "T1", "1A", "DE-", "DE_BY", "DE-ABCD")),
        *((text, None) for text in ("DE,DE", "DE\n", " DE", "ß", "ﬆ", "DE-ß", "DE-ŉ", "DE" * 9999)),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_a_region_is_a_country_or_a_part_of_one(text: str, region: str | None) -> None:
    """In any case of ASCII; a letter that becomes two in capitals is none."""
    assert read_region(text) == region


@given(st.text(max_size=8) | st.from_regex(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?", fullmatch=True))
def test_reading_a_region_is_idempotent(text: str) -> None:
    """What is read is a code, and reads as itself."""
    region = read_region(text)
    if region is not None:
        assert REGION.fullmatch(region)
        assert read_region(region) == region


# -- the header --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "region"),
    [
        ("DE", "DE"),
        (" de-by ", "DE-BY"),
        ("", None),
        ("T1", None),
        ("Germany", None),
        ("XX", "XX"),
        ("\xa0DE", None),
        ("DE,DE", None),
        (["DE", "DE"], None),
        (["DE", "AT"], None),
    ],
    ids=repr,
)
def test_a_trusted_proxy_names_the_region_once(value: str | list[str], region: str | None) -> None:
    """Two of them are none, also where WSGI has joined them; what cannot be read is unknown."""
    header = RegionHeader("CF-IPCountry", Proxies(("10.0.0.0/8",)))
    assert header.region(Facts(PROXY, cf_ipcountry=value), HERE) == region
    assert header.region(Facts(PROXY), HERE) is None


def test_a_strangers_region_is_not_believed() -> None:
    """Only a trusted proxy's; with `server` everybody's, because the operator wrote so."""
    for peer in (STRANGER, None):
        facts = Facts(peer, cf_ipcountry="DE")
        for proxies in (Proxies(), Proxies(("10.0.0.0/8",))):
            assert RegionHeader("cf-ipcountry", proxies).region(facts, HERE) is None
        assert RegionHeader("cf-ipcountry", Proxies(("server",))).region(facts, HERE) == "DE"
    assert RegionHeader("cf-ipcountry", Proxies(("unix",))).region(facts, None) == "DE"


# -- the database ------------------------------------------------------------------------------


def test_a_database_knows_countries_and_their_first_subdivision(path: Path) -> None:
    """IPv4, IPv6 and mapped addresses; whoever is not in it is nowhere."""
    database = RegionDatabase(path)
    for text, region in {
        "198.51.100.7": "DE-BY",
        "::ffff:198.51.100.7": "DE-BY",
        "203.0.113.1": "AT",
        "2001:db8::1": "US-CA",
        "198.18.0.1": None,
        "2001:db9::1": None,
    }.items():
        assert where(database, text) == region
    assert database.region(Facts(x="DE"), None) is None


def test_a_broken_record_is_an_unknown_region(path: Path) -> None:
    """Or a country, where that can be read; a registration elsewhere says nothing."""
    database = RegionDatabase(path)
    regions = [where(database, f"192.0.2.{16 * n + 1}") for n in range(12)]
    assert regions == ["GB", "GB-ENG", None, None, None, None, "FR", "FR", "FR", None, None, None]


def test_a_database_without_ipv6_does_not_know_it(tmp_path: Path) -> None:
    """An address it has no room for is unknown."""
    path = write(tmp_path / "v4.mmdb", {"203.0.113.0/24": place("AT")}, version=4)
    database = RegionDatabase(path)
    assert where(database, "203.0.113.1") == "AT"
    assert where(database, "2001:db8::1") is None


def test_an_address_is_looked_up_once(path: Path) -> None:
    """The next time it is answered from memory."""
    database = RegionDatabase(path)
    for _ in range(5):
        assert where(database, "203.0.113.1") == "AT"
    info = database._open.find.cache_info()  # type: ignore[attr-defined]
    assert (info.misses, info.hits, info.maxsize) == (1, 4, 4096)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database\n" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(path.read_bytes()[-200:]),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["missing", "empty", "text", "begin only", "end only", "directory"],
)
def test_what_is_no_database_stops_the_start(path: Path, make: Callable[[Path], object]) -> None:
    """A `ConfigError` that does not repeat the path."""
    make(path)
    with pytest.raises(ConfigError) as caught:
        RegionDatabase(path)
    assert caught.value.setting == "region_database"
    assert str(path) not in str(caught.value)
    kind = type(caught.value.__context__).__name__
    assert caught.value.problem == f"cannot be used ({kind})"
    assert caught.value.remedy == (
        "write the path of a country or city database in MaxMind's format"
    )


def test_a_missing_library_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs it."""
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(ConfigError) as caught:
        RegionDatabase(path)
    assert caught.value.remedy == 'pip install "licet[geo]"'
    assert caught.value.setting == "region_database"
    assert caught.value.problem == "needs the package maxminddb"


def test_a_new_database_is_noticed_within_a_minute(path: Path) -> None:
    """Not sooner, and the memory of the old one goes with it."""
    hands = Hands()
    database, unasked = (RegionDatabase(path, clock=hands.clock) for _ in range(2))
    assert where(database, "203.0.113.1") == "AT"
    write(path, {"203.0.113.0/24": place("CH", "ZH")})
    hands.advance(59)
    assert where(database, "203.0.113.1") == "AT"
    assert where(unasked, "203.0.113.1") == "AT"
    hands.advance(1)
    assert where(database, "203.0.113.1") == "CH-ZH"
    found = database._open
    hands.advance(60)
    assert where(database, "203.0.113.1") == "CH-ZH"
    assert database._open is found


def test_what_is_broken_does_not_displace_what_is_open(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells once a minute; a good file ends it."""
    hands = Hands()
    database = RegionDatabase(path, clock=hands.clock)
    broken = path.with_suffix(".broken")
    broken.write_bytes(b"no database")
    broken.replace(path)
    with caplog.at_level(logging.WARNING, logger="licet"):
        for _ in range(3):
            hands.advance(60)
            for _ in range(3):
                assert where(database, "203.0.113.1") == "AT"
        assert len(caplog.records) == 3
        told = {record.getMessage() for record in caplog.records}
        assert [text.partition(" again ")[2] for text in told] == [
            "(InvalidDatabaseError); the one from before is still used"
        ]
        path.unlink()
        hands.advance(60)
        assert where(database, "203.0.113.1") == "AT"
    assert len(caplog.records) == 4
    assert str(path) not in caplog.text
    write(path, {"203.0.113.0/24": place("CH")})
    hands.advance(60)
    assert where(database, "203.0.113.1") == "CH"


def test_damage_where_the_data_are_is_an_unknown_region(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pointers that lead nowhere are found at the lookup, told in the log, and let nobody in."""
    data = path.read_bytes()
    end = data.rindex(b"\xab\xcd\xefMaxMind.com")
    begin = data.index(bytes(16), 0, end) + 16
    path.write_bytes(data[:begin] + b"\x3f\xff\xff\xff" * ((end - begin) // 4) + data[end:])
    with caplog.at_level(logging.WARNING, logger="licet"):
        assert where(RegionDatabase(path), "203.0.113.1") is None
    told = [record.getMessage() for record in caplog.records]
    assert told == ["region_database is damaged; where it is, regions are unknown"]


def test_threads_and_a_fork_share_a_database(path: Path) -> None:
    """They all get the right answers while it is replaced under their hands."""
    hands = Hands()
    database = RegionDatabase(path, clock=hands.clock)
    wrong: list[str | None] = []

    def ask() -> None:
        for n in range(300):
            hands.monotonic += 1
            region = where(database, f"203.0.113.{n % 250}")
            if region not in ("AT", "CH"):
                wrong.append(region)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    write(path, {"203.0.113.0/24": place("CH")})
    for thread in threads:
        thread.join()
    assert wrong == []
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            os._exit(0 if where(database, "203.0.113.251") in ("AT", "CH") else 1)
        assert os.waitpid(child, 0)[1] == 0
