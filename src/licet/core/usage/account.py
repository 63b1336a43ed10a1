"""Whose use is counted: a license, by its issuer and id, and what it permits.

Both come out of what was verified. A token that is issued anew for a license finds what was used
with the one before; nothing that a request says finds another license's counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from licet.core.errors import FeatureNotLicensed


class Account(NamedTuple):
    """A license, as far as it is counted.

    Attributes:
        issuer: its `iss`.
        license_id: its `sub`.
        plan: text for people.
        limits: name to number, `UNLIMITED` where the license says so.
        periods: name to period, where the license says its own.
        ends_at: when it ends, seconds since the epoch.
    """

    issuer: str
    license_id: str
    plan: str | None
    limits: Mapping[str, int]
    periods: Mapping[str, str]
    ends_at: float

    def maximum(self, name: str) -> int:
        """Return the limit called `name`.

        Raises:
            FeatureNotLicensed: the license names none.
        """
        maximum = self.limits.get(name)
        if maximum is None:
            raise FeatureNotLicensed(members={"required": [name], "plan": self.plan})
        return maximum
