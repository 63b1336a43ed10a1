"""What all adapters promise of a mode that reports: what would be refused passes, and is told."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from licet import constraint
from licet.core import flow
from licet.core.constraints import custom
from licet.core.errors import LicenseError
from licet.core.events.event import Event
from licet.core.revocation.statements import Subject, Withdrawal
from licet.possession import ProofKey
from tests import licenses
from tests.core.license_server import LicenseServer
from tests.core.loopback import reply
from tests.licenses import ISSUER, ISSUER_NAME, license_token

if TYPE_CHECKING:
    from tests.adapters.contract import Serving

    _Base = Serving
else:
    _Base = object

Lines = list[tuple[str, str]]


def bearer(token: str) -> Lines:
    """Return the header lines that present `token`."""
    return [("Authorization", f"Bearer {token}")]


class Case(NamedTuple):
    """A request that would be refused.

    Attributes:
        headers: its lines.
        path: of a view that demands something, where it is the view's affair.
        peer: where it comes from.
    """

    headers: Lines
    path: str = "/me"
    peer: str = "127.0.0.1"


class Kept(NamedTuple):
    """Whom the requests of the cases are about."""

    key: ProofKey
    server: LicenseServer
    rejected: str
    silent: str


def codes() -> frozenset[str]:
    """Return every code of a refusal."""
    kinds, found = [LicenseError], set[str]()
    while kinds:
        kind = kinds.pop()
        # Not those of applications.
        kinds += [each for each in kind.__subclasses__() if each.__module__ == kind.__module__]
        found.update(getattr(kind, "codes", ()))
    return frozenset(found)


def cases(kept: Kept) -> dict[str, Case]:
    """Return a request for each code that one installation can answer."""
    good = license_token()
    now = licenses.claims()["iat"]
    later = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
    window = {"days": later, "from": "00:00", "to": "24:00", "tz": "UTC"}
    small = bearer(license_token(features=[], limits={"apiCalls": 0, "seats": 0}))
    bound = license_token(cnf={"jkt": kept.key.jkt})
    proof = kept.key.proof("GET", "https://testserver/me", bound)
    domains = bearer(license_token(domains=["elsewhere.example"]))
    return {
        "license_required": Case([]),
        "license_invalid": Case(bearer("rubbish")),
        "license_expired": Case(bearer(licenses.expired())),
        "license_not_active": Case(bearer(license_token(nbf=now + 600))),
        "license_ambiguous": Case([*bearer(good), ("X-License-Token", good)]),
        "license_revoked": Case(bearer(license_token(sub="lic_revoked"))),
        "license_suspended": Case(bearer(license_token(sub="lic_suspended"))),
        "license_rejected": Case(bearer(kept.rejected)),
        "license_unavailable": Case(bearer(kept.silent)),
        "license_domain": Case(domains),
        "license_ip": Case(bearer(license_token(ip_ranges=["10.0.0.0/8"]))),
        "license_region": Case(bearer(license_token(regions=["DE"]))),
        "license_time_window": Case(bearer(license_token(time_windows=[window]))),
        "license_constraint": Case(bearer(license_token(tenant="another"))),
        "bad_host": Case([*domains, ("Host", "bad host")]),
        "https_required": Case(bearer(good), peer="203.0.113.9"),
        "pop_required": Case(bearer(bound)),
        "pop_invalid": Case([("Authorization", f"DPoP {good}")]),
        "use_dpop_nonce": Case([("Authorization", f"DPoP {bound}"), ("DPoP", proof)]),
        "feature_not_licensed": Case(small, "/reports"),
        "scope_not_granted": Case(small, "/scoped"),
        "role_not_granted": Case(small, "/role"),
        "limit_exceeded": Case(small, "/used"),
        "seat_limit_exceeded": Case(small, "/seated"),
    }


class ReportContract(_Base):
    """The part of the suite that is about what would have been refused."""

    def _cases(self, server: LicenseServer, mode: str) -> tuple[Any, Any, dict[str, Case]]:
        kept = Kept(ProofKey.generate("Ed25519"), server, server.add(), server.add())
        server.error(kept.rejected, "too_many_machines")
        server.trouble = lambda request: (
            reply(400)
            if kept.silent.encode() in request.body
            else reply(200, server.answer_for(request.body), "application/jwt")
        )
        options = server.options(
            mode=mode,
            jwks=ISSUER.jwks(),
            jwks_url=None,
            require_https=True,
            external_url="https://testserver",
            dpop_nonce_secret="n" * 32,
        )
        client = self.client(**options)
        gate = self._gate(mode=mode, validation_url=options["validation_url"])
        for word in ("revoked", "suspended"):
            subject = Subject("license", ISSUER_NAME, f"lic_{word}")
            flow.run(gate.withdrawals.record(Withdrawal(word, time.time()), subject))
        return client, gate, cases(kept)

    def test_of_all_that_would_be_refused_everything_passes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For each code there is a request, which is refused by it, or passes and is counted."""
        monkeypatch.setattr(custom, "_judges", {})
        constraint("tenant")(lambda value, facts: value == "ours")
        from tests.adapters.clients import Connection

        with LicenseServer() as server:
            client, _, refused = self._cases(server, "enforce")
            assert refused.keys() | {"installation_unlicensed"} == codes()
            for code, case in refused.items():
                over = Connection(case.peer)
                answer = client.request("GET", case.path, case.headers, over)
                # Some frameworks judge the host themselves, and before anybody else.
                if code != "bad_host" or answer.status != 400:
                    assert answer.json["code"] == code
            assert client.calls == []
            client, gate, passing = self._cases(server, "report")
            told: list[Event] = []
            gate.events.subscribe(told.append)
            for code, case in passing.items():
                before, over = Counter(gate.would_refuse()), Connection(case.peer)
                answer = client.request("GET", case.path, case.headers, over)
                assert answer.status == 200, code
                assert client.calls.pop() == case.path
                if case.path == "/me":
                    status = answer.json["status"], answer.json["licensed"], answer.json["features"]
                    assert status == ("UNLICENSED", False, []), code
                assert Counter(gate.would_refuse()) - before == {code: 1}
        denied = [event.data for event in told if event.name == "license.denied"]
        assert [each["code"] for each in denied] == list(passing)
        assert {each["mode"] for each in denied} == {"report"}

    def test_an_installation_without_license_is_told_of(self, tmp_path: Path) -> None:
        """It passes, and is counted by its own code."""
        client = self.licensed(license=f"file:{tmp_path}/none.jwt", mode="report")
        gate = self._gate(mode="report", license=f"file:{tmp_path}/none.jwt")
        assert self.get(client, "/me").json["status"] == "UNLICENSED"
        assert gate.would_refuse() == {"installation_unlicensed": 1}
