"""One license whose verification held, for as long as that is good for."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from math import nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from licet.core.clock import END_OF_TIME, SYSTEM_CLOCK
from licet.core.errors import LicenseError, LicenseUnavailable
from licet.core.grants.terms import Terms
from licet.core.lifecycle import PLAIN, Ended, Stage, Standpoint, Status
from licet.core.token.claims import Claims

if TYPE_CHECKING:
    from licet.core.keys.keystore import KeyStore
    from licet.core.revocation.standing import Listing, Standing
    from licet.core.usage.ledger import Ledger


def enforced(error: LicenseError) -> None:
    """Raise `error`, as is done with whatever a license does not allow."""
    raise error


class Fixed:
    """The standing of what nobody can withdraw.

    Args:
        refuse: what becomes of what it does not allow.
    """

    revision = -1
    usage: Ledger | None = None

    def __init__(self, refuse: Callable[[LicenseError], None] = enforced) -> None:
        self.refuse = refuse

    def objection(self, grant: Grant) -> None:
        """Return None: there is none."""

    def refusal(self, error: LicenseError) -> LicenseError:
        """Return `error`."""
        return error


_FIXED = Fixed()


class Grant:
    """One verified license.

    Attributes:
        terms: what it says may be used, shared by all licenses that say the same.
        issuer: its `iss`.
        license_id: its `sub`.
        customer: text for people.
        issued_at: `iat`, seconds since the epoch.
        expires_at: `exp`, seconds since the epoch.
        ends_at: from this second on its stage is over: `exp` and the leeway, while it is active.
        since: the verdict holds from this second on; a clock set back has to ask again.
        until: the verdict holds until this second; then it is verified anew.
        keys: where the key that signed it comes from; None where an answer vouches for it.
        thumbprint: of that key (RFC 7638).
        generation: of the key set in which that key was last seen.
        verified_by: who vouched.
        wall: the clock that its end is judged by.
        stage: where it stands in its life, and what comes after.
        free: whether it holds for every request: nothing of one has to be looked at, and nobody
            is told of a grace.
        standing: knows whether it was withdrawn.
        revision: of `standing`, at which it was last seen to stand.
        listing: its place in the status list that it names; None for most licenses.
        claims: all of its claims, where no token is there to read them from.
    """

    __slots__ = (
        "claims",
        "customer",
        "ends_at",
        "expires_at",
        "free",
        "generation",
        "issued_at",
        "issuer",
        "keys",
        "license_id",
        "listing",
        "revision",
        "since",
        "stage",
        "standing",
        "terms",
        "thumbprint",
        "until",
        "verified_by",
        "wall",
    )

    def __init__(
        self,
        claims: Claims,
        terms: Terms,
        *,
        leeway: float,
        since: float,
        until: float,
        keys: KeyStore | None = None,
        thumbprint: str = "",
        generation: int = 0,
        verified_by: Literal["local", "online"] = "local",
        wall: Callable[[], float] = SYSTEM_CLOCK.wall,
        stage: Stage = PLAIN,
        free: bool = False,
    ) -> None:
        self.terms = terms
        self.claims = claims.payload if verified_by == "online" else None
        self.issuer = claims.issuer
        self.license_id = claims.license_id
        self.customer = claims.customer
        self.issued_at = claims.issued_at
        self.expires_at = claims.expires_at
        self.ends_at = claims.expires_at + leeway
        self.since = since
        self.until = min(until, self.ends_at)
        self.keys = keys
        self.thumbprint = thumbprint
        self.generation = generation
        self.verified_by: Literal["local", "online"] = verified_by
        self.wall = wall
        self.stage = stage
        self.free = free
        self.standing: Standing | Fixed = _FIXED
        # Never that of a real standing: one with a status list is looked at each time.
        self.revision = -1
        self.listing: Listing | None = None

    def fix(self) -> None:
        """Let it stand whatever becomes of it: what is judged by another time stands still."""
        self.standing, self.revision = Fixed(self.standing.refuse), Fixed.revision

    def moved(self, to: Standpoint) -> Grant:
        """Return a grant of the same license at another stage of its life."""
        moved = copy(self)
        moved.stage, moved.terms = to.stage, to.terms
        moved.free = self.free and to.stage.status is not Status.GRACE
        moved.ends_at = self.expires_at + to.lasts
        return moved

    def objection(self) -> LicenseError | None:
        """Return why it holds no longer, None while it does: by the clock, and as it stands."""
        try:
            now = self.wall()
        except Exception:
            # Whatever it was: as a clock that says what is no time.
            now = nan
        if not 0.0 <= now < self.ends_at:
            if not 0.0 <= now <= END_OF_TIME:
                return LicenseUnavailable("clock")
            later = self.stage.after(self, now)
            if isinstance(later, LicenseError):
                return later
        standing = self.standing
        if self.revision == standing.revision:
            return None
        objection = standing.objection(self)
        return None if objection is None else standing.refusal(objection)


def nothing(error: LicenseError) -> Grant:
    """Return the grant of no license, whose end lies before every moment.

    Args:
        error: what is raised of it.
    """
    return Grant(
        Claims("", "", None, 0.0, 0.0, 0.0, MappingProxyType({})),
        Terms(None, frozenset(), MappingProxyType({}), frozenset(), frozenset()),
        leeway=0.0,
        since=0.0,
        until=0.0,
        wall=partial(float, END_OF_TIME),
        stage=Ended(error),
    )
