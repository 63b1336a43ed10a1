"""Installations through weeks of changes against a model: what is in force is what it says.

License files come and go, time passes, processes end and begin anew, and issuers withdraw licenses
and give them back. The model knows tokens, when each license was first seen to hold, and which was
held last; nothing of caches, stages or states.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from licet.core import flow
from licet.core.entitlements import Entitlements, Status
from licet.core.errors import InstallationUnlicensed
from licet.core.gate import Gate
from licet.core.revocation.statements import Subject, Withdrawal, Word
from licet.core.settings import Settings
from tests.core.hands import Hands
from tests.core.presented import Presented
from tests.licenses import FORGER, ISSUER, ISSUER_NAME, OPTIONS, license_token

HOUR, DAY, LEEWAY = 3_600, 86_400, 30
NAMES = ("lic_a", "lic_b")
FREE: dict[str, Any] = {"plan": "free", "features": ["export"]}
#: How good what a license grants is: the better is kept.
RANKS = {Status.ACTIVE: 0, Status.TRIAL: 0, Status.GRACE: 1, Status.DOWNGRADED: 2}


class Token(NamedTuple):
    """A license as the model knows it."""

    text: str
    name: str
    iat: int
    exp: int
    grace: int | None
    trial: bool
    forged: bool


class Installations(RuleBasedStateMachine):
    """One installation, and what is true of it; asked after each step."""

    #: Outlives every process: they look at their state until nobody holds them any more.
    place: ClassVar[Path]

    @initialize(period=st.sampled_from([0, HOUR, 7 * DAY]), downgrades=st.booleans())
    def install(self, period: int, downgrades: bool) -> None:
        self.hands = Hands(wall=1_800_000_000.0)
        directory = Path(tempfile.mkdtemp(dir=self.place))
        self.path = directory / "license.jwt"
        self.period, self.downgrades = period, downgrades
        self.options = {
            **OPTIONS,
            "license": f"file:{self.path}",
            "license_state": str(directory / "state"),
            "grace_period": period,
            "downgrade_to": FREE if downgrades else None,
            "leeway": LEEWAY,
        }
        self.begin()
        self.old: list[Token] = []
        self.seen: dict[str, float] = {}
        self.withdrawn: dict[str, Word] = {}
        self.sell(NAMES[0])

    def begin(self) -> None:
        self.gate = Gate(Settings(**self.options), clock=self.hands.clock)
        self.kept: Token | None = None
        self.held: Token | None = None
        self.entitlements: Entitlements | None = None

    # -- what may happen ---------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES))
    def sell(self, name: str) -> None:
        self.bring(name, 5 * DAY, HOUR, None, "")

    @rule(
        name=st.sampled_from(NAMES),
        age=st.sampled_from([0, HOUR, 5 * DAY]),
        left=st.sampled_from([-DAY, -20, HOUR, 3 * DAY]),
        grace=st.sampled_from([None, None, 0, HOUR, 10 * DAY]),
        kind=st.sampled_from(["", "", "", "trial", "forged"]),
    )
    def bring(self, name: str, age: int, left: int, grace: int | None, kind: str) -> None:
        now = int(self.hands.wall)
        iat, exp = now - max(age, -left), now + left
        claims: dict[str, Any] = {"sub": name, "iat": iat, "exp": exp, "grace": grace}
        if kind == "trial":
            claims["trial"] = True
        text = license_token(FORGER if kind == "forged" else ISSUER, **claims)
        self.put(Token(text, name, iat, exp, grace, kind == "trial", kind == "forged"))

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        self.put(data.draw(st.sampled_from(self.old)))

    def put(self, token: Token) -> None:
        self.old.append(token)
        self.brought = token
        self.path.write_text(token.text)

    @precondition(lambda self: self.brought)
    @rule()
    def take_away(self) -> None:
        self.path.unlink(missing_ok=True)
        self.brought = None

    @rule(seconds=st.sampled_from([10, HOUR - 15, HOUR, DAY]))
    def wait(self, seconds: int) -> None:
        self.hands.advance(seconds)

    @precondition(lambda self: self.kept is not None)
    @rule(past=st.sampled_from([-1, 0]), end=st.sampled_from(["leeway", "grace"]))
    def wait_for_the_end(self, past: int, end: str) -> None:
        assert self.kept is not None
        after = LEEWAY if end == "leeway" else self.grace(self.kept)
        # What is in place is looked at each second, and this comes two before it is asked.
        self.hands.advance(max(0.0, self.kept.exp + after - self.hands.wall - 2 + past))

    @rule()
    def restart(self) -> None:
        self.begin()

    @rule(name=st.sampled_from(NAMES), word=st.sampled_from(["revoked", "valid", "valid", "valid"]))
    def say(self, name: str, word: Word) -> None:
        self.hands.advance(1)
        subject = Subject("license", ISSUER_NAME, name)
        flow.run(self.gate.withdrawals.record(Withdrawal(word, self.hands.wall), subject))
        self.withdrawn[name] = word

    # -- what is true ------------------------------------------------------------------------------

    def grace(self, token: Token) -> int:
        grace = self.period if token.grace is None else token.grace
        return 0 if token.trial else min(grace, token.exp - token.iat, 90 * DAY)

    def standing(self, token: Token) -> Status | None:
        """Return where a license stands; None where it does not hold."""
        now = self.hands.wall
        if token.forged or self.withdrawn.get(token.name, "valid") != "valid":
            return None
        if now < token.exp + LEEWAY:
            if now < token.exp:
                self.seen.setdefault(token.name, now)
            return Status.TRIAL if token.trial else Status.ACTIVE
        if now < token.exp + self.grace(token) and self.seen.get(token.name, now) < token.exp:
            return Status.GRACE
        return Status.DOWNGRADED if self.downgrades else None

    def expected(self) -> Status | None:
        new, kept = self.brought, self.kept
        if new is not None and new != kept:
            status = self.standing(new)
            if status is not None:
                current = None if kept is None or not RANKS[status] else self.standing(kept)
                if current is None or RANKS[status] <= RANKS[current]:
                    self.kept = new
                    return status
        return None if kept is None else self.standing(kept)

    @invariant()
    def a_request_sees_it(self) -> None:
        self.hands.advance(2)
        expected = self.expected()
        for _ in range(2):
            try:
                found = flow.run(self.gate.decide(Presented()))
            except InstallationUnlicensed:
                assert expected is None
                continue
            assert found.status is expected
            assert self.kept is not None
            assert found.license_id == self.kept.name
            assert found.allows("analytics") is (RANKS[found.status] < 2)
            assert found.expires_at is not None
            assert found.expires_at.timestamp() == self.kept.exp
            self.entitlements, self.held = found, self.kept

    @precondition(lambda self: self.entitlements is not None)
    @invariant()
    def what_stayed_open_sees_it(self) -> None:
        assert self.entitlements is not None
        assert self.held is not None
        expected = self.standing_of_what_was_granted(self.held)
        assert self.entitlements.status is (expected or Status.UNLICENSED)
        assert bool(self.entitlements) is (expected is not None)

    def standing_of_what_was_granted(self, token: Token) -> Status | None:
        seen = dict(self.seen)
        found = self.standing(token)
        self.seen = seen  # nobody judges it
        return found


@pytest.mark.row("J05", "J06", "J07", "J08")
def test_what_is_in_force_is_what_the_model_says(tmp_path: Path) -> None:
    """J05 to J08: grace is exact and earned, and nothing that may happen arms it again.

    Nothing outlasts a withdrawal, and of two licenses the better is kept.
    """

    class Here(Installations):
        place = tmp_path

    examples = settings(max_examples=25, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(Here, settings=examples)
