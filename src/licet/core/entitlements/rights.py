"""Rights: what a license gives as it stands now; its clock is looked at each time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from licet.core.clock import END_OF_TIME
from licet.core.errors import LicenseError
from licet.core.grants import Grant
from licet.core.lifecycle import Status

#: What a license names and a view may demand.
Kind: TypeAlias = Literal["features", "scopes", "roles"]


class Rights:
    """A read-only view over one license.

    Args:
        grant: the verified license; the view follows its clock.
    """

    __slots__ = ("_grant",)

    def __init__(self, grant: Grant) -> None:
        self._grant = grant

    @property
    def grant(self) -> Grant:
        """The verified license, at the stage of its life that it is in now."""
        grant = self._grant
        try:
            now = grant.wall()
        except Exception:
            # Then nothing holds, as `objection` says.
            return grant
        if not grant.ends_at <= now <= END_OF_TIME:
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

    def __bool__(self) -> bool:
        return self.status is not Status.UNLICENSED

    def allows(self, feature: str) -> bool:
        """Whether the license holds now and names `feature`."""
        grant = self.grant
        return feature in grant.terms.features and grant.objection() is None

    def holds(self, kind: Kind, names: frozenset[str], any_of: bool = False) -> bool:
        """Whether the license holds now and has all `names` of one kind, or one with `any_of`."""
        grant = self._grant
        try:
            now = grant.wall()
        except Exception:
            # The refusal asks for the objection, which is that.
            return False
        # Of NaN no comparison is true; two are made faster than a chain of both.
        if now < 0.0 or not now < grant.ends_at:
            later = self.grant
            return later is not grant and Rights(later).holds(kind, names, any_of)
        terms = grant.terms
        # Mostly these, and in front of every licensed view, as is what follows.
        has: frozenset[str] = terms.features if kind == "features" else getattr(terms, kind)
        if names.isdisjoint(has) if any_of else not names <= has:
            return False
        if grant.revision == grant.standing.revision:
            return True
        return grant.objection() is None

    def limit(self, name: str) -> int:
        """Return the limit called `name`, 0 where the license does not name it."""
        return self.grant.terms.limits.get(name, 0)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.license_id!r} {self.status.name} plan={self.plan!r}"
            f" features={sorted(self.features)!r}>"
        )


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
