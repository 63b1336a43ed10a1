"""A request as a test wants it, and a store that remembers what it was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from licet.core.stores import Key


@dataclass
class Presented:
    """The facts of a request; all of them may be changed."""

    method: str = "GET"
    path: str = "/reports"
    query_string: str = ""
    is_handshake: bool = False
    scheme: str = "https"
    peer: str | None = "192.0.2.7"
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    variables: Mapping[str, object] = field(default_factory=dict)
    host: str | None = None
    is_judged: bool = False
    lists_hosts: bool = True
    absolute_target: str | None = None

    def fields(self, name: str) -> Sequence[str]:
        return self.lines.get(name, ())

    def origin(self) -> str | None:
        return None

    def vouched_host(self) -> str | None:
        return self.host

    def server_variable(self, name: str) -> object:
        return self.variables.get(name)


@dataclass
class _Recorded:
    """The effect of recording one key."""

    store: Replays
    key: Key
    ttl: float

    def run(self) -> bool:
        if self.store.trouble:
            raise self.store.trouble
        new = self.key not in self.store.seen
        self.store.seen.setdefault(self.key, self.ttl)
        return new

    async def arun(self) -> bool:
        return self.run()


class Replays:
    """Remembers keys, with the seconds they were to be remembered; may be in trouble."""

    def __init__(self) -> None:
        self.seen: dict[Key, float] = {}
        self.trouble: Exception | None = None

    def set_if_absent(self, key: Key, ttl: float) -> _Recorded:
        return _Recorded(self, key, ttl)
