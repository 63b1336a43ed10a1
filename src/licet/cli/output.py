"""What a command says, and how: text for people, one JSON object for programs.

What is shown of a license may be a stranger's word, so nothing of it reaches the terminal that
could steer it. No function here is given a credential.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from licet.core.events.log import printable as printable  # what else is shown is shown by it

#: The exit statuses that commands share; each command's help names its own beside them.
DONE, NOT, UNUSABLE, UNDECIDED = 0, 1, 2, 3


class Failed(Exception):
    """A command cannot be carried out as given.

    Args:
        problem: what is wrong, without a full stop.
        remedy: what to do.

    Attributes:
        status: the exit status that it ends with.
        code: its name for programs.
    """

    status = UNUSABLE
    code = "unusable"

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem
        self.remedy = remedy

    @property
    def document(self) -> dict[str, Any]:
        """The failure for programs."""
        return {"code": self.code, "detail": self.problem, "remedy": self.remedy}


def print_json(document: Mapping[str, Any]) -> None:
    """Print one object on one line, in ASCII, which no terminal takes for anything else."""
    print(json.dumps(document, allow_nan=False))


def print_members(members: Mapping[str, object], *, indent: str = "") -> None:
    """Print names and values, one pair a line, the values below each other."""
    width = max((len(name) for name in members), default=0) + 1
    for name, value in members.items():
        print(f"{indent}{name + ':':<{width}} {shown(value)}")


def shown(value: object) -> str:
    """Return a value for people: texts and lists of texts as they are, else JSON."""
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return printable(", ".join(value))
    return printable(json.dumps(value, ensure_ascii=False))


def why(error: Exception) -> str:
    """Return what went wrong with a file, in the system's words and without its name."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def tell(sentence: str) -> None:
    """Say something beside the output: to whoever watches, on standard error."""
    print(f"licet: {printable(sentence)}", file=sys.stderr, flush=True)


@contextmanager
def once(lost: str) -> Iterator[None]:
    """Print what nobody is shown again; where that fails, say beside it what is to be done.

    Args:
        lost: what nobody has got then, and the remedy.
    """
    try:
        yield
        sys.stdout.flush()
    except (OSError, KeyboardInterrupt):
        tell(lost)
        raise


def split(values: Iterable[str] | None) -> list[str] | None:
    """Return what an option was given, repeated or with commas between; None where it was not."""
    if values is None:
        return None
    return [entry.strip() for value in values for entry in value.split(",") if entry.strip()]
