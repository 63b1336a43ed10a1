"""Where in a request the one credential is.

Nothing here is trusted. Exactly one of the listed sources may carry a credential, once: picking
the first or the last of two would let a stranger choose which of them is judged, and by whom.
A source that is not listed is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl

from licet.core.errors import ConfigError, LicenseAmbiguous, LicenseInvalid
from licet.core.request.facts import RequestFacts

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
# WSGI joins equal fields with a comma, so a second credential may hide behind another scheme.
_HIDDEN = re.compile(r",\s*(?:bearer|dpop)(?:\s|$)", re.ASCII | re.IGNORECASE)
_MAX_PARAMETERS = 1_000
#: Methods that change nothing, where a cookie may speak for its browser (RFC 9110, section 9.2.1).
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a credential may be, compiled from the setting `sources`.

    Attributes:
        headers: header field names in lower case.
        cookies: cookie names.
        queries: names of query parameters.
    """

    headers: tuple[str, ...]
    cookies: tuple[str, ...]
    queries: tuple[str, ...]

    @classmethod
    def of(cls, sources: Sequence[str]) -> Sources:
        """Compile checked `sources`."""
        named: dict[str, list[str]] = {"": [], "cookie": [], "query": []}
        for source in sources:
            kind, _, name = source.rpartition(":")
            named[kind].append(name)
        return cls(*(tuple(names) for names in named.values()))

    @staticmethod
    def checked(sources: Sequence[str]) -> tuple[str, ...]:
        """Return `sources` with header names in lower case.

        Raises:
            ConfigError: one is no header name, `cookie:NAME` or `query:NAME`, or stands twice.
        """
        checked = []
        for source in sources:
            kind, colon, name = source.rpartition(":")
            # A kind is a header name too, but whoever writes it alone has forgotten what follows.
            kinded = (kind if colon else name.lower()) in ("cookie", "query")
            if kinded != bool(colon) or not _TOKEN.fullmatch(name):
                raise ConfigError(
                    "sources", f"holds {source!r}", "write a header name, cookie:NAME or query:NAME"
                )
            checked.append(source if kind else name.lower())
        if len(set(checked)) != len(checked):
            raise ConfigError("sources", "repeats an entry", "name each once")
        return tuple(checked)


class Credential(NamedTuple):
    """What was presented, and how.

    Attributes:
        value: the credential's bytes; a secret.
        source: the entry of `sources` it came from.
        scheme: `bearer` or `dpop` (RFC 9449) where it came in `Authorization`, else empty.
    """

    value: bytes
    source: str
    scheme: str = ""

    def __repr__(self) -> str:
        return f"Credential(source={self.source!r})"


def find_credential(facts: RequestFacts, sources: Sources) -> Credential | None:
    """Return the one credential of the request, or None where there is none.

    Raises:
        LicenseAmbiguous: there are two, in one source or in two, even when they are equal.
        LicenseInvalid: a listed source is present and empty, or cannot be a credential.
    """
    found = []
    for name in sources.headers:
        if lines := facts.fields(name):
            if len(lines) > 1:
                raise LicenseAmbiguous("repeated_field")
            found += (_authorization if name == "authorization" else _field)(name, lines[0])
    if sources.cookies and (cookies := facts.fields("cookie")):
        found += _cookies(sources.cookies, cookies, facts)
    if sources.queries and facts.query_string:
        found += _queries(sources.queries, facts.query_string)
    if not found:
        return None
    if len(found) > 1:
        raise LicenseAmbiguous("two_credentials")
    text, source, scheme = found[0]
    if not text:
        raise LicenseInvalid("empty")
    try:
        return Credential(text.encode("ascii"), source, scheme)
    except UnicodeEncodeError:
        raise LicenseInvalid("malformed") from None


_Found = list[tuple[str, str, str]]


def _field(name: str, line: str, scheme: str = "") -> _Found:
    if "," in line:
        raise LicenseAmbiguous("repeated_field")
    return [(line.strip(" \t"), name, scheme)]


def _authorization(name: str, line: str) -> _Found:
    """Return the credential of `Authorization` (RFC 9110, section 11.6.2), if it carries one."""
    scheme, _, text = line.strip(" \t").partition(" ")
    scheme = scheme.lower()
    if scheme in ("bearer", "dpop"):
        return _field(name, text, scheme)
    if _HIDDEN.search(line):
        raise LicenseAmbiguous("repeated_field")
    return [] if scheme else [("", name, "")]


def _cookies(names: Sequence[str], lines: Sequence[str], facts: RequestFacts) -> _Found:
    """Return the credentials among the cookies (RFC 6265, section 4.2.1), if they count."""
    found: _Found = []
    for line in lines:
        for pair in line.split(";"):
            name, equals, value = pair.strip(" \t").partition("=")
            if equals and name in names:
                found.append((value, f"cookie:{name}", ""))
    return found if not found or _speaks_for_itself(facts) else []


def _speaks_for_itself(facts: RequestFacts) -> bool:
    """Whether the request is the user's own and not one that another site made the browser send."""
    if facts.method in _SAFE and not facts.is_handshake:
        return True
    site = facts.fields("sec-fetch-site")
    if site:
        return len(site) == 1 and site[0] in ("same-origin", "none")
    origin = facts.fields("origin")
    return len(origin) == 1 and origin[0].lower() == facts.origin()


def _queries(names: Sequence[str], query_string: str) -> _Found:
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise LicenseInvalid("too_many_parameters") from None
    return [(value, f"query:{name}", "") for name, value in pairs if name in names]
