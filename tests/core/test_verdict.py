"""What an operator is told at a terminal."""

from __future__ import annotations

from licet.core import verdict
from licet.core.gate import Gate
from licet.core.settings import Settings
from tests.licenses import ISSUER, OPTIONS, claims


def test_a_license_does_not_steer_the_terminal() -> None:
    """What a signed license says for people is shown, and not obeyed."""
    token = ISSUER.sign(claims(customer="\x1b[2JAcme Ä", plan="gold\r\nholds: yes"))
    said = verdict.judge(Gate(Settings(**OPTIONS)), token)
    assert said.holds
    text = "\n".join(said.lines)
    assert "\\x1b[2JAcme Ä" in text
    assert "gold\\r\\nholds: yes" in text
    assert "\x1b" not in text
