"""Which paths need no license.

A path is compared as the server decoded it once. One that another component could read as a
different path (dot segments, doubled slashes, `;`, a second level of percent-encoding) is never
exempt, whatever the rules say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from licet.core.errors import ConfigError

_TRICKY = re.compile(r"//|\\|;|%|[\x00-\x1f\x7f-\x9f]|(?:^|/)\.{1,2}(?:/|$)")


def exempt_path(name: str, value: str) -> str:
    """Return `value` if it is a path, or a path and `/*`.

    Raises:
        ConfigError: it is neither, would exempt everything, or could never be anything's path.
    """
    path = value.removesuffix("/*")
    if value == "/*":
        raise ConfigError(name, "exempts everything", "remove the middleware instead")
    if not path.startswith("/") or re.search(r"[*?#]", path) or _TRICKY.search(value):
        raise ConfigError(
            name, f"holds {value!r}", "write /health for one path or /static/* for all below it"
        )
    return value


class ExemptPaths:
    """The rules of `exempt_paths`, compiled: `path in exempt_paths`.

    Args:
        rules: as checked by `exempt_path`.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        rules = tuple(rules)
        self._exact = frozenset(rule for rule in rules if not rule.endswith("/*"))
        self._below = tuple(rule.removesuffix("*") for rule in rules if rule.endswith("/*"))

    def __bool__(self) -> bool:
        return bool(self._exact or self._below)

    def __contains__(self, path: str) -> bool:
        """Whether `path`, decoded once and relative to the application's root, is exempt."""
        if path not in self._exact and not path.startswith(self._below):
            return False
        return _TRICKY.search(path) is None
