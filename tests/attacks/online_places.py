"""Rows I where there is a request: at which host a key holds, and what covers an installation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.asking import Asking, Deployed
from tests.core.license_server import LicenseServer
from tests.core.loopback import reply
from tests.core.wrong_answers import (
    MISPLACED_HOSTS,
)

#: The same for the license of an installation, with the member `error`.
INSTALLATION_WORDS = {
    "unknown": (402, "installation_unlicensed", "invalid"),
    "expired": (402, "installation_unlicensed", "expired"),
    "revoked": (402, "installation_unlicensed", "revoked"),
    "cancelled": (402, "installation_unlicensed", "revoked"),
    "suspended": (402, "installation_unlicensed", "suspended"),
    "fraud": (402, "installation_unlicensed", "rejected"),
    "domain_mismatch": (403, "license_domain", None),
    "over_limit": (429, "limit_exceeded", None),
}


class Places(Asking):
    """Hosts, and installations whose license is an opaque key."""

    in_request = True

    def test_where_a_key_holds_is_judged_here(self) -> None:
        """An answer whose license names domains counts for all of them, and for no other."""
        with LicenseServer(license_domains=("a.example", "*.b.example")) as server:
            key, at = server.add(), self.deploy(server)
            for _ in range(2):
                self.served(at, key, ("Host", "a.example"))
                self.served(at, key, ("Host", "x.b.example"))
                self.refused(at, key, 403, "license_domain", ("Host", "evil.example"))
            assert len(server.questions) == 1

    def test_a_key_without_domains_is_asked_about_at_each(self, server: LicenseServer) -> None:
        """At most at eight; who wanders further is undecided, and it is told."""
        key, at = server.add(), self.deploy(server)
        for _ in range(2):
            for number in range(8):
                self.served(at, key, ("Host", f"{number}.example"))
        assert len(server.questions) == 8
        for number in range(8, 12):
            self.undecided(at, key, ("Host", f"{number}.example"), failed=False)
        assert len(server.questions) == 8
        kinds = {event.data["kind"] for event in at.events("license.suspicious_activity")}
        assert kinds == {"domain_mismatch"}
        self.served(at, key, ("Host", "0.example"))

    @pytest.mark.row("I03")
    @pytest.mark.parametrize("name", MISPLACED_HOSTS)
    def test_an_answer_about_another_host(self, name: str, server: LicenseServer) -> None:
        """It lets nobody through, and is told."""
        self.replayed(self.wrong(name, MISPLACED_HOSTS[name], server))

    # -- the license of an installation ------------------------------------------------------------

    def installed(self, server: LicenseServer, key: str, **changes: Any) -> Deployed:
        """Serve the application of an installation whose license is an opaque key."""
        return self.deploy(server, license=key, **changes)

    def test_an_installation_may_have_a_key(self, server: LicenseServer) -> None:
        """It covers every request, at whatever host that comes in, and is one question."""
        key = server.add(sub="lic_installed")
        at = self.installed(server, key)
        for number in range(12):
            answer = self.get(at.client, "/me", [("Host", f"{number}.example")])
            assert (answer.status, answer.json["license_id"]) == (200, "lic_installed")
        assert len(server.questions) == 1

    @pytest.mark.parametrize("word", INSTALLATION_WORDS)
    def test_the_key_of_an_installation_is_refused_by_word(
        self, word: str, server: LicenseServer
    ) -> None:
        """402 with the word of its own, but for a domain and a limit."""
        status, code, error = INSTALLATION_WORDS[word]
        key = server.add()
        server.error(key, word)
        at = self.installed(server, key)
        for _ in range(3):
            answer = self.get(at.client, "/me")
            assert (answer.status, answer.json["code"]) == (status, code)
            assert answer.json.get("error") == error
            assert at.client.calls == []
        assert len(server.questions) == 1

    def test_an_installation_whose_server_is_away(self, server: LicenseServer) -> None:
        """Undecided is not unlicensed."""
        server.trouble = lambda request: reply(500)
        at = self.installed(server, server.add())
        for _ in range(3):
            answer = self.get(at.client, "/me")
            assert (answer.status, answer.json["code"]) == (503, "license_unavailable")
            assert int(answer.header("Retry-After") or 0) >= 1
            assert answer.json["correlation_id"]
            assert at.client.calls == []
