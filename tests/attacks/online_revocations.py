"""Row I09: what was withdrawn stays withdrawn, whatever becomes of network and process."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from licet.core import gates
from licet.core.gate import Gate
from tests.attacks.asking import HOUR, WORDS, Asking
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer, says
from tests.core.loopback import until
from tests.core.worlds import validator_of
from tests.licenses import license_token


class Revocations(Asking):
    """A no stays a no until the license server says otherwise, later."""

    @pytest.mark.row("I09")
    @pytest.mark.parametrize("word", ["revoked", "suspended"])
    def test_a_revocation_outlives_the_network(
        self, word: str, timed: LicenseServer, hands: Hands
    ) -> None:
        """Once said, nothing but a later word of the server takes it back."""
        timed.cache_for = 60
        code = WORDS[word][1]
        at, key = self.deploy(timed, online_timeout=0.25), timed.add()
        self.served(at, key)
        timed.error(key, word)
        hands.advance(61)
        until(lambda: self.ask(at, key).status == 403)
        self.block(timed, "500")
        for _ in range(6):
            self.refused(at, key, 403, code)
            hands.advance(20 * HOUR)
        assert self.ask(at, key).status == 403
        timed.trouble = None
        timed.error(key, None)

        def restored() -> bool:
            # Again and again: a question of just now, which failed, may still be under way.
            hands.advance(61)
            return self.ask(at, key).status == 200

        until(restored)
        assert at.events("license.revoked")

    @pytest.mark.row("I09")
    @pytest.mark.parametrize("kind", ["key", "token"])
    def test_a_revocation_outlives_the_process(
        self,
        kind: str,
        timed: LicenseServer,
        hands: Hands,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """With a store that lasts, blocking the network and a restart bring nothing back."""
        options = {"store": f"sqlite://{tmp_path}/store", "online_timeout": 0.25}
        if kind == "token":
            options["revalidate_every"] = 60
        timed.cache_for = 60
        credential = timed.add(
            None if kind == "key" else license_token(sub="lic_gone", exp=int(hands.wall) + 10**6),
            sub="lic_gone",
        )
        at = self.deploy(timed, **options)
        self.served(at, credential)
        timed.revoke(credential)

        def gone() -> bool:
            # Again and again: a question of before, which is a yes, may still be under way.
            hands.advance(61)
            return self.ask(at, credential).status == 403

        until(gone)
        # This process knows of it before the store does.
        background = validator_of(at.gate)._background
        until(lambda: not background._running and not background.waiting)
        self.block(timed, "reset")
        for _ in range(2):
            later = Hands(monotonic=17.0, wall=hands.wall + 600)
            monkeypatch.setattr(gates, "Gate", partial(Gate, clock=later.clock))
            at = self.deploy(timed, **options)
            for _ in range(3):
                self.refused(at, credential, 403, "license_revoked")
                later.advance(HOUR)

    @pytest.mark.row("I09")
    def test_a_revocation_is_of_the_license(self, timed: LicenseServer, hands: Hands) -> None:
        """Said of a key, it holds for a token of the same license, which is not asked about."""
        timed.cache_for = 60
        at, key = self.deploy(timed), timed.add(sub="lic_both")
        token = license_token(sub="lic_both", exp=int(hands.wall) + 10**6)
        self.served(at, key)
        self.served(at, token)
        timed.revoke(key)
        hands.advance(61)
        until(lambda: self.ask(at, key).status == 403)
        for _ in range(3):
            self.refused(at, token, 403, "license_revoked")
        self.served(at, license_token(sub="lic_other"))

    @pytest.mark.row("I09")
    def test_an_older_yes_takes_no_revocation_back(
        self, timed: LicenseServer, hands: Hands
    ) -> None:
        """Only what was said later does."""
        at, key = self.deploy(timed), timed.add()
        timed.revoke(key)
        self.refused(at, key, 403, "license_revoked")
        timed.error(key, None)
        before = int(hands.wall)
        timed.trouble = lambda request: says(
            timed.answer_for(request.body, iat=before - 10, exp=before + 10**5)
        )
        for number in range(2, 7):

            def asked_again(number: int = number) -> bool:
                hands.advance(61)
                self.refused(at, key, 403, "license_revoked")
                return len(timed.questions) >= number

            until(asked_again)
        self.refused(at, key, 403, "license_revoked")
