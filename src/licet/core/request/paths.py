"""Paths: how they are spelt, and which of them need no license.

For an exemption a path is compared as the server decoded it once. One that another component
could read as a different path (dot segments, doubled slashes, `;`, a second level of
percent-encoding) is never exempt, whatever the rules say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from licet.core.errors import ConfigError

_TRICKY = re.compile(r"//|\\|;|%|[\x00-\x1f\x7f-\x9f]|(?:^|/)\.{1,2}(?:/|$)")
#: What may stand in a path as it is (RFC 3986, section 3.3); clients leave it so.
_AS_IT_IS = "/!$&'()*+,;=:@"


def spelt(decoded: str | bytes) -> str:
    """Return a path that a server has decoded as most clients send it, percent-encoded."""
    return quote(decoded, safe=_AS_IT_IS)


def whole(path: str, root: str | bytes) -> str:
    """Return the whole path of a request, percent-encoded.

    Behind a proxy that takes a prefix off, what arrives lacks it, and only the root that the
    server or the application was told of has it.

    Args:
        path: as it arrived, percent-encoded.
        root: of the application, decoded: `root_path`, `SCRIPT_NAME`.
    """
    above = spelt(root).rstrip("/")
    # What does not begin with a slash is no path, and would continue the root's last segment.
    if path == above or path.startswith(above + "/") or path[:1] != "/":
        return path
    return above + path


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
