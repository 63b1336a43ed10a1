"""No neighbour of a valid token is valid: not by a bit, and not by a byte more or less.

The suite tries a seeded sample of the neighbours of 50 tokens. With `FLIPS=whole` in the
environment, as `tox -e flips` has it, it tries all of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from licet.core import flow
from licet.core.errors import LicenseInvalid
from licet.core.gate import Gate
from licet.core.settings import Settings
from tests.attacks.forge import all_keys, dumps, flipped, header, jws
from tests.licenses import OPTIONS, claims

WHOLE = os.environ.get("FLIPS") == "whole"
#: Neighbours of each token that are tried otherwise.
SAMPLE = 1_500
ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "RS256", "PS256")
TOKENS_EACH = 10
#: What is inserted at each place, besides what stands there: letters, and what is near to them.
INSERTED = (b"A", b"Q", b"w", b"0", b"-", b"_", b".", b"=", b"+", b"/", b" ", b"\n", b"\0", b"\x80")


def tokens(alg: str) -> Iterator[bytes]:
    """Yield valid tokens of one algorithm, of all residues of the lengths of their segments."""
    key = "EdDSA" if alg == "Ed25519" else alg
    for number in range(TOKENS_EACH):
        head = header(key, alg=alg, x="x" * (number % 3))
        body = claims(
            sub=f"lic_{number}", jti="j" * (number + 1), features=["analytics"] * (number % 4)
        )
        yield jws(head, dumps(body), alg=key).encode("ascii")


def neighbours(token: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every text that is one bit, or one byte more or less, away from `token`."""
    for bit in range(8 * len(token)):
        yield "flipped", flipped(token, bit)
    for place in range(len(token)):
        yield "deleted", token[:place] + token[place + 1 :]
        yield "duplicated", token[: place + 1] + token[place:]
    for place in range(len(token) + 1):
        for byte in INSERTED:
            yield "inserted", token[:place] + byte + token[place:]


def count(token: bytes) -> int:
    """Return how many neighbours `token` has."""
    return 8 * len(token) + 2 * len(token) + len(INSERTED) * (len(token) + 1)


@pytest.mark.row("C01")
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_no_neighbour_of_a_valid_token_is_valid(alg: str) -> None:
    """Every bit flip and one-byte deletion, duplication and insertion is refused as invalid."""
    gate = Gate(Settings(**{**OPTIONS, **all_keys()}))
    chance = random.Random(alg)
    tried: Counter[str] = Counter()
    expected = 0
    for token in tokens(alg):
        whole = count(token)
        chosen = None if WHOLE else frozenset(chance.sample(range(whole), SAMPLE))
        expected += whole if chosen is None else SAMPLE
        # First itself, so that its header and its grant are remembered while the others come.
        flow.run(gate.judge(token))
        assert gate.recall(token) is not None
        for number, (kind, other) in enumerate(neighbours(token)):
            if chosen is not None and number not in chosen:
                continue
            assert gate.recall(other) is None, (kind, other)
            try:
                flow.run(gate.judge(other))
            except LicenseInvalid:
                tried[kind] += 1
            else:
                pytest.fail(f"{kind}: {other!r} is accepted beside {token!r}")
    assert tried.total() == expected
    assert tried.keys() == {"flipped", "deleted", "duplicated", "inserted"}
