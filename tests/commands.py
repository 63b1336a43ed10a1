"""The command `licet` as tests type it: in this process, with its streams caught."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from licet.cli import main


@dataclass(frozen=True)
class Said:
    """What a command did: its exit status and both streams."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON object on the one line that was printed."""
        (line,) = self.out.splitlines()
        return json.loads(line)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def licet(*arguments: object, stdin: bytes | None = None) -> Said:
    """Type a command.

    Args:
        arguments: behind `licet`.
        stdin: what is piped in; a terminal where nothing is.
    """
    before = sys.stdin
    sys.stdin = _Terminal() if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                status = main([str(each) for each in arguments])
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdin = before
    return Said(status, out.getvalue(), err.getvalue())
