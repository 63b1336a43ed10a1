"""The public keys of one issuer, kept fresh, whatever the issuer does.

Decides whether a key is in the set, is not, or cannot be told at the moment. Trusted is the set
that the issuer's host serves over TLS; keys that came with the installation serve until that has
been seen once, and never again after. A withdrawn key is gone with the first answer without it, and
only a later answer brings it back: neither those keys nor the file that outlives a restart do.
"""

from __future__ import annotations

import random as chance
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from math import inf
from typing import Any

from cachetools import TTLCache

from licet.core.clock import Clock
from licet.core.documents.exchange import Failed
from licet.core.documents.flight import Flight
from licet.core.documents.health import Health as Health  # what `health()` returns
from licet.core.documents.health import Trouble
from licet.core.documents.remote import RemoteDocument
from licet.core.documents.schedule import Need, Schedule, Unavailable, Use, UseAndRefresh
from licet.core.errors import KeysUnavailable, LicenseInvalid
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.events.log import escape, host_of
from licet.core.flow import Flow
from licet.core.keys.jwk import KeySet, Rejected, VerifyKey, read_jwks
from licet.core.keys.kept import MAX_WITHDRAWN, Kept, SnapshotFile
from licet.core.keys.snapshot import KeySnapshot as KeySnapshot  # what `find` returns
from licet.core.keys.snapshot import Source, kids
from licet.core.token import strictjson
from licet.core.transport import Response, Transport

CONTENT_TYPES = ("application/jwk-set+json", "application/json")
MAX_BYTES, MAX_MEMBERS = 256 * 1024, 5_000
#: Keys remembered as absent, and for how many seconds.
ABSENT, ABSENT_FOR = 256, 60.0


class KeyStore(RemoteDocument[KeySnapshot]):
    """Finds the keys of one issuer.

    Args:
        issuer: its name, for events.
        jwks_url: where its key set is served; None for a set that is only ever `jwks`.
        jwks: a parsed key set to start from.
        path: of the file that keeps the last confirmed set across restarts; None for no such file.
        algorithms: the configured signature algorithms.
        max_age: seconds, the lifetime of a set and its ceiling.
        max_stale: seconds beyond that lifetime for which a set serves an outage.
        cooldown: seconds after which one more fetch for an unknown key is allowed.
        transport: fetches.
        clock: both clocks.
        bus: hears `keys.rotated`, `keys.refused`, `keys.stale`, `keys.unavailable`, `tls.failure`,
            and `keys.snapshot` where the file cannot be used or written.
        random: returns a number in [0, 1).

    Raises:
        ValueError: `jwks` is no key set or has keys and no usable one, or neither source is given.
    """

    def __init__(
        self,
        issuer: str,
        *,
        jwks_url: str | None,
        jwks: Mapping[str, Any] | None,
        algorithms: tuple[str, ...],
        max_age: float,
        max_stale: float,
        cooldown: float,
        transport: Transport,
        clock: Clock,
        bus: EventBus,
        path: str | None = None,
        random: Callable[[], float] = chance.random,
    ) -> None:
        if jwks_url is None and jwks is None:
            raise ValueError("neither an address of keys nor keys")
        self._issuer, self._algorithms, self._bus = issuer, algorithms, bus
        self._refused: tuple[Rejected, ...] = ()
        self._withdrawn: tuple[str, ...] = ()
        self._file = None if path is None else SnapshotFile(path, issuer, self._unkept)
        super().__init__(
            jwks_url,
            schedule=Schedule(max_age, max_stale, cooldown, random),
            transport=transport,
            clock=clock,
            content_types=CONTENT_TYPES,
            max_bytes=MAX_BYTES,
        )
        kept = None if self._file is None else self._file.read(clock.wall())
        if kept is None or not self._began_with(kept):
            self._begin_with_floor(jwks)

    def at_hand(self, kid: str, alg: str) -> tuple[KeySnapshot, VerifyKey] | None:
        """Return what `find` does, None where that has to be waited for or refused."""
        snapshot = self.current()
        if snapshot is None or (key := snapshot.keys.get((kid, alg))) is None:
            return None
        return snapshot, key

    def find(
        self, kid: str, alg: str, patience: float | None = None
    ) -> Flow[tuple[KeySnapshot, VerifyKey]]:
        """Return the key that a header names, and the snapshot it stands in.

        Waits only where nothing can be served, or for a key that is not in the set as long as
        there is a budget for it. To be asked only for a token that passed every cheap check.

        Args:
            kid: the key's id.
            alg: its algorithm.
            patience: seconds to wait at most; None for as long as one fetch may take.

        Raises:
            LicenseInvalid: the issuer has no such key.
            KeysUnavailable: it cannot be told whether it has.
        """
        if found := self.at_hand(kid, alg):
            return found
        name = (kid, alg)
        flight = self._flight_for(name)
        begins_now, succeeded = False, True
        if flight is not None:
            begins_now = not flight.claimed
            succeeded = yield flight if patience is None else flight.within(patience)
        snapshot = self.current()
        if snapshot is not None and (key := snapshot.keys.get(name)) is not None:
            return snapshot, key
        if not succeeded or snapshot is None:
            health = self.health()
            raise KeysUnavailable(
                f"keys_unavailable:{health.error}",
                retry_after=max(1.0, health.retry_after),
                correlation_id=health.correlation_id,
            )
        if begins_now:
            # A flight that was under way before may have left before the key was published.
            with self._guarded:
                self._absent[name] = None
        raise _unknown(kid)

    def after_fork(self) -> None:
        """Begin in this process, without what a thread may have left half done."""
        self._absent: TTLCache[tuple[str, str], None] = TTLCache(
            ABSENT, ABSENT_FOR, timer=self._clock.monotonic
        )
        super().after_fork()

    def _began_with(self, kept: Kept) -> bool:
        """Start from the set of an earlier run; return False if none of its keys may be used."""
        # These stay away whatever becomes of the rest.
        self._withdrawn = kept.withdrawn
        try:
            found = _without(read_jwks(kept.jwks, self._algorithms), kept.withdrawn)
            snapshot = self._snapshot(found, None, None, "file")
        except ValueError:
            self._unkept("no_usable_key")
            return False
        self._begin_with(snapshot, (kept.confirmed, kept.lifetime))
        return True

    def _begin_with_floor(self, jwks: Mapping[str, Any] | None) -> None:
        """Start from the keys that came with the installation, less what was withdrawn since."""
        if jwks is not None:
            found = read_jwks(jwks, self._algorithms)
            left = _without(found, self._withdrawn)
            if left.keys or not found.keys:
                self._begin_with(self._snapshot(left, None, None, "floor"))

    def landed(self) -> None:
        """Write down the set that a flight has confirmed."""
        with self._guarded:
            snapshot, confirmed = self.snapshot, self._schedule.confirmed
            lifetime, withdrawn = self._schedule.lifetime, self._withdrawn
        if self._file is None or snapshot is None or confirmed is None:
            return
        if snapshot.source == "remote":
            self._file.write(
                snapshot.keys.values(),
                confirmed=confirmed.wall,
                lifetime=lifetime,
                withdrawn=withdrawn,
                wall=self._clock.wall(),
            )

    def _unkept(self, reason: str) -> None:
        self._emit("keys.snapshot", reason=reason)

    def _flight_for(self, name: tuple[str, str]) -> Flight | None:
        """Return the flight to wait for, None if the key has just landed; else raise."""
        now = self._now()
        with self._guarded:
            if self.snapshot is not None and name in self.snapshot.keys:
                need = Need.PRESENT
            else:
                need = Need.ABSENT if name in self._absent else Need.MISSING
            answer = self._ask(now, need)
            error, outage = self._outage.error, self._outage.correlation_id
        match answer:
            case Flight():
                return answer
            case Use() | UseAndRefresh():
                return None
            case Unavailable(retry_after):
                raise KeysUnavailable(
                    f"keys_unavailable:{error}", retry_after=retry_after, correlation_id=outage
                )
            case _:
                raise _unknown(name[0])

    def parse(self, response: Response, before: KeySnapshot | None) -> KeySnapshot:
        """Return the key set that an answer holds."""
        document = strictjson.loads(response.body, max_members=MAX_MEMBERS)
        found = read_jwks(document, self._algorithms)
        return self._snapshot(found, before, response.headers.get("etag"), "remote")

    def renewed(self, value: KeySnapshot, stale_until: float) -> KeySnapshot:
        """Return the same keys with a new end."""
        return replace(value, stale_until=stale_until)

    def replaced(self, before: KeySnapshot | None, after: KeySnapshot) -> None:
        """Tell of keys that came and went."""
        if before is None or before.generation == after.generation:
            return
        # Stale answers to "is it there?" go with the set they were true of.
        with self._guarded:
            self._absent.clear()
            if self._file is not None:
                gone = before.thumbprints - after.thumbprints
                known = [one for one in self._withdrawn if one not in after.thumbprints | gone]
                self._withdrawn = (*known, *sorted(gone))[-MAX_WITHDRAWN:]
        self._emit(
            "keys.rotated",
            added=kids(after, but=before.thumbprints),
            removed=kids(before, but=after.thumbprints),
        )

    def troubled(self, trouble: Trouble, health: Health) -> None:
        """Tell of keys that cannot be had, or are past their lifetime."""
        self._emit(
            "keys.stale" if trouble is Trouble.STALE else "keys.unavailable",
            state=health.state.value,
            reason=health.error,
            age=health.age,
            retry_after=health.retry_after,
            correlation_id=health.correlation_id,
        )

    def failed(self, failure: Failed, correlation_id: str | None) -> None:
        """Tell why there was no TLS connection, where that is it."""
        if (tls := failure.tls) is not None and self._source is not None:
            told = {"host": host_of(self._source.url), **asdict(tls)}
            self._emit("tls.failure", **told, correlation_id=correlation_id)

    def _snapshot(
        self,
        found: KeySet,
        before: KeySnapshot | None,
        etag: str | None,
        source: Source,
    ) -> KeySnapshot:
        if found.rejected and found.rejected != self._refused:
            reasons = tuple(f"{rejected.kid}: {rejected.reason}" for rejected in found.rejected)
            self._emit("keys.refused", reasons=reasons)
        self._refused = found.rejected
        if not found.keys and (found.rejected or self._source is not None):
            raise ValueError("no usable key")
        thumbprints = frozenset(key.thumbprint for key in found.keys.values())
        generation = 1
        if before is not None:
            generation = before.generation + (thumbprints != before.thumbprints)
        return KeySnapshot(found.keys, thumbprints, generation, etag, source, inf, found.rejected)

    def _emit(self, name: Any, **data: object) -> None:
        self._bus.emit(Event(name, {"issuer": self._issuer, **data}))


def _without(found: KeySet, thumbprints: Collection[str]) -> KeySet:
    left = {name: key for name, key in found.keys.items() if key.thumbprint not in thumbprints}
    return KeySet(left, found.rejected)


def _unknown(kid: str) -> LicenseInvalid:
    return LicenseInvalid(f"unknown_kid:{escape(kid)}")
