"""What was answered, and for how long: in time, in outages, and at one domain or at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest

from licet.core import flow
from licet.core.caching import InGrace
from licet.core.documents.schedule import Instant
from licet.core.entitlements import Entitlements, Status
from licet.core.errors import LicenseExpired, LicenseUnavailable
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.online.memory import Case
from licet.core.online.presented import Presented
from licet.core.online.question import Denied, Question
from licet.core.online.question import LicenseServer as Asked
from licet.core.online.slots import PROCESS_SLOTS
from licet.core.revocation.statements import Subject, Withdrawal
from licet.core.transport import Request, Response
from tests.core.hands import Hands
from tests.core.license_server import CREDENTIALS, LicenseServer, asked
from tests.core.loopback import reply, until
from tests.core.worlds import (
    WORLDS,
    ask,
    at_once,
    at_rest,
    gate_of,
    judge,
    request,
    told,
    validator_of,
    verdict,
)
from tests.licenses import AUDIENCE, ISSUER_NAME, license_token

HOUR = 3600.0


@pytest.fixture
def gate(server: LicenseServer, hands: Hands) -> Gate:
    return gate_of(server, hands)


def away(server: LicenseServer) -> None:
    """Let the server answer nothing that decides, without a hint to ask again."""
    server.trouble = lambda request: reply(400)


def heard(gate: Gate, name: str) -> list[dict[str, Any]]:
    """Return a list into which the data of each event of this name goes from now on."""
    data: list[dict[str, Any]] = []

    def note(event: Event) -> None:
        if event.name == name:
            data.append(dict(event.data))

    gate.events.subscribe(note)
    return data


# -- how long a yes lasts --------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_an_answer_serves_for_as_long_as_it_says(
    server: LicenseServer, hands: Hands, gate: Gate, world: str
) -> None:
    """Nobody is asked before four fifths of `cache_for`; past all of it the request itself asks."""
    key = server.add()
    for seconds, questions in [(0, 1), (0.79 * HOUR, 1), (HOUR, 2), (0, 2)]:
        hands.advance(seconds)
        assert list(map(told, at_once(world, [judge(gate, key)]))) == ["yes"]
        at_rest(gate)
        assert len(server.questions) == questions


@pytest.mark.parametrize("answers", [True, False], ids=["answers", "is away"])
def test_a_license_in_grace_serves(
    server: LicenseServer, hands: Hands, gate: Gate, answers: bool
) -> None:
    """The grace that was signed counts for a key as for a token, and lasts no longer."""
    now = int(hands.wall)
    key = server.add(iat=now, exp=now + 7200, grace=600)
    for seconds, status in ((0, Status.ACTIVE), (7000, Status.ACTIVE), (230, Status.GRACE)):
        hands.advance(seconds)
        for _ in range(2):
            found = ask(gate, key)
            assert isinstance(found, Entitlements)
            assert found.status is status
        at_rest(gate)
        if not answers and seconds:
            away(server)
    assert found.source == InGrace("authorization", now + 7800)
    hands.advance(600)
    assert isinstance(ask(gate, key), LicenseExpired if answers else LicenseUnavailable)


def test_an_answer_is_renewed_behind_the_requests(
    server: LicenseServer, hands: Hands, gate: Gate
) -> None:
    """From four fifths on: who comes is served at once, and one question is asked behind."""
    key = server.add()
    assert verdict(gate, key) == "yes"
    hands.advance(0.8 * HOUR)
    for _ in range(20):
        assert verdict(gate, key) == "yes"
    at_rest(gate)
    assert len(server.questions) == 2
    hands.advance(0.79 * HOUR)
    assert verdict(gate, key) == "yes"
    at_rest(gate)
    assert len(server.questions) == 2, "the life of the new answer began anew"


@pytest.mark.parametrize(
    ("cache_for", "outage_limit", "lasts"), [(0, HOUR, 1), (10 * HOUR, HOUR, HOUR), (60, 0, 1)]
)
def test_no_answer_is_fresh_for_longer_than_an_outage_may_last(
    server: LicenseServer, hands: Hands, cache_for: float, outage_limit: float, lasts: float
) -> None:
    """`cache_for` is cut to `outage_limit`, and is never less than one second."""
    gate, key = gate_of(server, hands, outage_limit=outage_limit), server.add()
    server.cache_for = cache_for
    assert verdict(gate, key) == "yes"
    hands.advance(lasts * 0.75)
    assert verdict(gate, key) == "yes"
    at_rest(gate)
    assert len(server.questions) == 1
    hands.advance(lasts * 0.25)
    assert verdict(gate, key) == "yes"
    assert len(server.questions) == 2


@pytest.mark.parametrize("world", WORLDS)
def test_in_an_outage_the_last_signed_yes_serves(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """Until `outage_limit` after it was said, to the second; then 503."""
    gate, key = gate_of(server, hands, outage_limit=2 * HOUR), server.add()
    assert verdict(gate, key) == "yes"
    away(server)
    for seconds in (HOUR, 30, HOUR - 31):
        hands.advance(seconds)
        assert list(map(told, at_once(world, [judge(gate, key)]))) == ["yes"]
        at_rest(gate)
    hands.advance(1)
    [refusal] = at_once(world, [judge(gate, key)])
    assert isinstance(refusal, LicenseUnavailable)
    assert refusal.retry_after is not None
    assert refusal.retry_after >= 1


def test_no_outage_outlives_the_license(server: LicenseServer, hands: Hands, gate: Gate) -> None:
    """An hour left and the leeway, and not a second more, whatever the answer said."""
    key = server.add(exp=int(hands.wall) + 3600)
    assert verdict(gate, key) == "yes"
    away(server)
    hands.advance(HOUR + 29)
    assert verdict(gate, key) == "yes"
    hands.advance(1)
    assert verdict(gate, key).startswith("online:")


@pytest.mark.parametrize("domains", [(), ("customer.example",)])
def test_sleep_counts(hands: Hands, domains: tuple[str, ...]) -> None:
    """A machine that was suspended finds its answers aged by that time, remembered grants too."""
    with LicenseServer(hands=hands, license_domains=domains) as server:
        gate, key = gate_of(server, hands, outage_limit=2 * HOUR), server.add()
        assert verdict(gate, key) == "yes"
        hands.suspend(HOUR)
        assert verdict(gate, key) == "yes"
        assert len(server.questions) == 2
        away(server)
        hands.suspend(2 * HOUR)
        assert verdict(gate, key).startswith("online:")


@pytest.mark.parametrize("domains", [(), ("customer.example",)])
def test_a_wall_clock_that_is_set_back_ends_what_was_answered(
    hands: Hands, domains: tuple[str, ...]
) -> None:
    """By more than a minute: how old an answer is cannot be told then; a little does no harm."""
    with LicenseServer(hands=hands, license_domains=domains) as server:
        gate, key = gate_of(server, hands), server.add()
        assert verdict(gate, key) == "yes"
        hands.wall -= 30
        assert verdict(gate, key) == "yes"
        assert len(server.questions) == 1
        away(server)
        hands.wall -= 2 * HOUR
        assert verdict(gate, key).startswith("online:")


def test_an_unsigned_yes_is_nothing_to_fall_back_on(server: LicenseServer, hands: Hands) -> None:
    """It serves for as long as it says, and not a second into an outage."""
    gate, key = gate_of(server, hands, validation_unsigned=True), server.add()
    server.trouble = lambda request: reply(
        200,
        json.dumps(
            {
                "valid": True,
                "license": server.license(asked(request)["licenseKey"]),
                "cache_for": 600,
                "nonce": asked(request)["nonce"],
            }
        ).encode(),
    )
    assert verdict(gate, key) == "yes"
    hands.advance(599)
    assert verdict(gate, key) == "yes"
    at_rest(gate)
    away(server)
    hands.advance(600)
    assert verdict(gate, key).startswith("online:")


# -- how long a no and a silence last --------------------------------------------------------------


@pytest.mark.row("I05")
@pytest.mark.parametrize("world", WORLDS)
def test_a_failure_is_remembered_for_half_a_minute(
    server: LicenseServer, hands: Hands, gate: Gate, world: str
) -> None:
    """For that time nobody asks for this key, and others are asked about."""
    key, other = server.add(), server.add()
    away(server)
    assert verdict(gate, key) == "online:status_400"
    server.trouble = None
    hands.advance(29)
    [refusal] = at_once(world, [judge(gate, key)])
    assert isinstance(refusal, LicenseUnavailable)
    assert refusal.retry_after == 1
    assert verdict(gate, other) == "yes"
    assert len(server.questions) == 2
    hands.advance(1)
    assert verdict(gate, key) == "yes"


@pytest.mark.parametrize("word", ["unknown", "expired", "over_limit", "whatever"])
@pytest.mark.parametrize("world", WORLDS)
def test_a_no_is_remembered_for_a_minute(
    server: LicenseServer, hands: Hands, gate: Gate, world: str, word: str
) -> None:
    """At every domain; then it is asked again, and what is a yes by then is one."""
    key = server.add()
    server.error(key, word)
    assert verdict(gate, key) == f"online:{word}"
    server.error(key, None)
    hands.advance(59)
    for host in ("customer.example", "elsewhere.example"):
        assert list(map(told, at_once(world, [judge(gate, key, host)]))) == [f"online:{word}"]
    assert len(server.questions) == 1
    hands.advance(1)
    assert verdict(gate, key) == "yes"


def test_a_no_ends_what_was_a_yes(server: LicenseServer, hands: Hands, gate: Gate) -> None:
    """Also where nobody answers afterwards."""
    key = server.add()
    assert verdict(gate, key) == "yes"
    server.error(key, "expired")
    hands.advance(HOUR)
    assert verdict(gate, key) == "online:expired"
    away(server)
    hands.advance(61)
    assert verdict(gate, key) == "online:status_400"


def test_a_wrong_domain_is_a_no_for_that_domain(
    server: LicenseServer, hands: Hands, gate: Gate
) -> None:
    """And for no other; and it is told once for each time that it is asked about."""
    key, events = server.add(), heard(gate, "license.suspicious_activity")
    assert verdict(gate, key) == "yes"
    server.error(key, "domain_mismatch")
    for _ in range(5):
        assert verdict(gate, key, "elsewhere.example") == "online:domain_mismatch"
    assert verdict(gate, key) == "yes"
    assert len(server.questions) == 2
    assert [one["requested_domain"] for one in events] == ["elsewhere.example"]


def test_nobody_is_asked_behind_requests_while_nobody_answers(
    server: LicenseServer, hands: Hands, gate: Gate
) -> None:
    """What is old, and still good, serves; the server is left alone until its pause is over."""
    key = server.add()
    assert verdict(gate, key) == "yes"
    hands.advance(0.9 * HOUR)
    server.trouble = lambda request: reply(501)
    for _ in range(5):
        verdict(gate, server.add())
    questions = len(server.questions)
    assert verdict(gate, key) == "yes"
    at_rest(gate)
    assert len(server.questions) == questions
    server.trouble = None
    hands.advance(61)
    assert verdict(gate, key) == "yes"
    at_rest(gate)
    assert len(server.questions) == questions + 1


def test_what_a_request_asks_is_not_asked_behind_it(
    server: LicenseServer, hands: Hands, gate: Gate
) -> None:
    """Who asks in the background leaves the question to whoever asks it already."""
    key, validator = server.add(), validator_of(gate)
    place = Presented(key.encode(), sha256(key.encode()).digest(), AUDIENCE, "customer.example")
    case = Case(place.digest, place.domain)
    turn, mine = validator._turns.take(case, hands.monotonic + 20)
    assert mine
    heard: list[object] = []
    validator.ask_behind(place, heard.append)
    until(lambda: not validator._background._running and not validator._background.waiting)
    assert server.questions == heard == []
    validator._turns.end(case, turn)
    validator.ask_behind(place, heard.append)
    at_rest(gate)
    assert (len(server.questions), heard) == (1, [None])


@dataclass(frozen=True)
class Withdrawing:
    """A dialect whose server says that a license is withdrawn, and which."""

    asks_domain = False

    def request(self, question: Question, server: Asked) -> Request:
        return Request("POST", server.url, {}, b"{}")

    def read(self, question: Question, response: Response, server: Asked) -> Denied:
        return Denied("revoked", signed=True, license_id="lic_9")


def test_a_revocation_may_name_its_license(server: LicenseServer, hands: Hands) -> None:
    """A key's, of which nothing was known, holds for the tokens of the license it names."""
    server.trouble = lambda request: reply(200, b"{}")
    gate = gate_of(server, hands, validation_protocol=Withdrawing())
    now = int(hands.wall)
    nine, ten = (license_token(sub=sub, iat=now, exp=now + 3600) for sub in ("lic_9", "lic_10"))
    revoked = heard(gate, "license.revoked")
    assert verdict(gate, nine) == verdict(gate, ten) == "yes"
    assert verdict(gate, server.add()) == "online:revoked"
    assert verdict(gate, nine) == "online:revoked"
    assert verdict(gate, ten) == "yes"
    at_rest(gate)
    assert {one["license_id"] for one in revoked} == {"lic_9"}


def test_a_revocation_that_comes_while_an_answer_is_waited_for_counts(
    server: LicenseServer, hands: Hands, gate: Gate
) -> None:
    """Whoever waited in vain is not served by the yes of before."""
    key, validator = server.add(), validator_of(gate)
    assert verdict(gate, key) == "yes"
    hands.advance(HOUR)
    subject = Subject("credential", ISSUER_NAME, sha256(key.encode()).hexdigest())

    def revoked_meanwhile(request: Any) -> bytes:
        flow.run(validator._withdrawals.record(Withdrawal("revoked", hands.wall), subject))
        return reply(400)

    server.trouble = revoked_meanwhile
    assert verdict(gate, key) == "online:revoked"
    at_rest(gate)


# -- domains ---------------------------------------------------------------------------------------


def test_the_ninth_domain_waits_for_a_minute(
    server: LicenseServer, hands: Hands, gate: Gate
) -> None:
    """It is told, then takes the place of the domain of least use; the others are served on."""
    key, events = server.add(), heard(gate, "license.suspicious_activity")
    hosts = [f"h{number}.example" for number in range(9)]
    for host in hosts[:8]:
        assert verdict(gate, key, host) == "yes"
    assert verdict(gate, key, hosts[0]) == "yes", "the second is the least used now"
    for seconds in (0, 59.5):
        hands.advance(seconds)
        assert verdict(gate, key, hosts[8]) == "online:too_many_domains"
        assert verdict(gate, key, hosts[0]) == "yes"
    assert [(one["kind"], one["requested_domain"]) for one in events] == [
        ("domain_mismatch", hosts[8])
    ]
    assert len(server.questions) == 8
    hands.advance(0.5)
    assert verdict(gate, key, hosts[8]) == "yes"
    for host in (hosts[0], *hosts[2:]):
        assert verdict(gate, key, host) == "yes"
    assert len(server.questions) == 9
    assert verdict(gate, key, hosts[1]) == "online:too_many_domains"


@pytest.mark.parametrize("world", WORLDS)
def test_a_crowd_at_the_ninth_domain_is_let_in_together(
    server: LicenseServer, hands: Hands, gate: Gate, world: str
) -> None:
    """Whose time is over: one asks, the others wait for that, and no other domain comes along."""
    key = server.add()
    for number in range(8):
        assert verdict(gate, key, f"h{number}.example") == "yes"
    assert verdict(gate, key, "ninth.example") == "online:too_many_domains"
    hands.advance(60)
    flows = [judge(gate, key, "ninth.example") for _ in range(20)]
    flows += [judge(gate, key, f"x{number}.example") for number in range(20)]
    words = list(map(told, at_once(world, flows)))
    assert words.count("yes") in (1, 20)
    assert len(server.questions) == 9


def test_a_peek_takes_nobodys_place(server: LicenseServer, hands: Hands, gate: Gate) -> None:
    """Exempt requests at the ninth domain do not keep it waiting for another minute."""
    key = server.add()
    for number in range(8):
        assert verdict(gate, key, f"h{number}.example") == "yes"
    assert verdict(gate, key, "ninth.example") == "online:too_many_domains"
    hands.advance(60)
    for _ in range(3):
        assert not gate.peek(request(key, "ninth.example"))
    assert verdict(gate, key, "ninth.example") == "yes"


@pytest.mark.parametrize("world", WORLDS)
def test_a_license_that_names_its_domains_is_asked_about_once(hands: Hands, world: str) -> None:
    """They are compared here, with each request, and the gate remembers the grant."""
    with LicenseServer(hands=hands, license_domains=("customer.example",)) as server:
        gate, key = gate_of(server, hands), server.add()
        for host, word in [
            ("customer.example", "yes"),
            ("elsewhere.example", "domains:elsewhere.example"),
        ]:
            for _ in range(20):
                assert list(map(told, at_once(world, [judge(gate, key, host)]))) == [word]
        assert len(server.questions) == 1
        stats = gate.grant_stats()
        assert (stats.hits, stats.misses) == (39, 1)


def test_a_request_that_tells_no_domain_is_at_a_place_of_its_own(
    server: LicenseServer, hands: Hands
) -> None:
    """The question names an empty domain, and its answer counts for no other."""
    gate, key = gate_of(server, hands, domain_from="origin"), server.add()
    for _ in range(2):
        assert verdict(gate, key) == "yes"
    assert [asked(one).get("domain") for one in server.questions] == [""]
    case = Case(sha256(key.encode()).digest(), "customer.example")
    assert validator_of(gate)._memory.yes(case, Instant(hands.monotonic, hands.wall)) is None


# -- peeks -----------------------------------------------------------------------------------------


def test_a_peek_asks_nobody_and_leaves_nothing_behind(
    server: LicenseServer, hands: Hands, gate: Gate
) -> None:
    """Neither turn, slot, probe nor mark: the next request asks as if nobody had peeked."""
    key = server.add()
    for _ in range(40):
        assert not gate.peek(request(key))
    at_rest(gate)
    assert server.questions == []
    assert verdict(gate, key) == "yes"
    assert gate.peek(request(key))
    assert PROCESS_SLOTS.in_use == 0


@pytest.mark.usefixtures("hurried")
def test_a_peek_is_no_probe(server: LicenseServer, hands: Hands, gate: Gate) -> None:
    """After the pause of an open circuit a peek leaves the one question to a request."""
    server.trouble = lambda request: reply(500)
    for _ in range(5):
        verdict(gate, server.add())
    server.trouble = None
    hands.advance(31)
    key = server.add()
    assert not gate.peek(request(key))
    at_rest(gate)
    assert verdict(gate, key) == "yes"


# -- what is granted -------------------------------------------------------------------------------


def test_what_is_asked_about_carries_no_secret_into_the_open(
    server: LicenseServer, hands: Hands, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither key nor this application's own, in events, logs, errors and representations."""
    caplog.set_level("DEBUG")
    events: list[Event] = []
    gate.events.subscribe(events.append)
    shown: list[str] = []
    for word in (None, "revoked", "unknown", "domain_mismatch", "whatever"):
        key = server.add()
        server.error(key, word)
        outcome = ask(gate, key)
        shown += [repr(outcome), str(outcome)]
        if not isinstance(outcome, Entitlements):
            shown.append(repr(outcome.__dict__))
    away(server)
    outcome = ask(gate, server.add())
    shown += [repr(outcome), repr(events), repr(validator_of(gate)), caplog.text]
    for credential in [CREDENTIALS, *(asked(one)["licenseKey"] for one in server.questions)]:
        assert not any(credential in text for text in shown)
    until(lambda: not PROCESS_SLOTS.in_use)
