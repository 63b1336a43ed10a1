"""The claim `time_windows`: strictly read, and judged by the clock on the wall."""

from __future__ import annotations

import logging
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.constraints import window as module
from licet.core.constraints.window import Windows
from licet.core.errors import ConstraintViolated, LicenseInvalid
from tests.core import window_model

NAMES = window_model.NAMES
BERLIN = "Europe/Berlin"
OFFICE = {"days": "mon-fri", "from": "07:00", "to": "19:00", "tz": BERLIN}


@dataclass
class At:
    """Circumstances at this time."""

    now: float


def window(begin: str, end: str, *, tz: str = "UTC", **days: Any) -> dict[str, Any]:
    return {"from": begin, "to": end, "tz": tz, **days}


def holds(value: Any, *when: int, tz: str = "UTC", fold: int = 0) -> bool:
    """Whether a window holds when the wall clock in `tz` shows this."""
    moment = datetime(*when, tzinfo=zoneinfo.ZoneInfo(tz), fold=fold)  # type: ignore[arg-type,misc]
    return Windows.read(value).holds(At(moment.timestamp()))


BAD: list[Any] = [
    None,
    True,
    0,
    "mon-fri",
    [],
    {},
    [[]],
    [None],
    ["mon"],
    [OFFICE, None],
    [OFFICE, {**OFFICE, "tz": "Europe/Nowhere"}],
    [{**OFFICE, "until": "2030"}],
    [{**OFFICE, "Days": "mon"}],
    *([{key: OFFICE[key] for key in OFFICE if key != gone}] for gone in ("from", "to", "tz")),
    [OFFICE, {**OFFICE, "from": "08:00", "to": "08:00"}],
    *(
        [{**OFFICE, key: value}]
        for key in ("from", "to")
        for value in (
            *("7:00", "07:0", "0700", "07:00:00", "07:60", "24:01", "25:00", "-1:00", "", " "),
            *("07:00 ", " 07:00", "07:00\n", "٠٧:٠٠", "+7:00", "07.00", "7", "noon"),  # noqa: RUF001
            *(None, 7, 7.0, 700, True, ["07:00"], {}),
        )
    ),
    [{**OFFICE, "from": "24:00"}],
    [{**OFFICE, "from": "00:00", "to": "00:00"}],
    *(
        [{**OFFICE, "days": value}]
        for value in (
            *("", " ", "Mon", "MON", "monday", "mo", "mon,", ",mon", "mon,,tue", "mon, tue"),
            *("mon-", "-fri", "mon-fri-sun", "mon-mon", "mon–fri", "mon..fri", "1", "*"),  # noqa: RUF001
            *([], [""], [1], [None], [True], [["mon"]], ["mon,tue"], ["mon", "x"], ["mon"] * 1001),
            *(None, 1, True, {}, {"mon": 1}),
        )
    ),
    *(
        [{**OFFICE, "tz": value}]
        for value in (
            *("", "../../etc/passwd", "/etc/passwd", "Europe/../Europe/Berlin", "europe/berlin"),
            *("Europe/Berlin ", "Europe/Berlin\x00", "posix/Europe/Berlin", "right/UTC", "Europe"),
            *("+02:00", "UTC+2", "CEST-2", "localtime", "zone.tab", "x" * 5000),
            *(None, 0, True, [], {}, ["UTC"]),
        )
    ),
    [OFFICE] * 1001,
]


@pytest.mark.row("F10")
@pytest.mark.parametrize("value", BAD, ids=[f"{n} {value!r}"[:60] for n, value in enumerate(BAD)])
def test_a_malformed_claim_refuses_the_license(value: Any) -> None:
    """Also beside good entries; the reason names the claim and nothing of it."""
    with pytest.raises(LicenseInvalid) as caught:
        Windows.read(value)
    assert caught.value.reason == "bad_claim:time_windows"


def test_the_claim_names_a_code_that_adapters_know() -> None:
    """The refusal is `license_time_window`; a thousand windows, or one by itself, are read."""
    assert Windows.code in ConstraintViolated.codes
    assert Windows.code == "license_time_window"
    for value in ([OFFICE] * 1000, OFFICE, [OFFICE]):
        assert holds(value, 2027, 6, 7, 12, tz=BERLIN)
        assert not holds(value, 2027, 6, 7, 19, tz=BERLIN)


@pytest.mark.row("F10")
def test_from_is_inside_and_to_is_outside() -> None:
    """To the microsecond, on the days that are named and in the zone that is named."""
    monday = 2027, 6, 7
    assert not holds([OFFICE], *monday, 6, 59, 59, 999_999, tz=BERLIN)
    assert holds([OFFICE], *monday, 7, tz=BERLIN)
    assert holds([OFFICE], *monday, 18, 59, 59, 999_999, tz=BERLIN)
    assert not holds([OFFICE], *monday, 19, tz=BERLIN)
    assert not holds([OFFICE], 2027, 6, 6, 12, tz=BERLIN)
    assert holds([OFFICE], *monday, 5, 30)
    assert not holds([OFFICE], *monday, 18, 30)


@pytest.mark.row("F10")
def test_24_00_ends_a_day_and_begins_none() -> None:
    """As `to` it is the last moment of the day; `00:00` as `to` is the same moment."""
    for end in ("24:00", "00:00"):
        evening = [window("22:00", end, days="sun")]
        assert holds(evening, 2027, 6, 6, 23, 59, 59)
        assert not holds(evening, 2027, 6, 7, 0)
    whole = [window("00:00", "24:00", days="sun")]
    assert not holds(whole, 2027, 6, 5, 23, 59, 59)
    assert holds(whole, 2027, 6, 6, 0)
    assert holds(whole, 2027, 6, 6, 23, 59, 59)
    assert not holds(whole, 2027, 6, 7, 0)


@pytest.mark.row("F10")
def test_a_window_across_midnight_belongs_to_the_day_it_begins_on() -> None:
    """Friday's night shift works on Saturday morning, and Thursday's not for it."""
    night = [window("22:00", "06:00", days="fri,sun")]
    assert not holds(night, 2027, 6, 4, 5)  # Friday
    assert holds(night, 2027, 6, 4, 22)
    assert holds(night, 2027, 6, 5, 5, 59)
    assert not holds(night, 2027, 6, 5, 6)
    assert not holds(night, 2027, 6, 5, 23)
    assert not holds(night, 2027, 6, 6, 5)  # Sunday
    assert holds(night, 2027, 6, 6, 23)
    assert holds(night, 2027, 6, 7, 5, 59)  # round the end of the week
    assert not holds(night, 2027, 6, 7, 6)


@pytest.mark.parametrize(
    ("days", "named"),
    [
        ({}, NAMES),
        ({"days": "mon"}, ["mon"]),
        ({"days": "mon-fri,sun"}, ["mon", "tue", "wed", "thu", "fri", "sun"]),
        ({"days": "sat-mon"}, ["sat", "sun", "mon"]),
        ({"days": "tue-mon"}, NAMES),
        ({"days": "fri-tue"}, ["fri", "sat", "sun", "mon", "tue"]),
        ({"days": ["mon"] * 1000}, ["mon"]),
        ({"days": "sun-mon,mon,mon"}, ["sun", "mon"]),
        ({"days": ["tue", "thu"]}, ["tue", "thu"]),
        ({"days": ["sat-sun", "wed"]}, ["sat", "sun", "wed"]),
    ],
    ids=repr,
)
def test_days_are_named_alone_in_lists_and_in_ranges(
    days: dict[str, Any], named: list[str]
) -> None:
    """A range may wrap round the end of the week; no days are every day."""
    value = [window("12:00", "13:00", **days)]
    found = [name for n, name in enumerate(NAMES) if holds(value, 2027, 6, 7 + n, 12, 30)]
    assert set(found) == set(named)


@pytest.mark.row("F10")
def test_an_hour_that_comes_twice_counts_twice() -> None:
    """In Berlin the clocks show 02:30 twice on 31 October 2027, and both are inside."""
    early = [window("02:00", "03:00", tz=BERLIN)]
    begin = datetime(2027, 10, 30, 23, 30, tzinfo=UTC)
    inside = [
        minute
        for minute in range(240)
        if Windows.read(early).holds(At((begin + timedelta(minutes=minute)).timestamp()))
    ]
    assert inside == list(range(30, 150))
    # The first 02:59 is followed by another 02:00: what ended at 02:30 begins again.
    half = [window("02:00", "02:30", tz=BERLIN)]
    for fold in (0, 1):
        assert holds(half, 2027, 10, 31, 2, 29, tz=BERLIN, fold=fold)
        assert not holds(half, 2027, 10, 31, 2, 30, tz=BERLIN, fold=fold)


@pytest.mark.row("F10")
def test_an_hour_that_is_left_out_never_comes() -> None:
    """In Berlin 02:00 to 03:00 does not exist on 28 March 2027: that window is empty."""
    begin = datetime(2027, 3, 27, 23, tzinfo=UTC)
    gap = Windows.read([window("02:00", "03:00", tz=BERLIN)])
    around = Windows.read([window("01:30", "03:30", tz=BERLIN)])
    minutes = [At((begin + timedelta(minutes=minute)).timestamp()) for minute in range(300)]
    assert not any(map(gap.holds, minutes))
    # From 00:30 to 01:30 UTC, one hour in place of two.
    assert [n for n, at in enumerate(minutes) if around.holds(at)] == list(range(90, 150))


@pytest.mark.row("F10")
def test_a_leap_second_is_the_first_second_of_the_next_day() -> None:
    """Unix time knows none: 23:59:60 and 00:00:00 are the same number."""
    day = [window("00:00", "24:00", days="sat", tz="UTC")]
    end = datetime(2017, 1, 1, tzinfo=UTC).timestamp()  # a Sunday, after a leap second
    assert Windows.read(day).holds(At(end - 1))
    assert not Windows.read(day).holds(At(end))


def test_one_of_several_windows_is_enough() -> None:
    """In one zone or in two, they add up."""
    two = [
        window("08:00", "10:00"),
        window("12:00", "14:00"),
        window("08:00", "10:00", tz="Asia/Tokyo"),
    ]
    hours = [hour for hour in range(24) if holds(two, 2027, 6, 7, hour)]
    assert hours == [0, 8, 9, 12, 13, 23]


def test_one_verdict_serves_a_minute_and_no_other() -> None:
    """The zone is asked once a minute, also when the clock is set back."""
    compiled = Windows.read([OFFICE])
    end = datetime(2027, 6, 7, 17, tzinfo=UTC).timestamp()
    verdicts = []
    for second in range(-110, 0):
        assert compiled.holds(At(end + second))
        verdicts.append(compiled._verdict)
    assert verdicts[:50] == [(end - 120, end - 60, True)] * 50
    assert verdicts[50:] == [(end - 60, end, True)] * 60
    assert len(set(map(id, verdicts))) == 2
    assert compiled.holds(At(end - 0.001))
    assert not compiled.holds(At(end))
    assert not compiled.holds(At(end + 59.999))
    assert compiled.holds(At(end - 61))


def test_without_a_database_of_zones_the_log_names_the_package(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every window is then refused, and the log says what is missing."""
    monkeypatch.setattr(module, "available_timezones", set)
    module._zones.cache_clear()
    try:
        with caplog.at_level(logging.ERROR, logger="licet"), pytest.raises(LicenseInvalid):
            Windows.read([OFFICE])
        assert [record.getMessage() for record in caplog.records] == [
            "no time zones here, so no time_windows can be judged: pip install tzdata"
        ]
    finally:
        module._zones.cache_clear()


def test_the_clock_of_the_machine_is_no_zone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a system lists it as `localtime`, beside the zones of the world, which need no word."""
    monkeypatch.setattr(module, "available_timezones", lambda: {"localtime", BERLIN})
    monkeypatch.setattr(module, "ZoneInfo", lambda key: zoneinfo.ZoneInfo(BERLIN))
    module._zones.cache_clear()
    try:
        assert holds(OFFICE, 2027, 6, 7, 12, tz=BERLIN)
        with pytest.raises(LicenseInvalid):
            Windows.read([{**OFFICE, "tz": "localtime"}])
        assert not caplog.records
    finally:
        module._zones.cache_clear()


@pytest.mark.parametrize("error", [ValueError, OSError, zoneinfo.ZoneInfoNotFoundError])
def test_a_zone_that_cannot_be_loaded_refuses(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A damaged database is no way round a window."""

    def broken(key: str) -> Any:
        raise error(key)

    monkeypatch.setattr(module, "ZoneInfo", broken)
    with pytest.raises(LicenseInvalid, match="not valid"):
        Windows.read([OFFICE])


# -- against the model -------------------------------------------------------------------------

TIMES = st.tuples(st.integers(0, 23), st.sampled_from([0, 1, 15, 29, 30, 31, 59])).map(
    lambda time: f"{time[0]:02}:{time[1]:02}"
)
#: Changes of half an hour, at midnight, on the far side of the date line; and zones without any.
ZONES = [
    *("UTC", BERLIN, "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"),
    *("America/Santiago", "Asia/Beirut", "Pacific/Apia", "Pacific/Chatham", "Africa/Casablanca"),
    *("America/Scoresbysund", "Antarctica/Troll", "Africa/Cairo", "America/Havana"),
]
#: In or near these days clocks are changed in one of them; the last is a day that Apia skipped.
DATES = [
    *((2027, 3, 13), (2027, 3, 27), (2027, 3, 28), (2027, 4, 3), (2027, 4, 29), (2027, 9, 4)),
    *((2027, 10, 2), (2027, 10, 30), (2027, 11, 6), (2027, 1, 1), (2011, 12, 29)),
]


@st.composite
def some_windows(draw: st.DrawFn) -> dict[str, Any]:
    """One window as a license may spell it."""
    begin = draw(TIMES)
    end = draw((TIMES | st.just("24:00")).filter(lambda end: end != begin))
    name = st.sampled_from(NAMES)
    day = name | st.tuples(name, name).filter(lambda two: two[0] != two[1]).map("-".join)
    days = st.lists(day, min_size=1, max_size=3)
    members = {"from": begin, "to": end, "tz": draw(st.sampled_from(ZONES))}
    spelt = draw(st.none() | days | days.map(",".join))
    return members if spelt is None else {**members, "days": spelt}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(some_windows(), min_size=1, max_size=3),
    st.sampled_from(DATES),
    st.integers(0, 23),
    st.floats(0, 59.999),
)
def test_windows_agree_with_a_walk_through_the_minutes(
    windows: list[dict[str, Any]], day: tuple[int, int, int], hour: int, second: float
) -> None:
    """Over twelve hours of any of these days, minute by minute."""
    compiled = Windows.read(windows)
    begin = datetime(*day, hour, tzinfo=UTC)
    for at, expected in window_model.walk(windows, begin, 12 * 60):
        assert compiled.holds(At(at.timestamp() + second)) == expected, at


@settings(deadline=None)
@given(
    some_windows(),
    st.datetimes(datetime(1972, 2, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_windows_agree_with_the_model_at_any_time(window: dict[str, Any], moment: datetime) -> None:
    """From the time on when all zones differ by whole minutes."""
    assert Windows.read(window).holds(At(moment.timestamp())) == window_model.inside(
        [window], moment
    )
