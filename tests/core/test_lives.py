"""Lives of licenses at the gate: active, in grace, downgraded, ended; and what ends them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from licet import requires_feature
from licet.core import flow
from licet.core.caching import InGrace, licensed_headers
from licet.core.entitlements import Entitlements, Status
from licet.core.entitlements.context import bind
from licet.core.errors import (
    ConstraintViolated,
    FeatureNotLicensed,
    InstallationUnlicensed,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseNotActive,
    LicenseRevoked,
    LicenseUnavailable,
    PossessionInvalid,
    PossessionRequired,
)
from licet.core.flow import Flow
from licet.core.gate import Gate
from licet.core.installation.state import State
from licet.core.revocation.statements import Subject, Withdrawal
from licet.core.settings import Settings
from licet.core.stores import Key, StoreUnavailable, key
from licet.core.stores.effects import Decision
from licet.possession import ProofKey
from tests.core.hands import Hands
from tests.core.installed import Renewer, Worker
from tests.core.loopback import reply, until
from tests.core.presented import Presented
from tests.core.test_gate import NOW
from tests.core.withdrawing import Withdrawing, verdict
from tests.licenses import FORGER, ISSUER_NAME, OPTIONS, license_token

HOUR, DAY = 3_600, 86_400
LEEWAY = 30
FREE: dict[str, Any] = {"plan": "free", "features": ["export"], "limits": {"seats": 1}}


def token(**changes: Any) -> str:
    """Return a license from now on for an hour, good but for `changes`."""
    return license_token(**{"iat": NOW, "exp": NOW + HOUR, **changes})


class Deployed:
    """One process, and requests to it that bring a license or need none."""

    def __init__(self, hands: Hands, credential: str, *, installed: bool, **options: Any) -> None:
        if installed:
            options["license"] = credential
        self.gate = Gate(Settings(**{**OPTIONS, **options}), clock=hands.clock)
        lines = {"host": ["b.example"]}
        if not installed:
            lines["authorization"] = [f"Bearer {credential}"]
        self._facts = Presented(lines=lines)

    def ask(self) -> Entitlements:
        """Return the entitlements of a request."""
        return flow.run(self.gate.decide(self._facts))

    def status_of(self, credential: str) -> Status:
        """Return where a license stands that a request brings."""
        self._facts.lines = {"authorization": [f"Bearer {credential}"]}
        return self.status()

    def status(self) -> Status:
        """Return where the license stands for a new request."""
        try:
            return self.ask().status
        except LicenseExpired:
            return Status.UNLICENSED
        except InstallationUnlicensed as error:
            return Status.UNLICENSED if error.members["error"] == "expired" else Status.ACTIVE


@pytest.fixture
def hands() -> Hands:
    """A clock to move."""
    return Hands(wall=NOW)


# -- against a model -------------------------------------------------------------------------------


def grace_of(lifetime: int, signed: int | None, period: int, installed: bool, trial: bool) -> int:
    """Return the grace of a license by the words of the specification."""
    if trial:
        return 0
    if signed is None:
        signed = period if installed else 0
    return min(signed, lifetime, 90 * DAY)


@given(
    lifetime=st.sampled_from([1, 60, HOUR, 30 * DAY, 300 * DAY]),
    signed=st.sampled_from([None, 0, 1, 40, HOUR, 30 * DAY, 90 * DAY]),
    period=st.sampled_from([0, 60, 7 * DAY, 90 * DAY]),
    leeway=st.sampled_from([0, 30]),
    installed=st.booleans(),
    trial=st.booleans(),
    downgrades=st.booleans(),
    moves=st.lists(
        st.one_of(
            st.sampled_from(["begin", "end", "grace"]),
            st.integers(-100 * DAY, 100 * DAY),
            st.floats(-100, 100),
        ),
        max_size=12,
    ),
)
@examples(max_examples=150, deadline=None)
def test_the_status_over_time_is_that_of_the_model(
    lifetime: int,
    signed: int | None,
    period: int,
    leeway: int,
    installed: bool,
    trial: bool,
    downgrades: bool,
    moves: list[float | str],
) -> None:
    """J08: new requests, from memory or not, and a connection that stays open, see what is true.

    Wherever the clock is set, and to the fraction of a second.
    """
    hands = Hands(wall=NOW)
    credential = token(
        exp=NOW + lifetime, grace=signed, **({"trial": True} if trial else {}), sub="lic_model"
    )
    options = {"leeway": leeway, "downgrade_to": FREE if downgrades else None}
    deployed = Deployed(hands, credential, installed=installed, grace_period=period, **options)
    end = NOW + lifetime
    grace = grace_of(lifetime, signed, period, installed, trial)

    def expected(now: float) -> Status:
        if now < end + leeway:
            return Status.TRIAL if trial else Status.ACTIVE
        if now < end + grace:
            return Status.GRACE
        return Status.DOWNGRADED if downgrades else Status.UNLICENSED

    held = deployed.ask()
    assert held.status is expected(NOW)
    for move in moves:
        if isinstance(move, str):
            place = {"begin": NOW, "end": end + leeway, "grace": end + grace}[move]
            marks = [place, place - 1, place + 1, place - 0.001]
        else:
            marks = [hands.wall + move]
        for mark in marks:
            hands.wall = max(NOW, mark)
            status = expected(hands.wall)
            assert held.status is status
            assert bool(held) is (status is not Status.UNLICENSED)
            assert held.allows("export") is (status is Status.DOWNGRADED)
            usual = status in (Status.ACTIVE, Status.TRIAL, Status.GRACE)
            assert held.allows("analytics") is usual
            assert held.holds("features", frozenset({"analytics"})) is usual
            assert deployed.status() is status
    until = held.grace_until
    if held.status is not Status.DOWNGRADED:
        assert (until.timestamp() if until else None) == (end + grace if grace else None)


# -- grace -----------------------------------------------------------------------------------------


@pytest.mark.row("J08")
def test_grace_is_exact(hands: Hands) -> None:
    """J08: it begins where the leeway ends and is over `grace` seconds after `exp`, no later."""
    deployed = Deployed(hands, token(grace=600), installed=False, leeway=LEEWAY)
    end = NOW + HOUR
    for at, status in (
        (end + LEEWAY - 0.001, Status.ACTIVE),
        (end + LEEWAY, Status.GRACE),
        (end + 599.999, Status.GRACE),
        (end + 600, Status.UNLICENSED),
        (end + 601, Status.UNLICENSED),
    ):
        hands.wall = at
        assert deployed.status() is status, at


def test_the_caller_of_a_license_in_grace_is_told_until_when(hands: Hands) -> None:
    """From where it came and until when is known to the adapter, on first sight and from memory."""
    deployed = Deployed(hands, token(grace=600), installed=False)
    assert deployed.ask().source == "authorization"
    hands.advance(HOUR + LEEWAY)
    for _ in range(2):
        source = deployed.ask().source
        assert source == InGrace("authorization", NOW + HOUR + 600)
        assert licensed_headers(source) == (
            ("Vary", "Authorization"),
            ("License-Status", "grace; until=2027-01-15T09:10:00Z"),
        )


def test_nobody_presented_the_license_of_an_installation(hands: Hands) -> None:
    """So nobody is told of its grace, which is its operator's affair."""
    deployed = Deployed(hands, token(), installed=True)
    hands.advance(HOUR + LEEWAY)
    assert deployed.ask().status is Status.GRACE
    assert deployed.ask().source == ""


@pytest.mark.row("J05")
def test_grace_is_not_armed_again(hands: Hands, tmp_path: Path) -> None:
    """J05: neither restarts nor failures in between move its end, and it does not count from now.

    The same license is judged by new processes throughout its grace.
    """
    end = NOW + HOUR
    options = {"license_state": str(tmp_path / "state"), "grace_period": 2 * DAY}
    ended = []
    for wait in (0, 30 * 60, 31 * 60, 29 * 60, 29 * 60, 60):
        hands.advance(wait)
        status = Deployed(hands, token(), installed=True, **options).status()
        ended.append((hands.wall - end, status))
    assert [status.name for _, status in ended] == ["ACTIVE"] * 2 + ["GRACE"] * 2 + [
        "GRACE",
        "UNLICENSED",
    ]


@pytest.mark.row("J06")
def test_grace_is_earned_before_the_end(hands: Hands, tmp_path: Path) -> None:
    """J06: a license that first comes to an installation when it has ended has no grace there.

    Nor has one whose state was deleted (J03); one that was seen before keeps it across restarts.
    """
    seen = {"license_state": str(tmp_path / "seen")}
    late = {"license_state": str(tmp_path / "late")}
    assert Deployed(hands, token(), installed=True, **seen).status() is Status.ACTIVE
    hands.advance(HOUR + LEEWAY)
    for _ in range(2):
        assert Deployed(hands, token(), installed=True, **seen).status() is Status.GRACE
        assert Deployed(hands, token(), installed=True, **late).status() is Status.UNLICENSED
    hands.advance(-LEEWAY - 1)
    assert Deployed(hands, token(), installed=True, **late).status() is Status.ACTIVE


@pytest.mark.row("J03")
def test_the_leeway_earns_nothing(hands: Hands, tmp_path: Path) -> None:
    """J03, J06: what is first seen between `exp` and the end of the leeway holds until then."""
    hands.advance(HOUR + 1)
    options = {"license_state": str(tmp_path / "state")}
    deployed = Deployed(hands, token(), installed=True, **options)
    held = deployed.ask()
    assert held.status is Status.ACTIVE
    hands.advance(LEEWAY)
    assert held.status is Status.UNLICENSED
    assert deployed.status() is Status.UNLICENSED


@pytest.mark.row("J04")
def test_what_was_seen_in_another_place_earns_nothing(hands: Hands, tmp_path: Path) -> None:
    """J04: a state that was copied earns no grace, until the license was seen to hold there too."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert Deployed(hands, token(), installed=True, license_state=str(first)).status()
    shutil.copytree(first, second)
    hands.advance(HOUR + LEEWAY)
    copied = {"license_state": str(second)}
    assert Deployed(hands, token(), installed=True, **copied).status() is Status.UNLICENSED
    hands.advance(-LEEWAY - 1)
    assert Deployed(hands, token(), installed=True, **copied).status() is Status.ACTIVE
    hands.advance(LEEWAY + 1)
    assert Deployed(hands, token(), installed=True, **copied).status() is Status.GRACE


def test_a_state_that_says_nothing_leaves_grace_undecided(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 and not 402, for the license may have earned it; before its end it serves."""

    def fail() -> Any:
        raise StoreUnavailable("unreachable:x")
        yield

    options = {"license_state": str(tmp_path / "state")}
    for method in ("own", "put"):
        with monkeypatch.context() as patch:
            patch.setattr(State, method, lambda *arguments: Decision(fail))
            assert Deployed(hands, token(), installed=True, **options).status() is Status.ACTIVE
    assert Deployed(hands, token(), installed=True, **options).status() is Status.ACTIVE
    hands.advance(HOUR + LEEWAY)
    deployed = Deployed(hands, token(), installed=True, **options)
    with monkeypatch.context() as patch:
        patch.setattr(State, "own", lambda *arguments: Decision(fail))
        with pytest.raises(LicenseUnavailable):
            deployed.ask()
    hands.advance(1)
    assert deployed.status() is Status.GRACE


@pytest.mark.parametrize("value", [b"", b"never", b"nan", b"inf", b"-inf"])
def test_what_is_no_moment_earns_nothing(hands: Hands, tmp_path: Path, value: bytes) -> None:
    """J06: a state that says something else says that the license was not seen."""
    options = {"license_state": str(tmp_path / "state")}
    deployed = Deployed(hands, token(), installed=True, **options)
    (state,) = deployed.gate.boards
    flow.run(_kept(state, key("seen", ISSUER_NAME, "lic_1"), value))
    hands.advance(HOUR + LEEWAY)
    assert deployed.status() is Status.UNLICENSED


def _kept(state: Any, name: Key, value: bytes) -> Flow[None]:
    yield state.put(name, value, DAY)


def wrong(credential: str, **options: Any) -> dict[str, Any]:
    """Return how to deploy a license that is wrong in one way."""
    return {"credential": credential, **options}


AFTER = HOUR + LEEWAY + 1
WRONG: dict[str, tuple[dict[str, Any], type[LicenseError]]] = {
    "forged": (wrong(license_token(FORGER, iat=NOW, exp=NOW + HOUR, grace=600)), LicenseInvalid),
    "misplaced": (wrong(token(grace=600, aud="other")), LicenseInvalid),
    "another domain": (wrong(token(grace=600, domains=["a.example"])), ConstraintViolated),
    "another address": (wrong(token(grace=600, ip_ranges=["10.0.0.0/8"])), ConstraintViolated),
    "bound": (wrong(token(grace=600, cnf={"jkt": "A" * 43})), PossessionRequired),
    "not begun": (
        wrong(token(grace=600, exp=NOW + 2 * HOUR, nbf=NOW + 2 * HOUR)),
        LicenseNotActive,
    ),
}


@pytest.mark.row("J07")
@pytest.mark.parametrize("downgrade_to", [None, FREE], ids=["refuses", "downgrades"])
@pytest.mark.parametrize("name", WRONG)
def test_what_else_is_wrong_stays_wrong(
    hands: Hands, name: str, downgrade_to: dict[str, Any] | None
) -> None:
    """J07: in grace and downgraded as before: signature, place, possession and beginning."""
    deploy, error = WRONG[name]
    deployed = Deployed(hands, **deploy, installed=False, downgrade_to=downgrade_to)
    moments = [NOW + 1] if name == "not begun" else [NOW + 1, NOW + AFTER]
    for at in (*moments, NOW + DAY) if downgrade_to and name != "not begun" else moments:
        hands.wall = at
        for _ in range(2):
            with pytest.raises(error):
                deployed.ask()


@pytest.mark.row("J07")
@pytest.mark.parametrize("word", ["revoked", "suspended"])
def test_grace_and_downgrade_cover_no_withdrawal(hands: Hands, word: Any) -> None:
    """J07: a license withdrawn in either stage is refused at once, also where it is held."""
    for at in (NOW + AFTER, NOW + DAY):
        hands.wall = NOW
        deployed = Deployed(
            hands, token(grace=600, sub="lic_w"), installed=False, downgrade_to=FREE
        )
        hands.wall = at
        held = deployed.ask()
        assert held.status in (Status.GRACE, Status.DOWNGRADED)
        subject = Subject("license", ISSUER_NAME, "lic_w")
        flow.run(deployed.gate.withdrawals.record(Withdrawal(word, at), subject))
        assert held.status is Status.UNLICENSED
        assert not held.allows("export")
        with pytest.raises(LicenseRevoked):
            held.require_license()
        with pytest.raises(LicenseRevoked):
            deployed.ask()


@pytest.mark.row("J05")
def test_tokens_of_one_license_arm_nothing_for_each_other(hands: Hands) -> None:
    """J05: whoever alternates between them has each until its own end, and neither beyond."""
    tokens = {
        HOUR + 600: token(grace=600),
        HOUR + 700: token(iat=NOW - 60, exp=NOW + HOUR + 100, grace=600, jti="later"),
        HOUR + 30: token(iat=NOW - DAY, grace=0),
        2 * HOUR: token(exp=NOW + HOUR, grace=HOUR),
    }
    gates = Deployed(hands, "", installed=False), Deployed(hands, "", installed=False)
    for after in (0, 1, HOUR, HOUR + 29, HOUR + 30, HOUR + 599, HOUR + 600, HOUR + 699, HOUR + 700):
        hands.wall = NOW + after
        for _ in range(2):
            for ends, credential in tokens.items():
                for deployed in gates:
                    assert (deployed.status_of(credential) is Status.UNLICENSED) is (after >= ends)


@pytest.mark.row("J07")
@pytest.mark.parametrize("left", [None, FREE], ids=["in grace", "downgraded"])
def test_a_status_list_counts_after_the_end(hands: Hands, left: Any) -> None:
    """J07: what it says of a license in grace, or downgraded, is heard as before its end."""
    with (vendor := Withdrawing(hands)).server:
        grace = {} if left else {"grace": 30 * DAY}
        bearer = vendor.license(issued_at=hands.wall - 365 * DAY - HOUR, **grace)
        gate = vendor.gate(downgrade_to=left)
        status = Status.DOWNGRADED if left else Status.GRACE
        assert decided(gate, bearer).status is status
        vendor.statuses[7] = "revoked"

        def later() -> str:
            hands.advance(61)
            return verdict(gate, bearer)

        # The list is fetched behind the requests.
        until(lambda: later() == "status:revoked")
        fresh = vendor.gate(downgrade_to=left)
        with pytest.raises(LicenseRevoked):
            decided(fresh, bearer)


def decided(gate: Gate, credential: str) -> Entitlements:
    """Return the entitlements of a request."""
    return flow.run(gate.decide(Presented(lines={"authorization": [f"Bearer {credential}"]})))


@pytest.mark.row("J07")
def test_possession_is_proven_after_the_end(hands: Hands) -> None:
    """J07: a bound license in grace, or downgraded, serves its holder and nobody else."""
    key, other = ProofKey.generate("Ed25519"), ProofKey.generate("Ed25519")
    bound = token(grace=600, cnf={"jkt": key.jkt})
    settings = Settings(**OPTIONS, downgrade_to=FREE, external_url="https://a.example")
    gate = Gate(settings, clock=hands.clock)

    def presented(by: ProofKey) -> Status:
        proof = by.proof("GET", "https://a.example/reports", bound, iat=hands.wall)
        lines = {"authorization": [f"DPoP {bound}"], "dpop": [proof]}
        return flow.run(gate.decide(Presented(lines=lines))).status

    for after, status in (
        (0, Status.ACTIVE),
        (HOUR + LEEWAY, Status.GRACE),
        (HOUR + 600, Status.DOWNGRADED),
    ):
        hands.wall = NOW + after
        for _ in range(2):
            assert presented(key) is status
            with pytest.raises(PossessionInvalid):
                presented(other)


def test_no_requirement_of_a_long_job_outlives_the_license(hands: Hands) -> None:
    """A job that asks again passes through grace and is refused after it, with the reason."""
    held = Deployed(hands, token(grace=600), installed=False).ask()

    @requires_feature("analytics")
    def step() -> str:
        return "done"

    with bind(held):
        assert step() == "done"
        hands.advance(HOUR + LEEWAY)
        assert (step(), held.status) == ("done", Status.GRACE)
        held.require("analytics")
        hands.advance(600)
        with pytest.raises(LicenseExpired):
            step()
        with pytest.raises(LicenseExpired):
            held.require("analytics")


# -- downgrade -------------------------------------------------------------------------------------


def test_what_is_left_of_a_license_is_what_the_settings_say(hands: Hands) -> None:
    """Plan, features and limits; who it was for and when it ended is told, and no more."""
    deployed = Deployed(hands, token(customer="Acme"), installed=False, downgrade_to=FREE)
    held = deployed.ask()
    hands.advance(DAY)
    for left in (held, deployed.ask(), deployed.ask()):
        assert (left.status, left.plan, left.features) == (Status.DOWNGRADED, "free", {"export"})
        assert dict(left.limits) == {"seats": 1}
        assert (left.limit("seats"), left.scopes, left.roles) == (1, set(), set())
        assert (left.license_id, left.customer, left.grace_until) == ("lic_1", "Acme", None)
        assert left.expires_at is not None
        assert left.expires_at.timestamp() == NOW + HOUR
        with pytest.raises(FeatureNotLicensed) as caught:
            left.require("analytics")
        assert caught.value.members["plan"] == "free"


def test_conditions_still_apply_to_what_is_left(hands: Hands) -> None:
    """A license for one network is no good in another, however little is left of it."""
    inside, outside = token(ip_ranges=["192.0.2.0/24"]), token(ip_ranges=["198.51.100.0/24"])
    options = {"installed": False, "downgrade_to": FREE}
    hands.advance(DAY)
    for _ in range(2):
        assert Deployed(hands, inside, **options).status() is Status.DOWNGRADED
        with pytest.raises(ConstraintViolated):
            Deployed(hands, outside, **options).ask()


def test_grace_comes_before_what_is_left(hands: Hands) -> None:
    """While it lasts the license is whole."""
    deployed = Deployed(hands, token(grace=600), installed=False, downgrade_to=FREE)
    hands.advance(HOUR + LEEWAY)
    assert deployed.ask().features == {"analytics"}
    hands.advance(600)
    assert deployed.ask().features == {"export"}


# -- installations ---------------------------------------------------------------------------------


def test_what_has_ended_displaces_nothing_that_has_not(hands: Hands, tmp_path: Path) -> None:
    """A replacement that is beyond its end waits until what is held is no better."""
    path = tmp_path / "license.jwt"
    long = token(sub="lic_long", exp=NOW + 10 * DAY)
    path.write_text(token(sub="lic_late", exp=NOW + DAY))
    deployed = Deployed(hands, f"file:{path}", installed=True, downgrade_to=FREE)
    path.write_text(long)
    assert deployed.ask().license_id == "lic_long"
    path.write_text(token(sub="lic_late", exp=NOW + DAY) + "\n")
    hands.advance(DAY + HOUR)
    for _ in range(3):
        held = deployed.ask()
        assert (held.license_id, held.status) == ("lic_long", Status.ACTIVE)
        hands.advance(2)
    hands.advance(2 * DAY)
    assert deployed.ask().license_id == "lic_long"
    path.write_text(token(sub="lic_later", exp=NOW + 20 * DAY))
    hands.advance(2)
    held = deployed.ask()
    assert (held.license_id, held.status) == ("lic_later", Status.ACTIVE)


def test_a_license_in_grace_is_refreshed_all_the_same(hands: Hands, tmp_path: Path) -> None:
    """Grace serves, and whoever can renew the license is asked for it at once."""
    with (renewer := Renewer(hands)).server:
        credential = license_token(iat=NOW, exp=NOW + 10 * DAY)
        renewer.trouble = lambda _: reply(503)
        worker = Worker(
            tmp_path / "state", renewer.url, credential, hands.clock, grace_period=7 * DAY
        )
        assert worker.ask().status is Status.ACTIVE
        hands.advance(10 * DAY + LEEWAY)
        assert worker.ask().status is Status.GRACE
        worker.at_rest()
        renewer.trouble = None
        hands.advance(HOUR * 2)
        assert worker.ask().status is Status.GRACE
        worker.at_rest()
        renewed = worker.ask()
        assert (renewed.status, worker.issued()) == (Status.ACTIVE, hands.wall)
