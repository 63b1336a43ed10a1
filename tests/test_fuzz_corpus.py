"""The saved corpus of the fuzzer, replayed without it: every input still gets what it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "fuzz" / "corpus"


@pytest.mark.parametrize("target", TARGETS)
def test_no_saved_input_breaks_its_target(target: str) -> None:
    """Only documented errors leave, and nothing is accepted that an oracle refuses."""
    saved = sorted((CORPUS / target).iterdir())
    assert len(saved) >= 20
    for path in saved:
        try:
            TARGETS[target](path.read_bytes())
        except Exception as error:
            error.add_note(f"corpus/{target}/{path.name}")
            raise
