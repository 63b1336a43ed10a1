"""Which claims narrow a license to some requests, and what reads each of them.

Every one of them is enforced or the license is refused. A claim that is known here is read
whether or not the license insists on it; `must_understand` names those that it does insist on, and
a name of anything else, or of what is not in the license, refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from licet.core.constraints.custom import Custom, custom_names
from licet.core.constraints.domain import Domains
from licet.core.constraints.network import Networks
from licet.core.constraints.region import Regions
from licet.core.constraints.window import Windows
from licet.core.errors import ConstraintViolated, LicenseInvalid
from licet.core.events.log import escape
from licet.core.possession.binding import Binding, read_cnf
from licet.core.token.claims import MAX_ENTRIES

if TYPE_CHECKING:
    from licet.core.request.circumstances import Circumstances

#: For how many different places of requests one license remembers that it holds there.
MOST_PLACES = 1024
#: The claim that names a status list. It is each license's own, and judged where licenses are
#: withdrawn.
STATUS = "status"


class Constraint(Protocol):
    """A constraint claim, compiled. Shared between threads and requests: it never changes."""

    @property
    def code(self) -> str:
        """One of the codes of `ConstraintViolated`."""
        ...

    def holds(self, circumstances: Circumstances) -> bool:
        """Whether the license holds for this request.

        Raises:
            LicenseError: it does not, or that cannot be told, for a reason of its own.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """One constraint of a license.

    Attributes:
        claim: the name of its claim.
        constraint: what it says.
        seen: what it was held against, for the log of this side.
        steady: whether it holds again for all that `Circumstances.evidence` calls equal.
    """

    claim: str
    constraint: Constraint
    seen: Callable[[Circumstances], object]
    steady: bool = False

    def violated(self, circumstances: Circumstances) -> ConstraintViolated:
        """Return the refusal: which rule it was, and never what it would have permitted."""
        seen = escape(str(self.seen(circumstances)), 128)
        return ConstraintViolated(
            f"{self.claim}:{seen}", code=self.constraint.code, members={"constraint": self.claim}
        )


@dataclass(frozen=True, slots=True)
class _Claim:
    """How a claim is read.

    Attributes:
        read: from the claim's value to the constraint.
        seen: see `Rule`.
        singular: other names of the claim, whose value is one entry or a list of them.
        steady: see `Rule`.
    """

    read: Callable[[Any], Constraint]
    seen: Callable[[Circumstances], object] = lambda circumstances: "refused"
    singular: tuple[str, ...] = ()
    steady: bool = False


_STANDARD = {
    "domains": _Claim(Domains.read, lambda seen: seen.domain(), ("domain",), steady=True),
    "ip_ranges": _Claim(Networks.read, lambda seen: seen.address(), ("ip_range",), steady=True),
    "regions": _Claim(Regions.read, lambda seen: seen.region(), ("region",)),
    "time_windows": _Claim(Windows.read, lambda seen: seen.now, ("time_window", "time_limit")),
}
#: Every name of a claim that narrows a license and is judged here, but for those of one's own.
ENFORCED = frozenset(
    ("cnf", STATUS, *_STANDARD, *(name for claim in _STANDARD.values() for name in claim.singular))
)


class Conditions:
    """What a license demands of each request.

    Args:
        rules: its constraints, in the order in which they are judged.
        binding: the key or certificate its sender has to hold; judged last, and not here.
    """

    __slots__ = ("_met", "_steady", "_unsteady", "binding", "rules")

    def __init__(self, rules: tuple[Rule, ...] = (), binding: Binding | None = None) -> None:
        self.rules = rules
        self.binding = binding
        self._steady = tuple(rule for rule in rules if rule.steady)
        self._unsteady = tuple(rule for rule in rules if not rule.steady)
        #: For what evidence the steady rules were seen to hold; most requests come from few places.
        self._met: set[Hashable] = set()

    def check(self, circumstances: Circumstances) -> None:
        """See to it that every rule holds.

        Raises:
            ConstraintViolated: names the first one that does not.
            LicenseError: it cannot be told, because the host is unclear for instance.
        """
        if self._steady:
            evidence = circumstances.evidence()
            if evidence is None or evidence not in self._met:
                _check(self._steady, circumstances)
                if evidence is not None:
                    # Not emptied: another thread may be looking into it.
                    kept = self._met if len(self._met) < MOST_PLACES else set()
                    kept.add(evidence)
                    self._met = kept
        if self._unsteady:
            _check(self._unsteady, circumstances)


def _check(rules: tuple[Rule, ...], circumstances: Circumstances) -> None:
    for rule in rules:
        if not rule.constraint.holds(circumstances):
            raise rule.violated(circumstances)


def read_conditions(payload: Mapping[str, Any]) -> Conditions | None:
    """Return what a license demands of requests, None where it is nothing.

    Raises:
        LicenseInvalid: a claim is malformed, is there in two spellings, cannot be enforced here,
            or is insisted on and not known.
    """
    rules = tuple(_rules(payload))
    binding = read_cnf(payload["cnf"]) if "cnf" in payload else None
    if "must_understand" in payload:
        _check_must_understand(payload["must_understand"], narrowing(payload))
    return Conditions(rules, binding) if rules or binding else None


def narrowing(payload: Mapping[str, Any]) -> frozenset[str]:
    """Return the names, as they are spelt there, of the claims that narrow a license here."""
    return ENFORCED.union(custom_names()).intersection(payload)


def _rules(payload: Mapping[str, Any]) -> Iterator[Rule]:
    custom = {name: _Claim(partial(Custom.read, name)) for name in custom_names()}
    for name, claim in (*_STANDARD.items(), *custom.items()):
        spellings = [each for each in (name, *claim.singular) if each in payload]
        if len(spellings) > 1:
            raise LicenseInvalid(f"bad_claim:{name}")
        for spelling in spellings:
            value = payload[spelling]
            if spelling in claim.singular and not isinstance(value, list):
                value = [value]
            yield Rule(name, claim.read(value), claim.seen, claim.steady)


def _check_must_understand(names: object, understood: Collection[str]) -> None:
    if not isinstance(names, list) or len(names) > MAX_ENTRIES:
        raise LicenseInvalid("bad_claim:must_understand")
    for name in names:
        if not isinstance(name, str):
            raise LicenseInvalid("bad_claim:must_understand")
        if name not in understood:
            raise LicenseInvalid("must_understand")
