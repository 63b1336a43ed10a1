"""Entitlements: what this request may do, as the view sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from licet.core.caching import InGrace
from licet.core.claimed import NO_CLAIMS, claims_of, frozen
from licet.core.errors import FeatureNotLicensed, LicenseError, LicenseRequired
from licet.core.flow import Flow
from licet.core.grants import UNLIMITED, Fixed, Grant, nothing
from licet.core.lifecycle import Status
from licet.core.usage.account import Account

if TYPE_CHECKING:
    from licet.core.usage.charge import Charge
    from licet.core.usage.ledger import Ledger
    from licet.core.usage.rates import Rate

__all__ = ["UNLIMITED", "Entitlements", "Kind", "Status"]

#: What a license names and a view may demand.
Kind: TypeAlias = Literal["features", "scopes", "roles"]


class Entitlements:
    """A read-only view over one license, made for one request.

    Args:
        grant: the verified license; the view follows its clock.
        credential: the license token of this request, until `release`.
        source: where that token came from, for what is told with the answer.

    Attributes:
        source: the entry of `sources` the license came from, also whether it is in grace; empty
            for an installation license.
    """

    __slots__ = ("_charges", "_claims", "_credential", "_grant", "source")

    def __init__(
        self,
        grant: Grant,
        credential: bytes | None = None,
        source: str | InGrace = "",
    ) -> None:
        self._grant = grant
        self._credential = credential
        self.source = source
        self._claims: Mapping[str, object] | None = None
        #: The latest charge to each limit; None before the first.
        self._charges: dict[str, Charge] | None = None

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
    def grant(self) -> Grant:
        """The verified license, at the stage of its life that it is in now."""
        grant = self._grant
        now = grant.wall()
        if now < grant.ends_at:
            return grant
        later = grant.stage.after(grant, now)
        return grant if isinstance(later, LicenseError) else later

    @property
    def license_id(self) -> str:
        """The license's id (`sub`); empty where there is no license."""
        return self._grant.license_id

    @property
    def customer(self) -> str | None:
        """Who holds the license, in words for people."""
        return self._grant.customer

    @property
    def plan(self) -> str | None:
        """The plan's name, for people; decide by features."""
        return self.grant.terms.plan

    @property
    def features(self) -> frozenset[str]:
        """The features the license names."""
        return self.grant.terms.features

    @property
    def limits(self) -> Mapping[str, int]:
        """The limits the license names; `UNLIMITED` where it says so."""
        return self.grant.terms.limits

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes the license names."""
        return self.grant.terms.scopes

    @property
    def roles(self) -> frozenset[str]:
        """The roles the license names."""
        return self.grant.terms.roles

    @property
    def status(self) -> Status:
        """Where the license stands now."""
        grant = self.grant
        return grant.stage.status if grant.objection() is None else Status.UNLICENSED

    @property
    def issued_at(self) -> datetime | None:
        """When the license was issued, UTC."""
        return _utc(self._grant.issued_at) if self.license_id else None

    @property
    def expires_at(self) -> datetime | None:
        """When the license ends, UTC."""
        return _utc(self._grant.expires_at) if self.license_id else None

    @property
    def grace_until(self) -> datetime | None:
        """When the grace after the license's end is over, UTC; None without grace."""
        grant = self.grant
        until = grant.stage.grace_until(grant)
        return None if until is None else _utc(until)

    @property
    def verified_by(self) -> Literal["local", "online"]:
        """Who vouched for the license: its signature here, or the license server."""
        return self._grant.verified_by

    @property
    def claims(self) -> Mapping[str, object]:
        """All claims of the license, read-only, parsed on first use.

        Raises:
            RuntimeError: first used after the request ended.
        """
        if self._claims is None:
            if not self.license_id:
                return NO_CLAIMS
            credential = self._credential
            if credential is None:
                raise RuntimeError(
                    "the claims of a license can be read only while its request lasts: "
                    "read them earlier, or keep what you need of them"
                )
            kept = self._grant.claims
            self._claims = claims_of(credential) if kept is None else frozen(kept)
        return self._claims

    def __bool__(self) -> bool:
        return self.status is not Status.UNLICENSED

    def allows(self, feature: str) -> bool:
        """Whether the license holds now and names `feature`."""
        grant = self.grant
        return feature in grant.terms.features and grant.objection() is None

    def holds(self, kind: Kind, names: frozenset[str], any_of: bool = False) -> bool:
        """Whether the license holds now and has all `names` of one kind, or one with `any_of`."""
        grant = self._grant
        if grant.wall() >= grant.ends_at:
            later = self.grant
            return later is not grant and Entitlements(later).holds(kind, names, any_of)
        has: frozenset[str] = getattr(grant.terms, kind)
        if names.isdisjoint(has) if any_of else not names <= has:
            return False
        # What is at hand stands here itself: this is in front of every licensed view.
        if grant.revision == grant.standing.revision:
            return True
        return grant.objection() is None

    def limit(self, name: str) -> int:
        """Return the limit called `name`, 0 where the license does not name it."""
        return self.grant.terms.limits.get(name, 0)

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

    def charged(self, charge: Callable[[Ledger, Account], Flow[Charge]]) -> Flow[Charge | None]:
        """Have something charged to the license, and remember that it was.

        Args:
            charge: begins to charge an account in a ledger.

        Returns:
            None where nothing was charged, because nothing is enforced.

        Raises:
            LicenseError: the license does not hold, or not for so much.
            RuntimeError: nothing counts for these entitlements.
        """
        try:
            return (yield from self._charged(charge))
        except LicenseError as error:
            self._grant.standing.refuse(error)
            return None

    def _charged(self, charge: Callable[[Ledger, Account], Flow[Charge]]) -> Flow[Charge]:
        objection = self._grant.objection()
        if objection is not None:
            raise objection
        grant = self.grant
        terms = grant.terms
        ledger = grant.standing.usage
        if ledger is None:
            raise RuntimeError(
                "nothing counts what these entitlements use: they were judged by another time, "
                "or made without a gate"
            )
        account = Account(
            grant.issuer,
            grant.license_id,
            terms.plan,
            terms.limits,
            terms.periods,
            grant.expires_at,
        )
        made = yield from charge(ledger, account)
        if self._charges is None:
            self._charges = {}
        self._charges[made.limit] = made
        return made

    def rates(self) -> tuple[Rate, ...]:
        """Return how the limits stand that this request was charged to."""
        charges = self._charges
        if charges is None:
            return ()
        return tuple(one.rate for one in list(charges.values()) if one.rate is not None)

    def keep_charges(self) -> None:
        """Let what was charged stay charged: what it was charged for has been had."""
        for charge in list((self._charges or {}).values()):
            charge.keep()

    def renew(self, grant: Grant, credential: bytes) -> None:
        """Go on by what was found anew: of the same license, and perhaps for longer."""
        if grant is not self._grant:
            self._grant, self._credential, self._claims = grant, credential, None

    def release(self) -> None:
        """Let go of the credential: the request is over."""
        self._credential = None

    def __repr__(self) -> str:
        return (
            f"<Entitlements {self.license_id!r} {self.status.name} plan={self.plan!r}"
            f" features={sorted(self.features)!r}>"
        )

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("entitlements belong to one request and cannot be pickled")


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
