"""What licenses say may be used: shared by all that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from licet.core.constraints.registry import Conditions

#: What `limits` says where nothing is limited: comparisons with a count do the right thing.
UNLIMITED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Terms:
    """What a license says may be used.

    Attributes:
        plan: text for people; never decides.
        features: what `requires_feature` asks for.
        limits: name to number, `UNLIMITED` where the license says so.
        scopes: the words of `scope` (RFC 6749, section 3.3).
        roles: what `requires_role` asks for.
        conditions: what the request itself has to meet; None for most licenses.
        periods: limit name to the period it is counted over, where the license says its own.
        trial: whether it is a license to try.
        grace: seconds after its end for which it still serves; None where it does not say.
    """

    plan: str | None
    features: frozenset[str]
    limits: Mapping[str, int]
    scopes: frozenset[str]
    roles: frozenset[str]
    conditions: Conditions | None = None
    periods: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    trial: bool = False
    grace: float | None = None
