"""Licenses that were judged once, and are remembered by the digest of their credential.

Only what holds is remembered, and only for as long as the key that signed it is in force and its
issuer has not withdrawn it.
"""

from __future__ import annotations

from hashlib import sha256

from licet.core.clock import Clock
from licet.core.flow import Flow
from licet.core.grants import Grant, GrantCache
from licet.core.judge import Judge
from licet.core.online.arbiter import Arbiter
from licet.core.online.domain import Domain, nowhere
from licet.core.revocation.standing import Standing
from licet.core.settings import Settings

#: Seconds between two requests that are looked at although all that they need is remembered.
SAMPLE = 0.02


class Judgements:
    """What one gate knows of licenses.

    Args:
        settings: how much is remembered, and for how long.
        clock: wall and monotonic time.
        judge: verifies license tokens.
        standing: knows what was withdrawn.
        grants: what is remembered.

    Attributes:
        grants: as they were given.
        arbiter: asks license servers where the judge cannot know; None where there is none.
        sampled: how many requests the one at hand stands for; 0 where it is not to be looked at.
        revisited: how many of the hits did not come by `recall` alone.
    """

    arbiter: Arbiter | None = None

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        judge: Judge,
        standing: Standing,
        grants: GrantCache,
    ) -> None:
        self.grants = grants
        self._known = self.grants.get
        self._judge = judge
        self._standing = standing
        self._max_size = settings.max_token_size
        self._wall = clock.wall
        self._monotonic = clock.monotonic
        # One in a while: whatever is done with it, all others pay next to nothing for it.
        self.sampled = self._counted = self.revisited = 0
        self._sample_at = clock.monotonic() + SAMPLE
        self._unfree: Grant | None = None

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
        keys = grant.keys
        if keys is not None:
            now = self._monotonic()
            # Before the snapshot is read: a dead one must not pass under the time of its successor.
            if now >= keys.look_at and not keys.look():
                return None
            snapshot = keys.snapshot
            if snapshot is None:
                return None
            if snapshot.generation != grant.generation:
                if grant.thumbprint not in snapshot.thumbprints:
                    return None
                grant.generation = snapshot.generation
            if now >= self._sample_at:
                self._sample(grant, now)
        standing = self._standing
        if grant.revision != standing.revision and not standing.recalls(grant):
            return None
        self.grants.hits += 1
        return grant

    def _sample(self, grant: Grant, now: float) -> None:
        """Have the request at hand looked at, as one of all that came since the last."""
        self._sample_at = now + SAMPLE
        hits = self.grants.hits + 1
        with self.grants.lock:
            self._free_again()
            # What is free is looked at this once.
            if grant.free:
                self._unfree, grant.free = grant, False
            self.sampled, self._counted = hits - self._counted, hits

    def take_sample(self) -> int:
        """Return how many requests the one at hand stands for; it is looked at now."""
        if not self.sampled:
            return 1
        with self.grants.lock:
            self._free_again()
            times, self.sampled = max(self.sampled, 1), 0
        return times

    def _free_again(self) -> None:
        if self._unfree is not None:
            self._unfree.free, self._unfree = True, None

    def granted(self, credential: bytes, domain: Domain = nowhere) -> Flow[Grant]:
        """Return what is remembered of `credential`, or else what `judge` finds."""
        # Of what is too long not even the digest is taken.
        digest = sha256(credential).digest() if len(credential) <= self._max_size else None
        remembered = self.recall(credential, digest)
        if remembered is not None:
            self.revisited += 1
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
        forgotten = self.grants.forgotten
        if self.arbiter is None or len(credential) > self._max_size:
            grant = yield from self._judge.verify(credential)
            if not self._standing.admits(grant):
                yield from self._standing.check(grant)
        else:
            digest = digest or sha256(credential).digest()
            grant = yield from self.arbiter.verify(credential, digest, domain)
            if grant.until <= self._wall():
                # What holds at one domain is not remembered for all.
                return grant
        sighted = self._judge.sighted
        if sighted is not None and grant.since < grant.expires_at:
            # Not before it is known that nobody has withdrawn it.
            at, end = grant.since, grant.expires_at
            yield from sighted.saw(grant.issuer, grant.license_id, at, end)
        self.grants.put(digest or sha256(credential).digest(), grant, forgotten)
        return grant
