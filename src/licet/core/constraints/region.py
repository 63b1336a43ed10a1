"""`regions`: the countries and subdivisions a license holds in (ISO 3166-1 and 3166-2).

A country covers its subdivisions, never the other way round. An unknown region is in none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from licet.core.errors import LicenseInvalid
from licet.core.request.regions import REGION
from licet.core.token.claims import MAX_ENTRIES

if TYPE_CHECKING:
    from licet.core.request.circumstances import Circumstances


@dataclass(frozen=True, slots=True)
class Regions:
    """The claim `regions`, compiled.

    Attributes:
        codes: where the license holds.
    """

    code: ClassVar[str] = "license_region"

    codes: frozenset[str]

    @classmethod
    def read(cls, value: object) -> Regions:
        """Compile the claim: codes such as `DE` and `US-CA`, in capitals as ISO writes them.

        Raises:
            LicenseInvalid: it is no list of them, or is empty.
        """
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_ENTRIES:
            raise LicenseInvalid("bad_claim:regions")
        for entry in value:
            if not isinstance(entry, str) or not REGION.fullmatch(entry):
                raise LicenseInvalid("bad_claim:regions")
        return cls(frozenset(value))

    def holds(self, circumstances: Circumstances) -> bool:
        """Whether the region is known, and it or its country is listed."""
        region = circumstances.region()
        if region is None:
            return False
        return region in self.codes or region.partition("-")[0] in self.codes
