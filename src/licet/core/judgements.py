"""Licenses that were judged once, and are remembered by the digest of their credential.

Only what holds is remembered, and only for as long as the key that signed it is in force and its
issuer has not withdrawn it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from math import inf

from licet.core.admissions import Admissions
from licet.core.clock import Clock
from licet.core.flow import Flow
from licet.core.grants import Grant, GrantCache
from licet.core.judge import Judge
from licet.core.keys.keystore import KeyStore
from licet.core.lifecycle import AFTER_END
from licet.core.online.arbiter import Arbiter
from licet.core.online.domain import Domain, nowhere
from licet.core.revocation.standing import Standing
from licet.core.settings import Settings


class Judgements:
    """What one gate knows of licenses.

    Args:
        settings: how much is remembered, and for how long.
        clock: wall and monotonic time.
        judge: verifies license tokens.
        keys: of all issuers.
        standing: knows what was withdrawn.
        grants: what is remembered.
        admissions: has one hit in a while looked at.
        arbiter: asks license servers where the judge cannot know; None where there is none.

    Attributes:
        grants: as they were given.
        arbiter: as it was given.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        judge: Judge,
        keys: Iterable[KeyStore],
        standing: Standing,
        grants: GrantCache,
        admissions: Admissions,
        arbiter: Arbiter | None = None,
    ) -> None:
        self.grants, self.arbiter = grants, arbiter
        self._known = self.grants.get
        self._judge = judge
        self._standing = standing
        self._max_size = settings.max_token_size
        self._wall = clock.wall
        self._keys = tuple(keys)
        self._admissions = admissions
        self._clock, self._ticks = clock, clock.bare()
        #: Monotonic seconds between which nothing is owed.
        self._quiet_since = self._quiet_until = -inf

    def recall(self, credential: bytes, digest: bytes | None = None) -> Grant | None:
        """Return what is remembered of `credential` and still holds: no lock, no waiting.

        Args:
            credential: what was presented.
            digest: its SHA-256, where that is known already.
        """
        if len(credential) > self._max_size:
            return None
        grant = self._known(digest or sha256(credential).digest())
        if grant is None or not grant.since <= self._wall() < grant.until:
            return None
        # Before the snapshot is read: a dead one must not pass under the time of its successor.
        if self._ticks() >= self._quiet_until and not self._look(grant):
            return None
        keys = grant.keys
        if keys is not None:
            snapshot = keys.snapshot
            if snapshot is None:
                return None
            if snapshot.generation != grant.generation:
                if grant.thumbprint not in snapshot.thumbprints:
                    return None
                grant.generation = snapshot.generation
        standing = self._standing
        if grant.revision != standing.revision and not standing.recalls(grant, self._ticks()):
            return None
        self.grants.hits += 1
        return grant

    def _look(self, grant: Grant) -> bool:
        """Do what is owed before `grant` is served; return whether its keys may still serve.

        For a moment afterwards nothing is: that is all that most hits have to look at.
        """
        # Anew, because it may have leapt.
        now, self._ticks = self._clock.monotonic(), self._clock.bare()
        keys = grant.keys
        if keys is not None and now >= keys.look_at and not keys.look():
            return False
        if now >= self._admissions.sample_at:
            self._admissions.sample(grant, now)
        served = [one.look_at for one in self._keys if one.snapshot is not None]
        self._quiet_since, self._quiet_until = now, min([self._admissions.sample_at, *served])
        return True

    def granted(self, credential: bytes, domain: Domain = nowhere) -> Flow[Grant]:
        """Return what is remembered of `credential`, or else what `judge` finds."""
        # Of what is too long not even the digest is taken.
        digest = sha256(credential).digest() if len(credential) <= self._max_size else None
        remembered = self.recall(credential, digest)
        if remembered is not None:
            self._admissions.revisited()
            return remembered
        return (yield from self.judge(credential, digest, domain))

    def judge(
        self, credential: bytes, digest: bytes | None = None, domain: Domain = nowhere
    ) -> Flow[Grant]:
        """Verify `credential` in full and remember what came of it, if it holds.

        Args:
            credential: what was presented.
            digest: its SHA-256, where that is known already.
            domain: tells where it was, should the license server have to be asked.

        Raises:
            LicenseError: it does not hold, or that cannot be told.
        """
        self.grants.misses += 1
        if (time := self._standing.time) is not None:
            # Also of what a command or a job asks about: by a clock that is behind, a license that
            # has ended would be seen to hold, and earn a grace.
            yield from time.check()
        if self._ticks() < self._quiet_since:
            # It has begun anew, and may be a long way from where a hit would look again.
            self._quiet_until = -inf
        forgotten = self.grants.forgotten
        if self.arbiter is None or len(credential) > self._max_size:
            grant = yield from self._judge.verify(credential)
            yield from self._standing.check(grant)
        else:
            # Of what no clock could judge, nobody is asked.
            self._clock.now()
            digest = digest or sha256(credential).digest()
            grant = yield from self.arbiter.verify(credential, digest, domain)
        sighted = self._judge.sighted
        if sighted is not None and grant.stage.status not in AFTER_END:
            # Not before it is known that nobody has withdrawn it.
            at, end = grant.since, grant.expires_at
            if at < end:
                yield from sighted.saw(grant.issuer, grant.license_id, at, end)
        # What holds at one domain is not remembered for all.
        if self.arbiter is None or grant.until > self._wall():
            self.grants.put(digest or sha256(credential).digest(), grant, forgotten)
        return grant
