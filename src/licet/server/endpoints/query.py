"""What the query of an address says: numbers, of which each has one reading."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request


def number(request: Request, name: str, usual: int, least: int, most: int) -> int:
    """Return a number of the query, `usual` where it is not there.

    Args:
        request: whose query.
        name: of the parameter.
        usual: what it is where nobody says.
        least: the smallest that it may be.
        most: the largest, of 16 digits.

    Raises:
        HTTPException: 400; it is there, and is not one whole number of these.
    """
    given = request.query_params.getlist(name)
    if not given:
        return usual
    # Digits of other scripts are digits too, and a long number takes long to read.
    if len(given) == 1 and given[0].isascii() and given[0].isdigit() and len(given[0]) <= 16:
        found = int(given[0])
        if least <= found <= most:
            return found
    raise HTTPException(400, f"{name} is one whole number from {least} to {most}.")
