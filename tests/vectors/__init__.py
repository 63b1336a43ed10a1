"""Public test vectors (see README.md beside this file for their origin and licence)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@cache
def load(name: str) -> Any:
    """Return one file of vectors, parsed."""
    return json.loads((HERE / f"{name}.json").read_bytes())
