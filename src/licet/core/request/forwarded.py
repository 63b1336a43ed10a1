"""What forwarding header fields say, in either dialect; whom to believe is `proxies`' to decide.

Nothing here is trusted, and nothing is guessed: what does not follow the grammar says nothing.
The item furthest to the right was written last, by the proxy nearest to this process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, Protocol

from licet.core.request.addresses import Address, read_address
from licet.core.request.facts import RequestFacts

#: The longest list that is read, in characters: a hundred hops fit in.
MAX_LIST = 4096

_BLANK = " \t"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the `token` of RFC 9110
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"'
_PAIR = re.compile(rf"[ \t]*({_TOKEN})=({_TOKEN}|{_QUOTED})[ \t]*([;,]|\Z)", re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.ASCII)
#: RFC 7239, section 6: an IPv6 address stands in brackets; a port may be a number or obfuscated.
_NODE = re.compile(
    r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\])(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?", re.ASCII
)


class Dialect(Protocol):
    """One way in which proxies speak."""

    @property
    def field(self) -> str:
        """The header field that lists the hops."""
        ...

    def hops(self, lines: Sequence[str]) -> Iterator[Address | None]:
        """Yield whom each proxy saw in front of it, the nearest proxy's word first.

        None stands for a hop that is hidden, unknown or no address.
        """
        ...

    def said(self, facts: RequestFacts, what: Literal["host", "proto"]) -> str | None:
        """Return what the nearest proxy says; None where it is silent, empty where unreadable."""
        ...


class XForwarded:
    """`X-Forwarded-For`, `X-Forwarded-Host`, `X-Forwarded-Proto`: addresses without ports."""

    field = "x-forwarded-for"

    def hops(self, lines: Sequence[str]) -> Iterator[Address | None]:
        """See `Dialect`."""
        for item in reversed(",".join(lines).split(",")):
            yield read_address(item.strip(_BLANK))

    def said(self, facts: RequestFacts, what: Literal["host", "proto"]) -> str | None:
        """See `Dialect`."""
        lines = facts.fields(f"x-forwarded-{what}")
        return lines[-1].rpartition(",")[2].strip(_BLANK) if lines else None


class Forwarded:
    """`Forwarded` (RFC 7239). A field that breaks the grammar anywhere is unreadable as a whole."""

    field = "forwarded"

    def hops(self, lines: Sequence[str]) -> Iterator[Address | None]:
        """See `Dialect`."""
        for element in reversed(_elements(tuple(lines)) or ({},)):
            yield _node(element.get("for", ""))

    def said(self, facts: RequestFacts, what: Literal["host", "proto"]) -> str | None:
        """See `Dialect`."""
        lines = facts.fields(self.field)
        if not lines:
            return None
        if sum(map(len, lines)) > MAX_LIST:
            return ""
        elements = _elements(tuple(lines))
        return elements[-1].get(what) if elements else ""


DIALECTS: Mapping[str, Dialect] = {"x-forwarded": XForwarded(), "forwarded": Forwarded()}


def _node(text: str) -> Address | None:
    node = _NODE.fullmatch(text)
    if node is None:
        return None
    v4, v6 = node.groups()
    # "[192.0.2.1]" is no node, though the pattern lets it pass.
    return read_address(v4 or (v6 if ":" in v6 else ""))


@lru_cache(maxsize=256)
def _elements(lines: tuple[str, ...]) -> tuple[Mapping[str, str], ...]:
    """Return the parameters of each element, in order; nothing at all where one is malformed.

    Each line by itself: a quote that a stranger left open must not swallow the next proxy's line.
    """
    elements: list[dict[str, str]] = []
    for line in lines:
        at, end = 0, ","
        while end:
            pair = _PAIR.match(line, at)
            if pair is None:
                return ()
            if end == ",":
                elements.append({})
            name, value, end = pair[1].lower(), pair[2], pair[3]
            if name in elements[-1]:
                return ()
            elements[-1][name] = _ESCAPE.sub(r"\1", value[1:-1]) if value[0] == '"' else value
            at = pair.end()
    return tuple(elements)
