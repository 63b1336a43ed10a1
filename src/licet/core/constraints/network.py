"""`ip_ranges`: the networks a license holds in. An unknown client address is in none of them.

The claim is its issuer's word; it is read strictly all the same, because a network that means
another than was meant opens the license to strangers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from licet.core.errors import LicenseInvalid
from licet.core.request.addresses import AddressRanges, read_network
from licet.core.token.claims import MAX_ENTRIES

if TYPE_CHECKING:
    from licet.core.request.circumstances import Circumstances


@dataclass(frozen=True, slots=True)
class Networks:
    """The claim `ip_ranges`, compiled.

    Attributes:
        ranges: where the license holds.
    """

    code: ClassVar[str] = "license_ip"

    ranges: AddressRanges

    @classmethod
    def read(cls, value: object) -> Networks:
        """Compile the claim: networks without host bits, or single addresses.

        Raises:
            LicenseInvalid: it is no list of them, is empty, or leaves no address out.
        """
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_ENTRIES:
            raise LicenseInvalid("bad_claim:ip_ranges")
        networks = []
        for entry in value:
            network = read_network(entry)
            if network is None:
                raise LicenseInvalid("bad_claim:ip_ranges")
            networks.append(network)
        try:
            return cls(AddressRanges(networks))
        except ValueError:
            raise LicenseInvalid("bad_claim:ip_ranges") from None

    def holds(self, circumstances: Circumstances) -> bool:
        """Whether the client's address is known and in one of the networks."""
        address = circumstances.address()
        return address is not None and address in self.ranges
