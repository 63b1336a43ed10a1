"""Reads the terms of a license from its claims; licenses that say the same share one `Terms`.

Whatever narrows a license is enforced or the license is refused: a constraint claim that is not
understood here makes the whole license invalid, because letting it pass would widen it.
"""

from __future__ import annotations

import marshal
import re
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from licet.core.constraints.custom import custom_names
from licet.core.constraints.registry import ENFORCED, STATUS, read_conditions
from licet.core.errors import LicenseInvalid
from licet.core.forks import Locked
from licet.core.grants.terms import UNLIMITED, Terms
from licet.core.lifecycle import MAX_GRACE
from licet.core.revocation.statuslist import read_reference
from licet.core.token.claims import MAX_ENTRIES, optional_text

_MAX_LIMIT = 2**53
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_PERIODS = frozenset({"minute", "hour", "day", "month", "term"})

#: The claims that make up terms and that most licenses have.
_USUAL_CLAIMS = ("plan", "features", "limits", "scope", "roles")
#: The others, which are looked up only where one is there. Licenses that agree in all of them, and
#: in constraints of one's own, share one `Terms`.
_UNUSUAL_CLAIMS = ENFORCED.union(("role", "trial", "grace", "must_understand")) - {STATUS}
_TERM_CLAIMS = (*_USUAL_CLAIMS, *sorted(_UNUSUAL_CLAIMS))


class TermsTable(Locked):
    """Terms by their content, for one gate. Feed it from payloads somebody vouched for only.

    Args:
        capacity: how many different ones are kept; the oldest gives way.
    """

    def __init__(self, capacity: int = 1024) -> None:
        super().__init__()
        self._capacity = capacity
        self._terms: OrderedDict[bytes, Terms] = OrderedDict()

    def intern(self, payload: Mapping[str, Any]) -> Terms:
        """Return the terms of `payload`, the same object for equal terms.

        Raises:
            LicenseInvalid: a license claim is not as the profile says, or narrows the license
                in a way that cannot be enforced here.
        """
        names = _USUAL_CLAIMS if _UNUSUAL_CLAIMS.isdisjoint(payload) else _TERM_CLAIMS
        values: list[Any] = [payload.get(name, ...) for name in names]
        if "must_understand" in payload:
            # Its value is each license's own; whether it is there may be insisted on.
            values.append(STATUS in payload)
        if custom := custom_names():
            # One value for all of them, or their number could make two lists of claims alike.
            values.append([payload.get(name, ...) for name in custom])
        # Version 2: later ones depend on reference counts, so equal content would differ.
        content = marshal.dumps(values, 2)
        return self._terms.get(content) or self._add(content, read_terms(payload))

    def _add(self, content: bytes, terms: Terms) -> Terms:
        with self.lock:
            terms = self._terms.setdefault(content, terms)
            if len(self._terms) > self._capacity:
                self._terms.popitem(last=False)
        return terms


def read_terms(payload: Mapping[str, Any]) -> Terms:
    """Read the license claims of `payload`.

    Raises:
        LicenseInvalid: one is not as the profile says, or cannot be enforced here.
    """
    conditions = read_conditions(payload)
    if "role" in payload and "roles" in payload:
        raise LicenseInvalid("bad_claim:role")
    trial, grace = _trial_and_grace(payload)
    if STATUS in payload:
        # Each license has its own, so it is read again of licenses whose terms are known.
        read_reference(payload[STATUS])
    limits = payload.get("limits", {})
    return Terms(
        plan=optional_text(payload, "plan"),
        features=_texts(payload, "features", _NAME),
        limits=MappingProxyType(_limits(limits)),
        # By the space alone: other white space is none of the grammar's.
        scopes=frozenset(filter(None, (optional_text(payload, "scope") or "").split(" "))),
        roles=_texts(payload, "role" if "role" in payload else "roles"),
        conditions=conditions,
        periods=_periods(limits),
        trial=trial,
        grace=grace,
    )


def _texts(
    payload: Mapping[str, Any], name: str, pattern: re.Pattern[str] | None = None
) -> frozenset[str]:
    """Return a claim that is a list of texts. A text is no list: `"a" in "abc"` is true."""
    values = payload.get(name, [])
    if name == "role" and isinstance(values, str):
        values = [values]
    if not isinstance(values, list) or len(values) > MAX_ENTRIES:
        raise LicenseInvalid(f"bad_claim:{name}")
    for value in values:
        if not isinstance(value, str) or not 1 <= len(value) <= 128 or not value.isprintable():
            raise LicenseInvalid(f"bad_claim:{name}")
        if pattern and not pattern.fullmatch(value):
            raise LicenseInvalid(f"bad_claim:{name}")
    return frozenset(values)


def _limits(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
        raise LicenseInvalid("bad_claim:limits")
    return {_limit_name(name): _limit(limit) for name, limit in value.items()}


def _limit_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise LicenseInvalid("bad_claim:limits")
    return name


def _limit(value: object) -> int:
    if isinstance(value, dict):
        period = value.get("per")
        if value.keys() != {"max", "per"} or type(period) is not str or period not in _PERIODS:
            raise LicenseInvalid("bad_claim:limits")
        value = value["max"]
    if value == "unlimited":
        return UNLIMITED
    # Not isinstance: True is an int.
    if type(value) is not int or not 0 <= value <= _MAX_LIMIT:
        raise LicenseInvalid("bad_claim:limits")
    return value


def _periods(limits: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what each limit counts over that says so, of limits that were read."""
    periods = {name: limit["per"] for name, limit in limits.items() if isinstance(limit, dict)}
    return MappingProxyType(periods)


def _trial_and_grace(payload: Mapping[str, Any]) -> tuple[bool, float | None]:
    trial = payload.get("trial", False)
    if not isinstance(trial, bool):
        raise LicenseInvalid("bad_claim:trial")
    if "grace" not in payload:
        return trial, None
    grace = payload["grace"]
    if type(grace) is not int or not 0 <= grace <= MAX_GRACE:
        raise LicenseInvalid("bad_claim:grace")
    return trial, grace
