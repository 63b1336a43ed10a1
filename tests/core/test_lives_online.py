"""Lives of licenses that their server judges: what its word for the end is worth, and what not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from licet.core import flow
from licet.core.entitlements import Entitlements, Status
from licet.core.errors import (
    ConstraintViolated,
    InstallationUnlicensed,
    LicenseError,
    LicenseExpired,
    LicenseRevoked,
    LicenseUnavailable,
    PossessionRequired,
)
from licet.core.gate import Gate
from licet.core.installation.sightings import Sighted
from tests.core.hands import Hands
from tests.core.license_server import GONE, LicenseServer, says
from tests.core.loopback import Request, reply
from tests.core.presented import Presented
from tests.core.worlds import ask, at_rest, gate_of
from tests.licenses import FORGER

HOUR, DAY = 3_600, 86_400
LEEWAY = 30
FREE: dict[str, Any] = {"plan": "free", "features": ["export"], "limits": {"seats": 1}}


def ended(server: LicenseServer, hands: Hands, **claims: Any) -> str:
    """Return a key whose license has ended a minute ago, as its server says."""
    now = int(hands.wall)
    key = server.add(**{"iat": now - HOUR, "exp": now - 60, "customer": "Acme", **claims})
    server.error(key, "expired")
    return key


def served(outcome: Entitlements | LicenseError) -> Status:
    """Return the status of a request that was let in."""
    assert isinstance(outcome, Entitlements), outcome
    return outcome.status


def otherwise(server: LicenseServer, **changes: Any) -> None:
    """Have the server answer as it would, but for these members."""
    options = {name: changes.pop(name) for name in ("signer", "header") if name in changes}

    def answer(request: Request) -> bytes:
        return says(server.answer_for(request.body, **options, **changes))

    server.trouble = answer


def test_something_is_left_of_a_key_whose_license_has_ended(
    server: LicenseServer, hands: Hands
) -> None:
    """J07: in each process that asks, also in one that never knew it before its end."""
    key = ended(server, hands)
    for gate in (gate_of(server, hands, downgrade_to=FREE) for _ in range(2)):
        for _ in range(3):
            left = ask(gate, key)
            assert isinstance(left, Entitlements)
            assert (left.status, left.plan, left.features) == (
                Status.DOWNGRADED,
                "free",
                {"export"},
            )
            assert (left.license_id, left.customer, left.verified_by) == (
                "sold_1",
                "Acme",
                "online",
            )
            assert left.expires_at is not None
            assert left.expires_at.timestamp() == hands.wall - 60
    assert len(server.questions) == 2
    assert isinstance(ask(gate_of(server, hands), key), LicenseExpired)


def test_a_renewal_is_seen_within_a_minute(server: LicenseServer, hands: Hands) -> None:
    """What is left of a license is asked about again as often as a no is."""
    gate, key = gate_of(server, hands, downgrade_to=FREE), ended(server, hands)
    assert served(ask(gate, key)) is Status.DOWNGRADED
    server.error(key, None)
    server._licenses[key]["exp"] = int(hands.wall) + DAY
    hands.advance(61)
    assert served(ask(gate, key)) is Status.ACTIVE


BELIEVED: dict[str, dict[str, Any]] = {
    "forged": {"signer": FORGER},
    "another nonce": {"nonce": "of-another-question-abcdefghijklmnopqrstuvw"},
    "another key": {"req": "A" * 43},
    "another audience": {"aud": "another-product"},
    "two licenses": {"sub": "sold_2"},
}


@pytest.mark.row("J07")
@pytest.mark.parametrize("name", BELIEVED)
def test_an_end_is_believed_as_any_answer_is(
    server: LicenseServer, hands: Hands, name: str
) -> None:
    """J07: what is no answer to this question leaves it undecided, whatever stands in it."""
    gate, key = gate_of(server, hands, downgrade_to=FREE), ended(server, hands)
    otherwise(server, **BELIEVED[name])
    assert isinstance(ask(gate, key), LicenseUnavailable)


def test_what_nobody_signed_leaves_nothing(server: LicenseServer, hands: Hands) -> None:
    """A plain answer that is believed says that the license has ended, and no more counts."""
    gate = gate_of(server, hands, downgrade_to=FREE, validation_unsigned=True)
    key = ended(server, hands)
    body = b'{"valid": false, "error": "expired", "license": {"sub": "sold_1"}, "sub": "sold_1"}'
    server.trouble = lambda _: reply(200, body, "application/json")
    assert isinstance(ask(gate, key), LicenseExpired)


def test_a_server_need_not_say_what_a_license_was(server: LicenseServer, hands: Hands) -> None:
    """Without its conditions nothing can be left of it: it has expired, as the word says."""
    gate = gate_of(server, hands, downgrade_to=FREE)
    for license_ in (GONE, {}, {"sub": "sold_1"}):
        key = ended(server, hands)
        otherwise(server, license=license_)
        assert isinstance(ask(gate, key), LicenseExpired)


WRONG: dict[str, tuple[dict[str, Any], type[LicenseError]]] = {
    "another product's": ({"aud": "another-product"}, LicenseExpired),
    "another issuer's": ({"iss": "https://other.example"}, LicenseExpired),
    "malformed": ({"domains": []}, LicenseExpired),
    "of a term before its time": ({"exp": 2_000_000_000}, LicenseExpired),
    "another domain": ({"domains": ["elsewhere.example"]}, ConstraintViolated),
    "another address": ({"ip_ranges": ["10.0.0.0/8"]}, ConstraintViolated),
    "bound": ({"cnf": {"jkt": "A" * 43}}, PossessionRequired),
}


@pytest.mark.row("J07")
@pytest.mark.parametrize("name", WRONG)
def test_what_else_is_wrong_stays_wrong(server: LicenseServer, hands: Hands, name: str) -> None:
    """J07: issuer, audience, constraints and possession count for what is left of a key."""
    claims, error = WRONG[name]
    gate = gate_of(server, hands, downgrade_to=FREE, external_url="https://customer.example")
    key = ended(server, hands, **claims)
    for _ in range(2):
        assert type(ask(gate, key)) is error


@pytest.mark.row("J07")
@pytest.mark.parametrize("word", ["revoked", "suspended"])
def test_an_end_takes_back_no_withdrawal(server: LicenseServer, hands: Hands, word: str) -> None:
    """J07: what was withdrawn stays withdrawn though its server says later that it has ended."""
    gate, key = gate_of(server, hands, downgrade_to=FREE), ended(server, hands)
    assert served(ask(gate, key)) is Status.DOWNGRADED
    server.error(key, word)
    hands.advance(61)
    assert isinstance(ask(gate, key), LicenseRevoked)
    server.error(key, "expired")
    for _ in range(3):
        hands.advance(61)
        assert isinstance(ask(gate, key), LicenseRevoked)
        at_rest(gate)


@pytest.mark.parametrize("answers", [True, False], ids=["answers", "is away"])
def test_a_key_goes_through_its_life(server: LicenseServer, hands: Hands, answers: bool) -> None:
    """Active, in grace, downgraded: exactly, whether or not the server is there to say so.

    Between `exp` and the end of the leeway its word ends the license, and nothing flickers.
    """
    now = int(hands.wall)
    gate = gate_of(server, hands, downgrade_to=FREE)
    key = server.add(iat=now, exp=now + 7_200, grace=600)
    server.cache_for = 60
    for at, status, word in (
        (0, Status.ACTIVE, None),
        (7_199, Status.ACTIVE, None),
        (7_200 + LEEWAY, Status.GRACE, None),
        (7_799, Status.GRACE, None),
        (7_800, Status.DOWNGRADED, "expired"),
        (7_801, Status.DOWNGRADED, "expired"),
        (9_000, Status.DOWNGRADED, "expired"),
    ):
        hands.advance(now + at - hands.wall)
        server.error(key, word)
        if not answers and at:
            server.trouble = lambda _: reply(400)
        for _ in range(2):
            assert served(ask(gate, key)) is status, at
        at_rest(gate)
    if not answers:
        hands.advance(80 * HOUR)
        assert isinstance(ask(gate, key), LicenseUnavailable), "no longer than any outage"


def test_the_leeway_holds_nothing_against_the_servers_word(
    server: LicenseServer, hands: Hands
) -> None:
    """A license without grace, whose server says at `exp` that it has ended, is downgraded then."""
    now = int(hands.wall)
    gate = gate_of(server, hands, downgrade_to=FREE)
    for ago in (0, 1, LEEWAY - 1, -1):
        key = server.add(iat=now - HOUR, exp=now - ago)
        server.error(key, "expired")
        assert served(ask(gate, key)) is Status.DOWNGRADED


@pytest.mark.parametrize("said", [True, False])
def test_grace_is_what_the_license_says(server: LicenseServer, hands: Hands, said: bool) -> None:
    """`grace` in an answer is for people: the claims decide, and a yes past them is none."""
    gate, now = gate_of(server, hands), int(hands.wall)
    otherwise(server, grace=said)
    with_grace = server.add(iat=now - HOUR, exp=now - 60, grace=600)
    assert served(ask(gate, with_grace)) is Status.GRACE
    without = server.add(iat=now - HOUR, exp=now - 60)
    assert isinstance(ask(gate, without), LicenseExpired)
    active = server.add(iat=now - HOUR, exp=now + 60)
    assert served(ask(gate, active)) is Status.ACTIVE


# -- an installation with a key --------------------------------------------------------------------


def held(gate: Gate) -> Status:
    """Return where the installation's license stands for a request."""
    return flow.run(gate.decide(Presented())).status


@pytest.mark.row("J06")
@pytest.mark.parametrize("domains", [None, ["customer.example"]], ids=["anywhere", "somewhere"])
def test_the_grace_of_a_key_is_earned_before_its_end(
    server: LicenseServer, hands: Hands, tmp_path: Path, domains: Any
) -> None:
    """J06: each process knows by the state whether the license was seen in time, and no other."""
    now = int(hands.wall)
    key = server.add(iat=now, exp=now + 7_200, grace=600, domains=domains)

    def process(state: str) -> Gate:
        return gate_of(server, hands, license=key, license_state=str(tmp_path / state))

    request = Presented(lines={"host": ["customer.example"]})
    assert flow.run(process("seen").decide(request)).status is Status.ACTIVE
    hands.advance(7_200 + LEEWAY)
    for _ in range(2):
        assert flow.run(process("seen").decide(request)).status is Status.GRACE
        with pytest.raises(InstallationUnlicensed):
            flow.run(process("late").decide(request))


def test_the_grace_period_is_the_installations(server: LicenseServer, hands: Hands) -> None:
    """Its server knows of none and says that the license has ended: `grace_period` counts."""
    key = ended(server, hands)
    assert held(gate_of(server, hands, license=key, grace_period=600)) is Status.GRACE
    for period in (0, 59):
        with pytest.raises(InstallationUnlicensed) as caught:
            held(gate_of(server, hands, license=key, grace_period=period))
        assert caught.value.members["error"] == "expired"
    gate = gate_of(server, hands, license=key, grace_period=600, downgrade_to=FREE)
    assert held(gate) is Status.GRACE
    hands.advance(540)
    assert held(gate) is Status.DOWNGRADED


@pytest.mark.parametrize("word", [None, "expired"], ids=["in its grace", "in the installation's"])
def test_a_state_that_says_nothing_leaves_it_undecided(
    server: LicenseServer,
    hands: Hands,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    word: str | None,
) -> None:
    """503, and nothing is kept of it: the next request may know."""

    def fail(*arguments: object) -> Any:
        raise LicenseUnavailable("state:unreachable:x")
        yield

    now = int(hands.wall)
    key = server.add(iat=now, exp=now + 7_200, grace=600)
    options = {"license": key, "license_state": str(tmp_path / "state"), "grace_period": 600}
    assert held(gate_of(server, hands, **options)) is Status.ACTIVE
    hands.advance(7_200 + LEEWAY)
    server.error(key, word)
    gate = gate_of(server, hands, **options)
    with monkeypatch.context() as patch:
        patch.setattr(Sighted, "recall", fail)
        with pytest.raises(LicenseUnavailable):
            held(gate)
    assert held(gate) is Status.GRACE
