"""Grants: licenses whose verification held, remembered by the digest of their credential.

Only what was verified enters, so strangers cannot fill the cache; and it is keyed by SHA-256 of
the credential, so that no bearer secret stays in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from licet.core.claimed import NO_CLAIMS
from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import LicenseError
from licet.core.forks import Locked
from licet.core.lifecycle import PLAIN, Ended, Stage, Standpoint, Status
from licet.core.token.claims import Claims

if TYPE_CHECKING:
    from licet.core.constraints.registry import Conditions
    from licet.core.keys.keystore import KeyStore
    from licet.core.revocation.standing import Listing, Standing
    from licet.core.usage.ledger import Ledger

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
        now = self.wall()
        if now >= self.ends_at:
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
        Claims("", "", None, 0.0, 0.0, 0.0, NO_CLAIMS),
        Terms(None, frozenset(), MappingProxyType({}), frozenset(), frozenset()),
        leeway=0.0,
        since=0.0,
        until=0.0,
        wall=partial(float, "inf"),
        stage=Ended(error),
    )


class GrantStats(NamedTuple):
    """What became of the questions to a grant cache since its process began.

    Counted without a lock, so that a hit pays next to nothing: under several threads a count may
    be a little low. They are this process's own; a forked child goes on from its parent's.

    Args:
        hits: licenses answered from memory.
        misses: credentials, good or bad, that had to be judged in full.
        evictions: verdicts that gave way to younger ones because the cache was full.
        size: verdicts kept now.
        capacity: how many may be; 0 where the cache is off.
    """

    hits: int
    misses: int
    evictions: int
    size: int
    capacity: int


class GrantCache(Locked):
    """Grants by the digest of their credential; the oldest gives way when it is full.

    Readers take no lock. Insertion and eviction are of constant price, whatever the size.

    Args:
        capacity: how many are kept; 0 keeps none.

    Attributes:
        hits: counted by who reads, once what was found still holds.
        misses: counted by who judges.
        evictions: counted here.
        forgotten: how often something was to be forgotten.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self.hits = self.misses = self.evictions = self.forgotten = 0
        # Not a plain dict: finding its oldest key walks over all that were deleted before it.
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()
        #: `get(digest)`, bound once: this is the hot path.
        self.get = self._grants.get

    def __len__(self) -> int:
        return len(self._grants)

    def put(self, digest: bytes, grant: Grant, forgotten: int | None = None) -> None:
        """Keep `grant` under `digest`, in place of an older one.

        Args:
            digest: of its credential.
            grant: what was found.
            forgotten: what the attribute said when that began: what was found may be what was
                forgotten since, and is not kept.
        """
        if not self._capacity:
            return
        with self.lock:
            if forgotten is not None and forgotten != self.forgotten:
                return
            self._grants.pop(digest, None)
            self._grants[digest] = grant
            if len(self._grants) > self._capacity:
                self._grants.popitem(last=False)
                self.evictions += 1

    def forget(self, digest: bytes) -> None:
        """Forget what is kept of one credential."""
        with self.lock:
            self.forgotten += 1
            self._grants.pop(digest, None)

    @property
    def stats(self) -> GrantStats:
        """What became of the questions so far."""
        return GrantStats(self.hits, self.misses, self.evictions, len(self), self._capacity)
