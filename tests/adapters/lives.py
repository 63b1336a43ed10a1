"""What all adapters promise of a license's life, and of modes in which nothing is enforced."""

from __future__ import annotations

import math
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from licet.core import gates
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.installation.mark import PLACE, Mark
from licet.core.installation.state import State
from tests import licenses
from tests.core.license_server import LicenseServer
from tests.licenses import INVALID, license_token

if TYPE_CHECKING:
    from tests.adapters.contract import Serving

    _Base = Serving
else:
    _Base = object

HOUR = 3_600


def ended(ago: int = 60, **changes: Any) -> str:
    """Return a license of two hours that ended so many seconds ago."""
    now = int(time.time())
    return license_token(**{"iat": now - ago - 2 * HOUR, "exp": now - ago, **changes})


def bearer(token: str) -> list[tuple[str, str]]:
    """Return the header lines that present `token`."""
    return [("Authorization", f"Bearer {token}")]


def _raise() -> float:
    raise OSError("no clock")


class LifeContract(_Base):
    """The part of the suite that is about the ends of licenses."""

    # -- grace -------------------------------------------------------------------------------

    @pytest.mark.row("J08")
    def test_who_presents_a_license_in_grace_is_told(self) -> None:
        """J08: the answer says until when, first and from memory, beside what caches are told."""
        client = self.licensed()
        exp = int(time.time()) - 60
        token = license_token(iat=exp - HOUR, exp=exp, grace=1_800)
        until = datetime.fromtimestamp(exp + 1_800, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for headers in (bearer(token), [("X-License-Token", token)]) * 2:
            answer = self.get(client, "/me", headers)
            assert (answer.status, answer.json["status"]) == (200, "GRACE")
            assert answer.header("License-Status") == f"grace; until={until}"
        assert "X-License-Token" in (answer.header("Vary") or "")
        # Also where the application lets shared caches keep what they got for `Authorization`.
        answer = self.get(client, "/private", bearer(token))
        assert answer.header("Cache-Control") == "public"
        assert "Authorization" in (answer.header("Vary") or "")
        assert self.get(client, "/reports", bearer(token)).status == 200
        # And where a view asks for more than it has.
        poor = license_token(iat=exp - HOUR, exp=exp, grace=1_800, features=[])
        answer = self.get(client, "/reports", bearer(poor))
        assert answer.status == 403
        assert answer.header("License-Status") == f"grace; until={until}"
        answer = self.get(client, "/me", bearer(license_token()))
        assert answer.header("License-Status") is None

    def test_grace_is_given_by_the_license_alone(self) -> None:
        """The settings' `grace_period` is none of a license that a request brings."""
        client = self.licensed(grace_period=HOUR)
        for token in (ended(), ended(grace=0), ended(grace=59), ended(grace=600, trial=True)):
            answer = self.get(client, "/me", bearer(token))
            self.refused(client, answer, 401, "license_expired")

    def test_an_installation_in_grace_serves_as_before(self, tmp_path: Path) -> None:
        """Its callers, who brought no license, are told nothing; past the grace it is 402."""
        path = tmp_path / "license.jwt"
        path.write_text(ended())
        client = self.licensed(license=f"file:{path}", grace_period=HOUR)
        for _ in range(2):
            answer = self.get(client, "/me")
            assert (answer.status, answer.json["status"]) == (200, "GRACE")
            assert answer.header("License-Status") is None
        client = self.licensed(license=f"file:{path}", grace_period=59)
        self.refused(client, self.get(client, "/me"), 402, "installation_unlicensed")

    @pytest.mark.row("J01")
    def test_an_installation_whose_clock_is_behind_is_told_so(self, tmp_path: Path) -> None:
        """J01: by what its state has seen, and by what its license was signed at; 402 `clock`."""
        state = tmp_path / "state"
        seen = Mark(time.time() + 2 * 24 * HOUR)
        State(str(state), SYSTEM_CLOCK, print).change(PLACE, seen.added, HOUR).run()
        later = int(time.time()) + HOUR
        for token, options in (
            (license_token(), {"license_state": str(state)}),
            (license_token(iat=later, exp=later + HOUR), {}),
        ):
            path = tmp_path / "license.jwt"
            path.write_text(token)
            client = self.licensed(license=f"file:{path}", exempt_paths=["/health"], **options)
            for _ in range(2):
                answer = self.get(client, "/me")
                self.refused(client, answer, 402, "installation_unlicensed")
                assert answer.json["error"] == "clock"
            assert self.get(client, "/health").status == 200

    @pytest.mark.row("J09")
    def test_nothing_passes_by_a_clock_that_tells_no_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """J09: what is remembered and what is new is 503 while it says NaN or raises; then 200."""
        hand = SimpleNamespace(read=time.time)
        clock = Clock(wall=lambda: hand.read())
        monkeypatch.setattr(gates, "Gate", partial(Gate, clock=clock))
        # None of its gates is there before, and none stays.
        monkeypatch.setattr(gates, "_gates", {})
        client = self.licensed()
        known, new = license_token(), license_token(sub="lic_new")
        assert self.get(client, "/reports", bearer(known)).status == 200
        client.calls.clear()
        for read in (lambda: math.nan, _raise):
            hand.read = read
            for token in (known, new, ended(grace=HOUR)):
                answer = self.get(client, "/reports", bearer(token))
                self.refused(client, answer, 503, "license_unavailable")
        hand.read = time.time
        for token in (known, new):
            assert self.get(client, "/reports", bearer(token)).status == 200

    # -- downgrade ---------------------------------------------------------------------------

    @pytest.mark.row("J07")
    def test_something_may_be_left_of_an_expired_license(self) -> None:
        """J07: what the settings say, and nothing of one that is wrong in another way."""
        left = {"plan": "free", "limits": {"seats": 1}}
        client = self.licensed(downgrade_to=left)
        for _ in range(2):
            answer = self.get(client, "/me", bearer(ended()))
            assert answer.json == {
                "license_id": "lic_1",
                "plan": "free",
                "features": [],
                "seats": 1,
                "status": "DOWNGRADED",
                "licensed": True,
            }
        client.calls.clear()
        answer = self.get(client, "/reports", bearer(ended()))
        self.refused(client, answer, 403, "feature_not_licensed")
        for token, status, code in (
            (ended(issuer=licenses.FORGER), 401, "license_invalid"),
            (ended(aud="another-product"), 401, "license_invalid"),
            (ended(domains=["elsewhere.example"]), 403, "license_domain"),
        ):
            headers = [*bearer(token), ("Host", "here.example")]
            self.refused(client, self.get(client, "/me", headers), status, code)

    @pytest.mark.row("J07")
    def test_something_may_be_left_of_a_key_whose_license_has_ended(self) -> None:
        """J07: by the word of its server, under the conditions of the license, while it stands."""
        now = int(time.time())
        over = {"iat": now - HOUR, "exp": now - 60}
        with LicenseServer() as server:
            key, elsewhere = server.add(**over), server.add(**over, domains=["elsewhere.example"])
            grace = server.add(**over, grace=1_800)
            for each in (key, elsewhere):
                server.error(each, "expired")
            left = {"plan": "free", "features": ["analytics"]}
            client = self.client(**server.options(downgrade_to=left))
            for _ in range(2):
                answer = self.get(client, "/me", bearer(key))
                assert (answer.status, answer.json["status"]) == (200, "DOWNGRADED")
                assert answer.header("License-Status") is None
                assert self.get(client, "/reports", bearer(key)).status == 200
                answer = self.get(client, "/me", bearer(grace))
                assert (answer.status, answer.json["status"]) == (200, "GRACE")
                assert "grace; until=" in (answer.header("License-Status") or "")
            client.calls.clear()
            headers = [*bearer(elsewhere), ("Host", "here.example")]
            self.refused(client, self.get(client, "/me", headers), 403, "license_domain")
            server.error(key, "revoked")
            client = self.client(**server.options(downgrade_to=left, grant_max_age=299))
            self.refused(client, self.get(client, "/me", bearer(key)), 403, "license_revoked")

    # -- modes -------------------------------------------------------------------------------

    def test_in_report_mode_everything_passes(self) -> None:
        """Whatever would have been refused is told and counted; entitlements say what is true."""
        client = self.licensed(mode="report", leeway=17)
        gate = self._gate(mode="report", leeway=17)
        before = Counter(gate.would_refuse())
        told: list[Event] = []
        gate.events.subscribe(told.append)
        good, small = license_token(), license_token(features=[], scope=None, roles=None)
        assert self.get(client, "/me", bearer(good)).json["status"] == "ACTIVE"
        unlicensed = [
            None,
            bearer(licenses.expired()),
            bearer(""),
            [*bearer(good), ("X-License-Token", good)],
            *(bearer(make()) for make in INVALID.values()),
        ]
        for headers in unlicensed:
            answer = self.get(client, "/me", headers)
            assert (answer.status, answer.json["status"]) == (200, "UNLICENSED"), headers
            assert answer.json["licensed"] is False
        for path in ("/reports", "/scoped", "/role"):
            for headers in (bearer(small), None):
                assert self.get(client, path, headers).status == 200, path
        counts = Counter(gate.would_refuse()) - before
        assert counts["license_expired"] == 1
        # Once for each request: its view would never have demanded anything.
        assert counts["license_required"] == 1 + 3
        assert counts["license_invalid"] == 1 + len(INVALID)
        assert counts["license_ambiguous"] == 1
        for code in ("feature_not_licensed", "scope_not_granted", "role_not_granted"):
            assert counts[code] == 1
        denied = [event for event in told if event.name == "license.denied"]
        assert {event.data["mode"] for event in denied} == {"report"}

    def test_in_report_mode_failures_pass_too(self) -> None:
        """Keys out of reach and errors of this side are counted, and keep nobody out."""
        client = self.client(
            issuer=licenses.ISSUER_NAME,
            audience=licenses.AUDIENCE,
            jwks_url="http://127.0.0.1:9/reported.json",
            mode="report",
        )
        answer = self.get(client, "/reports", bearer(license_token()))
        assert answer.status == 200
        gate = self._gate(mode="report", jwks_url="http://127.0.0.1:9/reported.json")

        def fail(*args: object) -> Any:
            raise RuntimeError("x")

        gate.judge = gate.recall = fail
        before = gate.would_refuse()["license_unavailable"]
        answer = self.get(client, "/me", bearer(license_token()))
        assert (answer.status, answer.json["status"]) == (200, "UNLICENSED")
        assert gate.would_refuse()["license_unavailable"] == before + 1

    def test_an_installation_in_report_mode_passes(self, tmp_path: Path) -> None:
        """Without a license, and with one that has ended."""
        path = tmp_path / "license.jwt"
        client = self.licensed(license=f"file:{path}", mode="report")
        assert self.get(client, "/me").json["status"] == "UNLICENSED"
        path.write_text(licenses.expired())
        assert self.get(client, "/reports").status == 200

    def test_in_off_mode_nothing_is_looked_at(self) -> None:
        """No key is asked for, no license read, and every requirement passes."""
        client = self.client(
            issuer=licenses.ISSUER_NAME,
            audience=licenses.AUDIENCE,
            jwks_url="http://127.0.0.1:9/off.json",
            mode="off",
            exempt_paths=["/health"],
        )
        good = license_token()
        for headers in (None, bearer(good), bearer("rubbish"), [*bearer(good), *bearer(good)]):
            answer = self.get(client, "/me", headers)
            assert (answer.status, answer.json["status"]) == (200, "UNLICENSED")
            for path in ("/reports", "/scoped", "/role", "/health", "/stream"):
                assert self.get(client, path, headers).status == 200
        gate = self._gate(mode="off", jwks_url="http://127.0.0.1:9/off.json")
        assert gate.would_refuse() == {}
        assert gate.grant_stats().misses == 0
        assert [each.state.value for each in gate.health().values()] == ["empty"]

    def _gate(self, **options: Any) -> Any:
        """Return this process's one gate with these settings."""
        from licet.core import gates

        (gate,) = [
            gate
            for gate in gates._gates.values()
            if all(getattr(gate.settings, name) == value for name, value in options.items())
        ]
        return gate
