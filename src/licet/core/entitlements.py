"""Entitlements: what this request may do, as the view sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from licet.core.errors import FeatureNotLicensed, LicenseError, LicenseRequired
from licet.core.grants import UNLIMITED, Grant, Terms
from licet.core.lifecycle import Status
from licet.core.token import base64url, strictjson
from licet.core.token.claims import Claims

__all__ = ["UNLIMITED", "Entitlements", "Kind", "Status"]

#: What a license names and a view may demand.
Kind: TypeAlias = Literal["features", "scopes", "roles"]


class Entitlements:
    """A read-only view over one license, made for one request.

    Args:
        grant: the verified license; the view follows its clock.
        credential: the license token of this request, until `release`.
        source: where that token came from, for the caches between.

    Attributes:
        source: the entry of `sources` the license came from; empty for an installation license.
    """

    __slots__ = ("_claims", "_credential", "_grant", "source")

    def __init__(
        self,
        grant: Grant,
        credential: bytes | None = None,
        source: str = "",
    ) -> None:
        self._grant = grant
        self._credential = credential
        self.source = source
        self._claims: Mapping[str, object] | None = None

    @classmethod
    def unlicensed(cls, error: LicenseError | None = None) -> Entitlements:
        """Return what a request without a license may do: nothing.

        Args:
            error: what made it so; `LicenseRequired` where nothing did.
        """
        # A new one of the same kind: one exception raised in two threads mixes their traces,
        # and the frames of this one's trace hold the credential.
        return cls(_nothing(LicenseRequired() if error is None else error.again()))

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
        return self._grant.terms.plan

    @property
    def features(self) -> frozenset[str]:
        """The features the license names."""
        return self._grant.terms.features

    @property
    def limits(self) -> Mapping[str, int]:
        """The limits the license names; `UNLIMITED` where it says so."""
        return self._grant.terms.limits

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes the license names."""
        return self._grant.terms.scopes

    @property
    def roles(self) -> frozenset[str]:
        """The roles the license names."""
        return self._grant.terms.roles

    @property
    def status(self) -> Status:
        """Where the license stands now."""
        return Status.ACTIVE if self._grant.objection() is None else Status.UNLICENSED

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
        return None

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
                return _EMPTY
            credential = self._credential
            if credential is None:
                raise RuntimeError(
                    "the claims of a license can be read only while its request lasts: "
                    "read them earlier, or keep what you need of them"
                )
            claims = self._grant.claims
            if claims is None:
                claims = strictjson.loads(base64url.decode(credential.split(b".")[1]))
            self._claims = _frozen(claims)
        return self._claims

    def __bool__(self) -> bool:
        return self.status is not Status.UNLICENSED

    def allows(self, feature: str) -> bool:
        """Whether the license holds now and names `feature`."""
        grant = self._grant
        return feature in grant.terms.features and grant.objection() is None

    def holds(self, kind: Kind, names: frozenset[str], any_of: bool = False) -> bool:
        """Whether the license holds now and has all `names` of one kind, or one with `any_of`."""
        grant = self._grant
        has: frozenset[str] = getattr(grant.terms, kind)
        if names.isdisjoint(has) if any_of else not names <= has:
            return False
        # What is at hand stands here itself: this is in front of every licensed view.
        if grant.wall() < grant.ends_at and grant.revision == grant.standing.revision:
            return True
        return grant.objection() is None

    def limit(self, name: str) -> int:
        """Return the limit called `name`, 0 where the license does not name it."""
        return self._grant.terms.limits.get(name, 0)

    def require(self, *features: str) -> None:
        """Demand that the license holds now and names all `features`.

        Raises:
            LicenseError: the license does not hold: what made it so.
            FeatureNotLicensed: it does not name them all.
        """
        self.require_license()
        if not self._grant.terms.features.issuperset(features):
            raise FeatureNotLicensed(members={"required": list(features), "plan": self.plan})

    def require_license(self) -> None:
        """Demand that the license holds now.

        Raises:
            LicenseError: what made it not hold.
        """
        objection = self._grant.objection()
        if objection is not None:
            raise objection

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


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return value


def _never() -> float:
    return float("inf")


_EMPTY: Mapping[str, object] = MappingProxyType({})


def _nothing(error: LicenseError) -> Grant:
    """Return the grant of no license: its end lies before every moment."""
    return Grant(
        Claims("", "", None, 0.0, 0.0, 0.0, _EMPTY),
        Terms(None, frozenset(), MappingProxyType({}), frozenset(), frozenset()),
        leeway=0.0,
        since=0.0,
        until=0.0,
        keys=None,
        thumbprint="",
        generation=0,
        wall=_never,
        ended=error,
    )
