"""Which keys a license server's answers may be signed with.

Where the settings name some, those and no others, whatever becomes of the issuer's key set; else
the issuer's, among them the ones that came with the installation until a set was seen.
"""

from __future__ import annotations

from licet.core.errors import KeysUnavailable, LicenseInvalid
from licet.core.flow import Flow
from licet.core.keys.jwk import KeySet, VerifyKey
from licet.core.keys.keystore import KeyStore
from licet.core.online.question import KeyMissing, Undecided


class AnswerKeys:
    """Finds the key of an answer.

    Args:
        issued: the issuer's keys.
        own: the only ones that are believed instead; None for none.
    """

    def __init__(self, issued: KeyStore, own: KeySet | None = None) -> None:
        self._issued = issued
        self._own = own

    def warm(self) -> None:
        """Begin to fetch the issuer's keys where they will be needed and are not there."""
        if self._own is None:
            self._issued.warm()

    def at_hand(self, kid: str, alg: str) -> VerifyKey:
        """Return a key that may have signed an answer, without waiting.

        Raises:
            KeyMissing: there is none at hand.
            Undecided: there is none at all.
        """
        if self._own is not None:
            key = self._own.keys.get((kid, alg))
            if key is None:
                raise Undecided("unknown_key")
            return key
        found = self._issued.at_hand(kid, alg)
        if found is not None:
            return found[1]
        # Too old to serve licenses by, but nothing newer was ever seen.
        floor = self._issued.snapshot
        if floor is not None and floor.source == "floor" and (kid, alg) in floor.keys:
            return floor.keys[kid, alg]
        raise KeyMissing(kid, alg)

    def look_for(self, kid: str, alg: str, patience: float) -> Flow[None]:
        """Have the issuer's keys fetched for one that is missing.

        Args:
            kid: its id.
            alg: its algorithm.
            patience: seconds to wait at most.

        Raises:
            Undecided: it is not there, or cannot be had in time.
        """
        try:
            yield from self._issued.find(kid, alg, patience)
        except KeysUnavailable:
            raise Undecided("keys_unavailable") from None
        except LicenseInvalid:
            raise Undecided("unknown_key") from None
