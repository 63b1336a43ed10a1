"""By which keys an answer may be signed, when the issuer is away."""

from __future__ import annotations

import pytest

from licet.core.online.keys import AnswerKeys
from licet.core.online.question import KeyMissing
from tests.core.test_keystore import Setup


def test_keys_that_came_with_the_installation_read_answers_however_old() -> None:
    """While nothing newer was ever seen; a license by such a key is undecided by then."""
    setup = Setup("b", floor=("a",))
    setup.issuer.up = False
    keys = AnswerKeys(setup.store)
    setup.hands.advance(10 * 86_400)
    assert setup.store.at_hand("a", "EdDSA") is None
    floor = setup.store.snapshot
    assert floor is not None
    assert keys.at_hand("a", "EdDSA") is floor.keys["a", "EdDSA"]
    with pytest.raises(KeyMissing):
        keys.at_hand("b", "EdDSA")
    setup.rest()


def test_what_the_issuer_published_takes_their_place() -> None:
    """A key that came with the installation and is published no more signs no answer."""
    setup = Setup("b", floor=("a",))
    keys = AnswerKeys(setup.store)
    setup.find("b")
    setup.rest()
    assert keys.at_hand("b", "EdDSA")
    setup.issuer.up = False
    setup.hands.advance(10 * 86_400)
    for kid in ("a", "b"):
        with pytest.raises(KeyMissing):
            keys.at_hand(kid, "EdDSA")
    setup.rest()
