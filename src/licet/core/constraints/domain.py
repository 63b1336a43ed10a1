"""Domains: a license that holds for some hosts only.

Trusted is the host it is given, as `request.hosts` spells it. A wildcard stands for one whole
label. A public suffix is nobody's domain, so no entry names one, no wildcard stands right under
one, and none covers one: whoever matches an entry belongs to whom the entry belongs to.
"""

from __future__ import annotations

import logging
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import idna

from licet.core.errors import BadHost, LicenseInvalid
from licet.core.forks import Locked
from licet.core.request.hosts import MAX_NAME, read_literal, read_name
from licet.core.token.claims import MAX_ENTRIES

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

    from licet.core.request.circumstances import Circumstances

logger = logging.getLogger("licet")

# Not `str.lower`, which takes the Kelvin sign for a k.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True, slots=True)
class Domains:
    """The claim `domains`, compiled.

    Attributes:
        names: hosts that are allowed as they stand.
        parents: names of which each host one label longer is allowed.
    """

    code: ClassVar[str] = "license_domain"

    names: frozenset[str]
    parents: frozenset[str]

    @classmethod
    def read(cls, value: object) -> Domains:
        """Compile the claim.

        Args:
            value: a list of host names (A- or U-labels of IDNA 2008, RFC 5890), `*.` and such a
                name, and IP addresses.

        Raises:
            LicenseInvalid: it is no such list, is empty, or holds a wildcard while the list of
                public suffixes is not installed.
        """
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_ENTRIES:
            raise LicenseInvalid("bad_claim:domains")
        names, parents = set[str](), set[str]()
        for entry in value:
            wildcard = isinstance(entry, str) and entry.startswith("*.")
            host = _read_entry(entry[2:] if wildcard else entry, wildcard=wildcard)
            (parents if wildcard else names).add(host)
        return cls(frozenset(names), frozenset(parents))

    def holds(self, circumstances: Circumstances) -> bool:
        """Whether the host is listed, or one label longer than a wildcard's name.

        Raises:
            BadHost: the request has no host, or not one.
        """
        host = circumstances.domain()
        return host is not None and self.allows(host)

    def allows(self, host: str) -> bool:
        """Whether a host is listed, or one label longer than a wildcard's name.

        Args:
            host: as `licet.core.request.hosts` spells it.
        """
        if host in self.names:
            return True
        return host.partition(".")[2] in self.parents and not _is_suffix(host)


def _read_entry(entry: object, *, wildcard: bool) -> str:
    """Return the canonical host of an entry, `*.` of a wildcard already left out."""
    if not isinstance(entry, str) or len(entry) > MAX_NAME + len("."):
        raise LicenseInvalid("bad_claim:domains")
    try:
        address = read_literal(f"[{entry}]" if entry.count(":") > 1 and entry[0] != "[" else entry)
        if address and not wildcard:
            return address
        name = read_name(".".join(map(_a_label, entry.translate(_LOWER).split("."))))
    except (BadHost, ValueError):
        raise LicenseInvalid("bad_claim:domains") from None
    if suffixes.forbid(name, wildcard=wildcard):
        raise LicenseInvalid("bad_claim:domains")
    return name


def _a_label(label: str) -> str:
    # ASCII is judged with the whole name, what begins with `xn--` included.
    return label if label.isascii() else idna.alabel(label).decode()


class PublicSuffixes(Locked):
    """The public suffix list, its private part included, if it is installed; read when needed."""

    def __init__(self) -> None:
        super().__init__()
        self._list: PublicSuffixList | None = None
        self._missing = False

    def forbid(self, name: str, *, wildcard: bool) -> bool:
        """Whether no license may hold for `name`; with `wildcard`, for all right under it.

        Top-level names that the list does not know count as suffixes (its own last rule), but a
        license may hold for one alone: `localhost`, or a machine in an intranet. Without the list
        any one name may be had, for nobody can take it for more than it is.

        Raises:
            LicenseInvalid: a wildcard cannot be judged, because the list is not installed.
        """
        if self._list is None and not self._missing:
            self._load()
        if self._list is not None:
            return self._list.publicsuffix(name, accept_unknown=wildcard) == name
        if wildcard:
            raise LicenseInvalid("missing_extra:domains")
        return False

    def _load(self) -> None:
        with self.lock:
            if self._list is not None or self._missing:
                return
            try:
                from publicsuffixlist import PublicSuffixList
            except ModuleNotFoundError:
                self._missing = True
                logger.error(
                    "licenses with a wildcard in `domains` are refused, because the public suffix"
                    ' list is not installed: pip install "licet[domains]"'
                )
            else:
                self._list = PublicSuffixList()


suffixes = PublicSuffixes()


@lru_cache(maxsize=1024)
def _is_suffix(host: str) -> bool:
    return suffixes.forbid(host, wildcard=False)
