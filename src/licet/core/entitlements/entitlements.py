"""Entitlements: what this request may do, as the view sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from licet.core.caching import InGrace
from licet.core.entitlements.claimed import NO_CLAIMS, claims_of, frozen
from licet.core.entitlements.rights import Kind, Rights
from licet.core.errors import FeatureNotLicensed, LicenseError, LicenseRequired
from licet.core.flow import Flow
from licet.core.grants import UNLIMITED, Fixed, Grant, nothing
from licet.core.lifecycle import Status
from licet.core.usage.charges import Charges

if TYPE_CHECKING:
    from licet.core.usage.charge import Charge
    from licet.core.usage.charges import Charging
    from licet.core.usage.rates import Rate

__all__ = ["UNLIMITED", "Entitlements", "Kind", "Status"]


class Entitlements(Rights):
    """A read-only view over one license, made for one request.

    Args:
        grant: the verified license; the view follows its clock.
        credential: the license token of this request, until `release`.
        source: where that token came from, for what is told with the answer.

    Attributes:
        source: the entry of `sources` the license came from, also whether it is in grace; empty
            for an installation license.
        charges: what the request was charged; None as long as it was charged nothing.
    """

    _claims: Mapping[str, object] | None
    __slots__ = ("_claims", "_credential", "charges", "source")

    def __init__(
        self,
        grant: Grant,
        credential: bytes | None = None,
        source: str | InGrace = "",
    ) -> None:
        self._grant = grant
        self._credential = credential
        self.source = source
        self.charges: Charges | None = None

    @classmethod
    def unlicensed(
        cls,
        error: LicenseError | None = None,
        refuse: Callable[[LicenseError], None] | None = None,
    ) -> Entitlements:
        """Return what a request without a license may do: nothing.

        Args:
            error: what made it so; `LicenseRequired` where nothing did.
            refuse: what becomes of what it may not do; raises it by default.
        """
        # A new one of the same kind: one exception raised in two threads mixes their traces,
        # and the frames of this one's trace hold the credential.
        grant = nothing(LicenseRequired() if error is None else error.again())
        if refuse is not None:
            grant.standing = Fixed(refuse)
        return cls(grant)

    @property
    def claims(self) -> Mapping[str, object]:
        """All claims of the license, read-only, parsed on first use.

        Raises:
            RuntimeError: first used after the request ended.
        """
        # Not set before it is asked for: every request makes one of these, and few ask.
        claims: Mapping[str, object] | None = getattr(self, "_claims", None)
        if claims is None:
            if not self.license_id:
                return NO_CLAIMS
            credential = self._credential
            if credential is None:
                raise RuntimeError(
                    "the claims of a license can be read only while its request lasts: "
                    "read them earlier, or keep what you need of them"
                )
            kept = self._grant.claims
            claims = self._claims = claims_of(credential) if kept is None else frozen(kept)
        return claims

    def require(self, *features: str) -> None:
        """Demand that the license holds now and names all `features`.

        Raises:
            LicenseError: the license does not hold: what made it so.
            FeatureNotLicensed: it does not name them all.
        """
        if not self.holds("features", frozenset(features)):
            self.refuse(FeatureNotLicensed, features)

    def require_license(self) -> None:
        """Demand that the license holds now.

        Raises:
            LicenseError: what made it not hold.
        """
        objection = self._grant.objection()
        if objection is not None:
            self._grant.standing.refuse(objection)

    def refuse(self, kind: type[LicenseError], required: Iterable[str]) -> None:
        """Refuse what the license does not name, or what made it not hold.

        Args:
            kind: of refusal, where the license holds.
            required: the names that were demanded.

        Raises:
            LicenseError: the refusal, unless nothing is enforced.
        """
        refusal = self._grant.objection()
        if refusal is None:
            refusal = kind(members={"required": list(required), "plan": self.plan})
        self._grant.standing.refuse(refusal)

    def charged(self, charging: Charging) -> Flow[Charge | None]:
        """Have something charged to the license, and remember that it was.

        Args:
            charging: begins to charge an account in a ledger.

        Returns:
            None where nothing was charged, because nothing is enforced.

        Raises:
            LicenseError: the license does not hold, or not for so much.
            RuntimeError: nothing counts for these entitlements.
        """
        return self.charged_so_far().charge(self.grant, charging)

    def charged_so_far(self) -> Charges:
        """Return what the request was charged, beginning with nothing."""
        if self.charges is None:
            self.charges = Charges()
        return self.charges

    def rates(self) -> tuple[Rate, ...]:
        """Return how the limits stand that this request was charged to."""
        return () if self.charges is None else self.charges.rates()

    def renew(self, grant: Grant, credential: bytes) -> None:
        """Go on by what was found anew: of the same license, and perhaps for longer."""
        if grant is not self._grant:
            self._grant, self._credential, self._claims = grant, credential, None

    def release(self) -> None:
        """Let go of the credential: the request is over."""
        self._credential = None

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("entitlements belong to one request and cannot be pickled")
