"""`licet licenses import`: many licenses, some hundred at a time, each batch as a whole or not.

What was acknowledged is printed before the next batch is sent. Ids are drawn here where lines have
none: of a batch without an answer they are known, too, unless the command is killed. Then only
lines that bring their own ids cannot be issued twice.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO, NamedTuple

from licet.cli.admin import listing, options
from licet.cli.admin.answers import Refused, Unsure
from licet.cli.admin.connection import Server
from licet.cli.license_options import drawn_id
from licet.cli.output import DONE, Failed, once, print_json, tell, why

#: Licenses and bytes of one batch, and bytes of a line, that the server takes.
MOST, MOST_BYTES, LONGEST = 500, 7 * 2**20, 64 * 1024
#: Seconds between two lines about how far it is.
TOLD_EVERY = 2.0
_DESCRIPTION = """\
Issues many licenses. Each line of the file is one, in JSON, as POST
/v1/licenses takes it:

  {"customer": "Example GmbH", "features": ["analytics"], "expires_in": 31536000}
  {"id": "lic_7", "plan": "trial", "expires_in": 1209600, "trial": true, "key": true}

For each a line is printed, with its id, its token and any key:

  licet licenses import licenses.ndjson > issued.ndjson
  licet licenses import licenses.ndjson --after 1500 >> issued.ndjson

They go out in batches, each of which is issued as a whole or not at all. Where
it stops, it says how far it is, and by which --after it goes on. Lines whose
fate is unknown are printed with "code": "unsure". A line with an id of its own
is never issued twice."""

_ANEW = "nobody has their tokens: revoke them, and issue others"
_MISSING = "`licet audit` has the ids; revoke those that are missing, and issue others"


class _Batch(NamedTuple):
    """Lines that are sent together."""

    numbers: list[int]
    ids: list[str]
    body: bytes

    def __str__(self) -> str:
        first, last = self.numbers[0], self.numbers[-1]
        return f"line {first}" if first == last else f"lines {first} to {last}"

    @property
    def was(self) -> str:
        """The verb that its name goes with."""
        return "was" if len(self.ids) == 1 else "were"


def add_to(licenses: Any) -> None:
    """Add the command to those about licenses."""
    parser = options.add(
        licenses,
        "import",
        _run,
        help="issue many licenses",
        description=_DESCRIPTION,
        json="end with one more object where it fails; the licenses are lines of JSON anyway",
    )
    parser.add_argument("file", metavar="FILE", help="one license a line; - for standard input")
    parser.add_argument(
        "--after", metavar="N", type=listing.number, default=0, help="begin behind line N"
    )


def _run(arguments: argparse.Namespace) -> int:
    if arguments.file == "-" and arguments.admin_key == "-":
        raise Failed("standard input is one thing", "give the licenses or the key in a file")
    server = options.connect(arguments)
    done, issued, told_at = arguments.after, 0, time.monotonic()
    with _opened(arguments.file) as file:
        try:
            for batch in _batches(file, done):
                licenses = _issued(server, batch)
                # Before they are printed: what does not get out is issued all the same.
                done, issued = batch.numbers[-1], issued + len(batch.ids)
                with once(f"{batch} {batch.was} issued, and not all of it is printed: {_MISSING}"):
                    for number, each in zip(batch.numbers, licenses, strict=True):
                        print_json({"line": number, **each})
                if time.monotonic() >= told_at + TOLD_EVERY:
                    told_at = time.monotonic()
                    tell(f"{issued:,} licenses are issued")
        except BaseException as error:
            is_settled = isinstance(error, Failed) and not isinstance(error, Unsure)
            first = "" if is_settled else "when that is settled, "
            tell(f"{issued:,} licenses are issued, up to line {done}")
            tell(f"{first}--after {done} goes on behind it")
            raise
    tell(f"{issued:,} licenses are issued, up to line {done}")
    return DONE


def _opened(name: str) -> AbstractContextManager[BinaryIO]:
    if name == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise Failed("no licenses come in", "name a file, or pipe one in")
        return nullcontext(sys.stdin.buffer)
    try:
        return open(name, "rb")
    except (OSError, ValueError) as error:
        raise Failed(f"{name} cannot be read ({why(error)})", "name a file of licenses") from None


def _batches(file: BinaryIO, after: int) -> Iterator[_Batch]:
    """Return what is behind a line of a file, in batches."""
    numbers: list[int] = []
    ids: list[str] = []
    lines: list[bytes] = []
    size = 0
    for number, line in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), 1):
        if number <= after or not line.strip():
            continue
        license_id, text = _read(line, number)
        if len(lines) >= MOST or size + len(text) > MOST_BYTES:
            yield _Batch(numbers, ids, b"".join(lines))
            numbers, ids, lines, size = [], [], [], 0
        numbers.append(number)
        ids.append(license_id)
        lines.append(text)
        size += len(text)
    if lines:
        yield _Batch(numbers, ids, b"".join(lines))


def _read(line: bytes, number: int) -> tuple[str, bytes]:
    """Return the id of a line, and the line with it."""
    from licet.core.token import strictjson

    try:
        if len(line) > LONGEST:
            raise ValueError
        license_ = strictjson.loads(line)
    except ValueError:
        problem = f"line {number} is no JSON object of {LONGEST} bytes at most"
        raise Failed(problem, "`licet licenses import --help` shows how one is written") from None
    if license_.get("id") is None:
        license_["id"] = drawn_id()
    return str(license_["id"]), json.dumps(license_).encode() + b"\n"


def _issued(server: Server, batch: _Batch) -> list[Any]:
    """Have a batch issued, and return what comes back."""
    unsure = (
        f"whether {batch} {batch.was} issued",
        f"`licet licenses show {batch.ids[0]}` tells it for all of them; {_ANEW}",
    )
    try:
        answer = server.change(
            "POST",
            "licenses",
            "import",
            done=lambda answer: list(map(_id, _listed(answer))) == batch.ids,
            body=batch.body,
            unsure=unsure,
        )
    except Refused as refused:
        raise _placed(refused, batch) from None
    except (Unsure, KeyboardInterrupt) as error:
        for number, license_id in zip(batch.numbers, batch.ids, strict=True):
            print_json({"line": number, "id": license_id, "code": Unsure.code})
        if isinstance(error, KeyboardInterrupt):
            tell(f"{unsure[0]} is unknown: {unsure[1]}")
        raise
    return _listed(answer)


def _listed(answer: dict[str, Any]) -> list[Any]:
    issued = answer.get("licenses")
    return issued if isinstance(issued, list) else []


def _id(issued: object) -> object:
    return issued.get("id") if isinstance(issued, dict) else None


def _placed(refused: Refused, batch: _Batch) -> Refused:
    """Return a refusal of a batch with the number that its license has in the file."""
    match = re.match(r"License ([0-9]{1,4}): ", refused.remedy)
    if match and 1 <= int(match[1]) <= len(batch.numbers):
        said = refused.remedy[match.end() :]
        return refused.about(f"line {batch.numbers[int(match[1]) - 1]}: {said}")
    return refused.about(f"{batch}: {refused.remedy}")
