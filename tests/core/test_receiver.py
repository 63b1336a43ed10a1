"""Pushed events: which are authentic, and what they change."""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.errors import ConfigError, LicenseError
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.flow import Effect
from licet.core.gate import Gate
from licet.core.request.paths import ExemptPaths
from licet.core.revocation import reception
from licet.core.revocation.pushed import SEEN_FOR, Pushed
from licet.core.revocation.receiver import (
    Delivery,
    DeliveryInvalid,
    DeliveryUnreadable,
    Receiver,
)
from licet.core.revocation.reception import MAX_BODY, Reception
from licet.core.revocation.statements import Hint, Subject, Withdrawal
from licet.core.revocation.sticky import Withdrawals
from licet.core.settings import Settings
from licet.core.stores import Key, StoreUnavailable, key
from licet.core.stores.memory import MemoryStore
from tests.core.hands import Hands
from tests.licenses import FORGER, ISSUER_NAME, OPTIONS, license_token
from tests.pushed import JSON, PATH, event, lines, mac, new_secret, signature

T = TypeVar("T")
SECRET = new_secret()
NOW = 1_800_000_000.0
OTHER_ISSUER = "https://other.example"
BODY = b'{"type":"license.revoked","timestamp":1799999990,"data":{"license_id":"lic_1"}}'


def fields_of(sent: list[tuple[str, str]]) -> Callable[[str], list[str]]:
    """Return the fields of a request."""
    return lambda name: [value for key, value in sent if key.lower() == name]


def authentic(body: bytes = BODY, now: float = NOW, secret: str = SECRET, **sent: Any) -> Delivery:
    """Receive a delivery that was sent at `NOW`, but for what is `sent` otherwise."""
    made = lines(secret, body, **{"event_id": "evt_1", "at": int(NOW), **sent})
    return Receiver(SECRET).authentic(fields_of(made), body, now)


def refused(reason: str, **sent: Any) -> None:
    """See to it that such a delivery is refused for this reason."""
    with pytest.raises(DeliveryInvalid) as caught:
        authentic(**sent)
    assert caught.value.reason == reason
    assert not isinstance(caught.value, DeliveryUnreadable)


# -- is it authentic? ------------------------------------------------------------------------------


def test_what_the_reference_library_signs_is_authentic() -> None:
    """A delivery signed by the library of Standard Webhooks is taken, with all it says."""
    signed = Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())
    delivery = authentic(event_id="msg_1", webhook_signature=signed)
    assert delivery == Delivery("msg_1", NOW, json.loads(BODY))
    assert signed == signature(SECRET, "msg_1", int(NOW), BODY)


def test_what_is_signed_here_is_authentic_to_the_reference_library() -> None:
    """The suite's own deliveries are those of the standard."""
    body = event(license_id="lic_1")
    sent = dict(lines(SECRET, body))
    assert Webhook(SECRET).verify(body, sent)["type"] == "license.revoked"


def test_the_secret_may_come_without_its_prefix() -> None:
    """`whsec_` tells people what it is, and is no part of it."""
    assert authentic(secret=SECRET.removeprefix("whsec_"))
    assert repr(Receiver(SECRET)) == "Receiver()", "it does not show the secret"
    for broken in ("whsec_" + "A" * 31, "whsec_" + "!" + SECRET[6:]):
        with pytest.raises(ValueError, match=r"padding|base64|Non-base64"):
            Receiver(broken)


GOOD = signature(SECRET, "evt_1", int(NOW), BODY)
CODE = mac(SECRET, "evt_1", int(NOW), BODY)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("v2,AAAA v1a,BBBB " + GOOD, id="other-schemes-beside-it"),
        pytest.param(f"v1,{'A' * 43}= {GOOD}", id="an-old-secret-beside-it"),
        pytest.param(" ".join(["v1,x"] * 15 + [GOOD]), id="sixteen"),
        pytest.param(f"{GOOD} {GOOD}", id="twice"),
    ],
)
def test_one_good_signature_among_others_is_enough(sent: str) -> None:
    """While secrets are rotated there are several."""
    assert authentic(webhook_signature=sent)


@pytest.mark.row("Q01")
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("", id="empty"),
        pytest.param(GOOD.removeprefix("v1,"), id="no-version"),
        pytest.param(GOOD.replace("v1,", "v1="), id="another-separator"),
        pytest.param(GOOD.replace("v1,", "V1,"), id="another-case"),
        pytest.param(GOOD.replace("v1,", "v1a,"), id="another-scheme"),
        pytest.param(GOOD.replace("v1,", "v1, "), id="a-space"),
        pytest.param("v1," + CODE.hex(), id="hex"),
        pytest.param("v1," + CODE.hex().upper(), id="HEX"),
        pytest.param(GOOD.rstrip("="), id="no-padding"),
        pytest.param(GOOD + "=", id="more-padding"),
        pytest.param(GOOD + "\n", id="line-feed"),
        pytest.param("v1," + base64.b64encode(CODE[:31]).decode(), id="truncated"),
        pytest.param("v1," + base64.b64encode(CODE + b"\0").decode(), id="longer"),
        pytest.param(GOOD[:-2] + chr(ord(GOOD[-2]) + 1) + "=", id="other-unused-bits"),
        pytest.param(GOOD + "," + GOOD, id="joined-lines"),
        pytest.param(" ".join(["v1,x"] * 16 + [GOOD]), id="seventeen"),
        pytest.param("v1,\xe9" + GOOD[4:], id="beyond-ASCII"),
        pytest.param("v1,\udc80" + GOOD[4:], id="no-character"),
    ],
)
def test_a_signature_has_one_spelling(sent: str) -> None:
    """Hexadecimal, variants of base64 and other versions are no signature."""
    with pytest.raises(DeliveryInvalid) as caught:
        authentic(webhook_signature=sent)
    assert caught.value.reason == ("signatures" if sent.count(" ") > 15 else "signature")


def test_a_signature_in_the_alphabet_of_urls_is_none() -> None:
    """Only the standard alphabet of base64 is read."""
    event_id = next(
        one
        for one in (f"evt_{number}" for number in range(100))
        if {"+", "/"} & set(signature(SECRET, one, int(NOW), BODY))
    )
    good = signature(SECRET, event_id, int(NOW), BODY)
    refused(
        "signature",
        event_id=event_id,
        webhook_signature=good.replace("+", "-").replace("/", "_"),
    )


@pytest.mark.row("Q01")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": new_secret()}, "signature"),
        ({"webhook_signature": signature(SECRET, "evt_2", int(NOW), BODY)}, "signature"),
        ({"webhook_signature": signature(SECRET, "evt_1", int(NOW) + 1, BODY)}, "signature"),
        ({"webhook_signature": signature(SECRET, "evt_1", int(NOW), BODY + b" ")}, "signature"),
        ({"webhook_signature": None}, "webhook_signature"),
        ({"webhook_id": None}, "webhook_id"),
        ({"webhook_timestamp": None}, "webhook_timestamp"),
    ],
)
def test_everything_is_signed(changes: dict[str, Any], reason: str) -> None:
    """Id, moment and body are what was signed, by the secret that is shared."""
    refused(reason, **changes)


@pytest.mark.row("Q01")
@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_no_field_comes_twice(name: str) -> None:
    """Two lines of a field are refused, also when they are equal."""
    made = lines(SECRET, BODY, event_id="evt_1", at=int(NOW))
    made += [line for line in made if line[0] == name]
    with pytest.raises(DeliveryInvalid, match=name.replace("-", "_")):
        Receiver(SECRET).authentic(fields_of(made), BODY, NOW)


@pytest.mark.parametrize("at", [NOW - 300, NOW - 1, NOW, NOW + 1, NOW + 300])
def test_what_was_sent_within_five_minutes_is_taken(at: float) -> None:
    """Clocks may differ by so much, either way."""
    assert authentic(at=int(at)).sent_at == at


@pytest.mark.row("Q02")
@pytest.mark.parametrize("at", [NOW - 301, NOW + 301, 0, 999_999_999_999, int(NOW) * 1000])
def test_what_was_sent_at_another_time_is_refused(at: float) -> None:
    """An old delivery that somebody has kept cannot be sent again."""
    refused("webhook_timestamp" if at > 10**12 else "timestamp_off", at=int(at))


def test_a_clock_without_a_reading_takes_nothing() -> None:
    """What is compared with NaN is not within anything."""
    with pytest.raises(DeliveryInvalid, match="timestamp_off"):
        authentic(now=float("nan"))


@pytest.mark.row("Q02")
@pytest.mark.parametrize(
    "at",
    [
        *("NaN", "inf", "-1", "1.8e9", "1800000000.0", "+1800000000", " 1800000000", "1800000000 "),
        *(
            "1_800_000_000",
            "0x6B49D200",
            "01800000000",
            "",
            "1800000000\n",
            "1800000000,1800000000",
        ),
        "\uff11\uff18\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10",
        "\u0661\u0668" + "\u0660" * 8,
        "9" * 5000,
    ],
)
def test_a_timestamp_is_plain_digits(at: str) -> None:
    """What only Python takes for a number is none, also when it is signed."""
    refused("webhook_timestamp", at=at)


@pytest.mark.parametrize(
    "event_id", ["", "a b", "a.b", "a,b", "a\n", "caf\xe9", "x" * 257, "\x7f", "a\x00"]
)
def test_an_id_is_plain_and_without_full_stops(event_id: str) -> None:
    """Of what is signed there is one reading: `a.1` and 2 is not `a` and `1.2`."""
    refused("webhook_id", event_id=event_id)


def test_no_part_of_what_is_signed_passes_for_another() -> None:
    """A signature over `a.1.2.{…}` is one of the id `a` alone."""
    body = b"1800000000." + BODY
    code = signature(SECRET, "a", int(NOW), body)
    with pytest.raises(DeliveryUnreadable):
        authentic(body, event_id="a", webhook_signature=code)
    refused("webhook_id", event_id="a.1800000000", webhook_signature=code)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b'"x"', b"null", b"{", b'{"type":"a","type":"b"}', b'{"type":NaN}'),
        *(
            b"\xef\xbb\xbf{}",
            b'{"type":"\xff"}',
            b'{"a":"\\ud800"}',
            b"{}{}",
            b"[" * 40 + b"]" * 40,
        ),
        b'{"type":1' + b"0" * 400 + b"}",
    ],
)
def test_what_is_authentic_may_yet_be_unreadable(body: bytes) -> None:
    """JSON that could be read in two ways is read in none."""
    with pytest.raises(DeliveryUnreadable) as caught:
        authentic(body)
    assert caught.value.reason == "json"


@given(st.binary(max_size=200), st.integers(0, 10**12), st.text(max_size=20))
def test_nothing_is_authentic_by_chance(body: bytes, at: int, sent: str) -> None:
    """Whatever is sent without the secret is refused, and by nothing else."""
    with pytest.raises(DeliveryInvalid):
        authentic(body, now=float(at), at=at, webhook_signature=sent)


# -- what it changes -------------------------------------------------------------------------------


class Silent(MemoryStore):
    """A store that does not answer while it is `away`."""

    away = False
    #: Which operations alone do not answer; all where there are none.
    only: tuple[str, ...] = ()

    def get(self, key: Key) -> Effect[bytes | None]:
        return Lost("get", self, super().get(key))

    def _put(self, key: Key, value: bytes, ttl: float) -> Effect[None]:
        return Lost("put", self, super()._put(key, value, ttl))

    def _announce(self, key: Key, value: bytes, ttl: float) -> Effect[int]:
        return Lost("announce", self, super()._announce(key, value, ttl))


class Lost(Generic[T]):
    """An effect that fails while its store is away."""

    def __init__(self, name: str, store: Silent, effect: Effect[T]) -> None:
        self._name, self._store, self._effect = name, store, effect

    def run(self) -> T:
        if self._store.away and (not self._store.only or self._name in self._store.only):
            raise StoreUnavailable("unreachable")
        return self._effect.run()

    async def arun(self) -> T:
        return self.run()


_NUMBERS = itertools.count()


class Process:
    """One process that receives events, and what became of them."""

    def __init__(self, *boards: MemoryStore, issuers: tuple[str, ...] = (ISSUER_NAME,)) -> None:
        self.hands = Hands(wall=NOW)
        self.events: list[Event] = []
        self.hints: list[Hint] = []
        self.withdrawals = Withdrawals(boards, self.hands.clock)
        self.withdrawals.on_hint(self.hints.append)
        bus = EventBus(self.events.append)
        self.pushed = Pushed(issuers, self.withdrawals, boards, bus, self.hands.clock)

    def take(
        self,
        kind: str = "license.revoked",
        *,
        event_id: str | None = None,
        at: Any = NOW,
        sent_at: float | None = None,
        **data: Any,
    ) -> None:
        """Take an event."""
        event_id = f"event_{next(_NUMBERS)}" if event_id is None else event_id
        message = {"type": kind, "timestamp": at, "data": {"license_id": "lic_1", **data}}
        sent = self.hands.wall if sent_at is None else sent_at
        flow.run(self.pushed.take(Delivery(event_id, sent, message)))

    def known(self, name: str = "lic_1", issuer: str = ISSUER_NAME) -> Withdrawal | None:
        """Return what is known of a license."""
        return self.withdrawals.known(Subject("license", issuer, name))


@pytest.mark.parametrize("word", ["revoked", "suspended"])
def test_a_withdrawal_is_in_force_at_once(word: str) -> None:
    """It is known of the license, and told once, in the words of every withdrawal."""
    process = Process()
    process.take(f"license.{word}", at=NOW - 5)
    assert process.known() == (word, NOW - 5)
    [told] = process.events
    assert told.name == "license.revoked"
    assert told.data == {"issuer": ISSUER_NAME, "word": word, "license_id": "lic_1"}
    assert process.known("lic_2") is None


@pytest.mark.row("Q07")
def test_what_gives_back_and_what_rotates_is_a_reason_to_ask() -> None:
    """It restores nothing."""
    process = Process()
    process.take("license.revoked", at=NOW - 5)
    process.take("license.resumed", at=NOW - 1)
    process.take("keys.rotated", at=NOW, license_id=None, issuer=ISSUER_NAME)
    assert process.known() == ("revoked", NOW - 5)
    assert process.hints == [
        Hint("resumed", ISSUER_NAME, "lic_1", NOW - 1),
        Hint("rotated", ISSUER_NAME, "", NOW),
    ]


@pytest.mark.parametrize(
    ("at", "said_at"),
    [
        ("2027-01-15T07:59:59Z", NOW - 1),
        ("2027-01-15T08:59:58.5+01:00", NOW - 1.5),
        ("2027-01-15T07:59:59.123456789Z", NOW - 1 + 0.123456),
        (NOW - 7, NOW - 7),
        (int(NOW) - 7, NOW - 7),
        (0, 0.0),
        (NOW + 299, NOW + 299),
        (NOW + 300, NOW + 300),
        (NOW + 301, NOW),
        (NOW * 1000, NOW),
        ("9999-12-31T23:59:59Z", NOW),
        # Unreadable: the moment of sending.
        *((one, NOW - 20) for one in (None, True, -1, -0.5, [], {}, "", "yesterday", "2027-01-15")),
        *(
            (one, NOW - 20)
            for one in (
                "2027-01-15T07:59:59",
                "2027-13-15T07:59:59Z",
                "2027-01-15T07:59:60Z",
                "2027-01-15 07:59:59Z",
                "20270115T075959Z",
                "2027-W02-5T07:59:59Z",
                "2027-01-15T07:59:59Z\n",
                "0001-01-01T00:00:00+23:59",
                "1960-01-01T00:00:00Z",
                "\u0662027-01-15T07:59:59Z",
            )
        ),
    ],
)
def test_when_it_was_said(at: Any, said_at: float) -> None:
    """By the event's own word where that can be read, and never far ahead of now."""
    process = Process()
    process.take(at=at, sent_at=NOW - 20)
    known = process.known()
    assert known is not None
    assert known.said_at == pytest.approx(said_at, abs=1e-6)


def test_an_event_without_an_issuer_is_of_all() -> None:
    """One with an issuer is of that one, and of a stranger's nobody's."""
    process = Process(issuers=(ISSUER_NAME, OTHER_ISSUER))
    process.take(license_id="lic_a")
    process.take(license_id="lic_b", issuer=OTHER_ISSUER)
    process.take(license_id="lic_c", issuer="https://evil.example")
    process.take("keys.rotated", issuer="https://evil.example")
    process.take("keys.rotated")
    for name, own, other in (("lic_a", True, True), ("lic_b", False, True), ("lic_c", 0, 0)):
        assert bool(process.known(name)) == own
        assert bool(process.known(name, OTHER_ISSUER)) == other
    assert sorted(hint.issuer for hint in process.hints) == [ISSUER_NAME, OTHER_ISSUER]


@pytest.mark.parametrize("kind", ["license.expiring", "usage.exceeded", "License.Revoked", "", "x"])
def test_other_types_change_nothing(kind: str) -> None:
    """What this side does not know, or has no use for, is taken, whatever it holds."""
    process = Process()
    for data in ({}, {"license_id": 7}, {"sequence": -1}):
        process.take(kind, **data)
    assert (process.known(), process.events, process.hints) == (None, [], [])


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("type", {}),
        ("type", {"type": 1, "data": {"license_id": "lic_1"}}),
        ("type", {"type": None}),
        ("data", {"type": "license.revoked"}),
        ("data", {"type": "license.revoked", "license_id": "lic_1"}),
        ("data", {"type": "license.revoked", "data": []}),
        ("license_id", {"type": "license.revoked", "data": {}}),
        *(
            ("license_id", {"type": "license.revoked", "data": {"license_id": name}})
            for name in (None, 1, "", True, ["lic_1"], "x" * 257, "lic_\n1")
        ),
        *(
            (
                "sequence",
                {"type": "license.resumed", "data": {"license_id": "lic_1", "sequence": sequence}},
            )
            for sequence in (-1, 1.0, True, "1", None, [])
        ),
        *(
            (
                "issuer",
                {"type": "license.revoked", "data": {"license_id": "lic_1", "issuer": issuer}},
            )
            for issuer in (None, 1, "", [ISSUER_NAME])
        ),
    ],
)
def test_an_event_that_lacks_what_it_is_about_is_unreadable(
    reason: str, message: dict[str, Any]
) -> None:
    """It is refused whole, and said again by its sender once that is mended."""
    process = Process()
    with pytest.raises(DeliveryUnreadable) as caught:
        flow.run(process.pushed.take(Delivery("evt_1", NOW, message)))
    assert caught.value.reason == reason
    assert (process.known(), process.events, process.hints) == (None, [], [])


@pytest.mark.row("Q03")
def test_a_repeated_delivery_has_no_second_effect() -> None:
    """Also not in a process that has not seen the first, and whatever it says now."""
    board = MemoryStore(Hands().clock)
    first, second = Process(board), Process(board)
    first.take(event_id="evt_1")
    for process in (first, second):
        process.take(event_id="evt_1", license_id="lic_2")
        process.take("keys.rotated", event_id="evt_1")
        assert (process.known("lic_2"), process.hints) == (None, [])
    assert len(first.events) == 1
    assert second.events == []


def test_one_process_alone_remembers_for_a_week() -> None:
    """Of deliveries their ids, by its own clock; of licenses their last sequences, for good."""
    process = Process()
    process.take("keys.rotated", event_id="evt_1", at=NOW)
    process.take("license.resumed", sequence=5)
    for later in (1.0, SEEN_FOR - 2):
        process.hands.advance(later)
        process.take("keys.rotated", event_id="evt_1", at=NOW + later)
        assert len(process.hints) == 2
    process.hands.advance(1)
    process.take("keys.rotated", event_id="evt_1", at=NOW + 1)
    assert len(process.hints) == 3
    process.take("license.revoked", sequence=5)
    assert process.known() is None
    process.take("license.revoked", sequence=6)
    assert process.known()
    process.take("license.suspended", at=NOW + 9, sequence=6)
    assert process.known() == ("revoked", NOW)


def test_a_board_keeps_each_thing_in_its_own_place() -> None:
    """What a delivery is called, and what a license is called, may be anything."""
    board = MemoryStore(Hands().clock)
    process = Process(board)
    process.take("license.revoked", event_id="evt_1", sequence=3)
    for place, value in (
        (key("delivery", ISSUER_NAME, "evt_1"), b"1"),
        (key("pushed", ISSUER_NAME, "lic_1"), b"3"),
    ):
        assert board.get(place).run() == value


def test_what_comes_too_late_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A server whose sequences began anew would otherwise be ignored without a word."""
    caplog.set_level("INFO", "licet")
    process = Process()
    for sequence in (7, 2):
        process.take("license.suspended", sequence=sequence)
    assert caplog.messages == ["license.suspended has no effect: 7 came before it"]


def test_a_delivery_is_known_to_those_who_judge_by_the_same_issuers() -> None:
    """Another application may be told the same, and have more licenses to look at."""
    board = MemoryStore(Hands().clock)
    one, other = Process(board), Process(board, issuers=(ISSUER_NAME, OTHER_ISSUER))
    one.take(event_id="evt_1")
    other.take(event_id="evt_1")
    assert one.known()
    assert other.known(issuer=OTHER_ISSUER)


@pytest.mark.row("Q07")
def test_what_is_older_by_its_sequence_has_no_effect() -> None:
    """Whoever receives it: each license has an order of its own, and each issuer's keys."""
    board = MemoryStore(Hands().clock)
    first, second = Process(board), Process(board)
    first.take("license.resumed", sequence=5)
    for process in (first, second):
        for sequence in (0, 4, 5):
            process.take("license.suspended", sequence=sequence)
            process.take("license.resumed", sequence=sequence, at=NOW + 1)
        assert process.known() is None
    assert (len(first.hints), len(second.hints)) == (1, 0)
    second.take("license.revoked", sequence=0, license_id="lic_2")
    second.take("keys.rotated", sequence=0)
    second.take("keys.rotated", sequence=0, at=NOW + 2)
    assert second.known("lic_2")
    assert len(second.hints) == 1
    second.take("license.suspended", sequence=6)
    assert second.known() == ("suspended", NOW)
    first.take("license.suspended", sequence=6, license_id="lic_1")
    assert first.known() is None, "told by the watch, and not by this event"


def test_events_without_a_sequence_have_no_order_of_their_own() -> None:
    """They take effect, and the moment at which they were said decides."""
    process = Process()
    process.take("license.revoked", sequence=5, at=NOW - 3)
    process.take("license.suspended", at=NOW - 1)
    process.take("license.revoked", at=NOW - 2)
    assert process.known() == ("suspended", NOW - 1)
    assert len(process.events) == 2, "what changes nothing is no news"


def test_what_lies_on_a_board_unreadably_hides_nothing() -> None:
    """A sequence that somebody has written over is no sequence."""
    board = MemoryStore(Hands().clock)
    for value in (b'["x"]', b"", b"-1", b"NaN", b"9" * 5000):
        board.put(key("pushed", ISSUER_NAME, "lic_1"), value, 60).run()
        process = Process(board)
        process.take("license.revoked", sequence=0)
        assert process.known()


@pytest.mark.parametrize("only", [(), ("get",), ("put",), ("announce",)], ids=str)
@pytest.mark.parametrize("sequence", [None, 3])
def test_a_store_that_is_away_keeps_nothing_from_being_in_force(
    only: tuple[str, ...], sequence: int | None
) -> None:
    """It is in force here at once; what failed is mended by the repetition, which is taken."""
    board = Silent(Hands().clock)
    process, other = Process(board), Process(board)
    board.away, board.only = True, only
    data = {} if sequence is None else {"sequence": sequence}
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            process.take(event_id="evt_1", **data)
        assert process.known() == ("revoked", NOW)
    assert len(process.events) == 1, "told once"
    board.away = False
    process.take(event_id="evt_1", **data)
    news = board.announced(0).run()
    assert len(news.values) == 1
    assert b'"revoked"' in news.values[0]
    before = news.generation
    other.take(event_id="evt_1", **data)
    process.take(event_id="evt_1", **data)
    assert board.announced(0).run().generation == before, "seen by now"
    if sequence is not None:
        other.take("license.suspended", at=NOW + 1, sequence=2)
        assert other.known() is None


@pytest.mark.parametrize("kind", ["license.resumed", "keys.rotated"])
def test_a_reason_to_ask_is_acted_on_without_a_store(kind: str) -> None:
    """And again when it is delivered again, so that everybody hears of it."""
    board = Silent(Hands().clock)
    process = Process(board)
    board.away = True
    with pytest.raises(StoreUnavailable):
        process.take(kind, event_id="evt_1", sequence=1)
    assert len(process.hints) == 1
    board.away = False
    process.take(kind, event_id="evt_1", sequence=1)
    assert len(board.announced(0).run().values) == 1


# -- through a gate --------------------------------------------------------------------------------


class Site:
    """A gate that receives events."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.secret = new_secret()
        self.gate = Gate(Settings(**OPTIONS, webhook_receive_secret=self.secret), clock=clock)
        self.reception = Reception(self.gate)

    def deliver(self, body: bytes, **sent: Any) -> Any:
        """Deliver an event, as an adapter does."""
        fields = fields_of(lines(self.secret, body, **sent))
        pieces = iter([body])
        return self.reception.respond("POST", fields, lambda size: next(pieces, b"")[:size])

    def verdict(self, license_id: str) -> str:
        """Return what becomes of a license."""
        try:
            flow.run(self.gate.verify(license_token(sub=license_id).encode()))
        except LicenseError as error:
            return error.code
        return "yes"


@pytest.mark.row("E16")
@pytest.mark.parametrize("said", ["composed", "decomposed", "escaped"])
def test_a_license_id_is_compared_by_its_bytes(said: str) -> None:
    """No other case and no other normalisation is the license; another spelling in JSON is."""
    composed, decomposed = "lic_\u00c9", "lic_E\u0301"
    revoked = decomposed if said == "decomposed" else composed
    text = json.dumps(revoked, ensure_ascii=said == "escaped")
    site = Site()
    everybody = {composed, decomposed, composed.lower(), composed.upper(), "lic_E", "lic_\ufffd"}
    assert {site.verdict(name) for name in everybody} == {"yes"}
    body = b'{"type":"license.revoked","timestamp":1,"data":{"license_id":%s}}' % text.encode()
    assert site.deliver(body).status == 204
    assert {name for name in everybody if site.verdict(name) == "license_revoked"} == {revoked}


@pytest.mark.row("E16")
def test_a_token_of_another_number_is_of_the_same_license() -> None:
    """Revocation is by license id: `jti` is nobody's name for a license."""
    site = Site()
    assert site.deliver(event(license_id="jti_1", jti="jti_1")).status == 204
    tokens = [license_token(sub="lic_1", jti=jti) for jti in ("jti_1", "jti_2")]
    for token in tokens:
        flow.run(site.gate.verify(token.encode()))
    assert site.deliver(event(license_id="lic_1")).status == 204
    for token in tokens:
        with pytest.raises(LicenseError) as caught:
            flow.run(site.gate.verify(token.encode()))
        assert caught.value.code == "license_revoked"


@pytest.mark.row("Q04")
@pytest.mark.parametrize("size", [1, 999, 65_536, 10**6])
def test_of_a_body_no_more_is_read_than_shows_that_it_is_too_long(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor asked for: a reader is never told to read all there is."""
    site, asked = Site(), 0

    def read(wanted: int) -> bytes:
        nonlocal asked
        assert 0 < wanted <= MAX_BODY + 1
        asked += min(size, wanted)
        return b"x" * min(size, wanted)

    answer = site.reception.respond("POST", fields_of([JSON]), read)
    assert (answer.status, asked) == (413, MAX_BODY + 1)
    assert caplog.messages == ["pushed event refused: code=body_too_large reason=body"]


def test_a_body_that_breaks_off_is_unreadable(caplog: pytest.LogCaptureFixture) -> None:
    """The connection's own errors are no errors of this side."""

    def read(wanted: int) -> bytes:
        raise ConnectionResetError

    answer = Site().reception.respond("POST", fields_of([JSON]), read)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "webhook_unreadable")
    assert caplog.messages == ["pushed event refused: code=webhook_unreadable reason=body"]


def test_the_longest_body_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    """64 KiB, and what it says is read or not."""
    site = Site()
    body = event(license_id="lic_1")
    assert site.deliver(body + b" " * (MAX_BODY - len(body))).status == 204
    assert site.verdict("lic_1") == "license_revoked"
    answer = site.deliver(b" " * MAX_BODY)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "webhook_unreadable")
    assert caplog.messages[-1].endswith("code=webhook_unreadable reason=json")


def unread(wanted: int) -> bytes:
    """Be a body that nobody may read."""
    raise AssertionError("read")


@pytest.mark.row("Q04")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([], 415),
        ([("content-type", "text/json")], 415),
        ([("content-type", "application/jsonp")], 415),
        ([JSON, JSON], 415),
        ([JSON, ("content-encoding", "gzip")], 415),
        ([JSON, ("content-encoding", "identity"), ("content-encoding", "br")], 415),
        ([JSON, ("content-length", "65537")], 413),
        ([JSON, ("content-length", "9" * 5000)], 413),
        ([JSON, ("content-length", "1"), ("content-length", "65537")], 413),
        ([JSON, ("content-length", "100000")], 413),
        ([JSON, ("content-length", "1000000")], 413),
        ([JSON, ("content-length", "065537")], 413),
        ([JSON, ("content-length", "65536")], None),
        ([JSON, ("content-length", "00000001")], None),
        ([JSON, ("content-length", "0")], None),
        ([JSON, ("content-length", "-1")], None),
        ([JSON, ("content-length", "\u00b2" * 9)], None),
        ([("content-type", "application/JSON;charset=utf-8")], None),
        ([JSON, ("content-encoding", "Identity")], None),
    ],
)
def test_what_is_refused_by_its_head_is_not_read(
    sent: list[tuple[str, str]], status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Media type, encoding and length are looked at first."""
    site = Site()
    refusal = site.reception.head("POST", fields_of(sent))
    assert (refusal and refusal.status) == status
    told = {415: "content_type|content_encoding", 413: "content_length", None: "$^"}[status]
    assert len(caplog.messages) == bool(refusal)
    assert all(re.search(f"reason=({told})$", message) for message in caplog.messages)
    if refusal is not None:
        assert site.reception.respond("POST", fields_of(sent), unread) == refusal


@pytest.mark.row("Q05")
def test_a_receiver_is_open_by_one_method_and_one_path(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What looks like its path is not exempt, and what looks like POST is refused."""
    site = Site()
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "post", "POST ", "", "CONNECT"):
        refusal = site.reception.head(method, fields_of([JSON]))
        assert refusal is not None
        assert (refusal.status, dict(refusal.headers)["Allow"]) == (405, "POST")
        assert isinstance(refusal.body, bytes)
        assert bool(refusal.body) == (method != "HEAD")
        assert caplog.messages[-1] == "pushed event refused: code=method_not_allowed reason=method"
    exempt = ExemptPaths((PATH,))
    assert PATH in exempt
    for path in (f"{PATH}/", f"/{PATH}", f"{PATH}/../me", PATH.upper(), f"{PATH};a", PATH[1:]):
        assert path not in exempt


@pytest.mark.row("Q06")
def test_addresses_and_keys_in_an_event_are_not_looked_at() -> None:
    """What an event carries beyond its few members changes neither its effect nor a setting."""
    plain, laden = Process(), Process()
    more = {"jwks_url": "http://127.0.0.1:9/", "jwks": FORGER.jwks(), "uri": "file:///", "kid": "x"}
    for kind in ("license.resumed", "license.revoked", "keys.rotated"):
        plain.take(kind)
        laden.take(kind, **more)
    assert laden.hints == plain.hints
    assert laden.events == plain.events
    assert laden.known() == plain.known()


def test_a_receiver_needs_a_secret() -> None:
    """Without one nobody could be told from the license server."""
    with pytest.raises(ConfigError) as caught:
        Reception(Gate(Settings(**OPTIONS)))
    assert str(caught.value) == (
        "webhook_receive_secret (LICET_WEBHOOK_RECEIVE_SECRET) is missing: set the secret "
        "(whsec_…) that the license server signs its events with"
    )


def test_what_goes_wrong_is_to_be_delivered_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of this side is in the log, and no word of it in the answer."""
    site = Site()
    monkeypatch.setattr(site.gate.pushed, "take", lambda delivery: 1 / 0)
    answer = site.deliver(event(license_id="lic_1"))
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "10")
    assert b"ZeroDivisionError" not in answer.body
    assert "ZeroDivisionError" in caplog.text
    assert caplog.messages[0].endswith("; the event has to be delivered again")


def test_a_store_that_cannot_be_told_is_answered_503(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The sender tries again; in this process it is in force."""
    site = Site()

    def lost(*owed: Any) -> Any:
        raise StoreUnavailable("timeout")
        yield

    monkeypatch.setattr(site.gate.withdrawals._debts, "tell", lost)
    answer = site.deliver(event(license_id="lic_1"))
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "webhook_unavailable")
    assert site.verdict("lic_1") == "license_revoked"
    assert "reason=store:timeout" in caplog.text


def test_refusals_are_rationed_in_the_log_and_tell_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A flood of forged deliveries is ten lines a minute."""
    hands = Hands(wall=time.time())
    site = Site(clock=hands.clock)
    body = event(license_id="lic_canary")
    for _ in range(40):
        code = signature(new_secret(), "evt_canary", 1, body)
        answer = site.deliver(body, event_id="evt_canary", webhook_signature=code)
        assert answer.status == 401
        assert not {"canary", code} & set(answer.body.decode().split('"'))
    refusals = [one for one in caplog.messages if "reason=signature" in one]
    assert refusals == ["pushed event refused: code=webhook_invalid reason=signature"] * 10
    assert site.deliver(body, event_id="a b").status == 401, "another kind has lines of its own"
    assert "reason=webhook_id" in caplog.messages[-1]
    hands.advance(60)
    site.deliver(body, event_id="evt_canary", webhook_signature=code)
    assert caplog.messages[-1].endswith("reason=signature suppressed=30")
    for told in ("canary", code[3:], site.secret[6:], "lic_"):
        assert told not in caplog.text


def test_each_refusal_is_a_problem_document() -> None:
    """Status, type and code agree; caches keep none (RFC 9457)."""
    for kind, answer in reception._ANSWERS.items():
        assert json.loads(answer.body) == {
            "type": "urn:licet:problem:" + kind.code.replace("_", "-"),
            "title": kind.title,
            "status": kind.status,
            "detail": kind.detail,
            "code": kind.code,
        }
        more = () if kind.header is None else (kind.header,)
        assert answer.headers == (
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Length", str(len(answer.body))),
            *more,
        )
        assert answer == reception._answer(kind)
    assert {one.status for one in reception._ANSWERS} == {400, 401, 405, 413, 415, 503}
