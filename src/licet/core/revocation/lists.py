"""The status lists of one issuer, kept fresh like its keys.

Decides where a list may be fetched from, for how long a copy of it serves, and that no list is ever
replaced by an older one. Trusted is what a key of the issuer has signed for the very address that
it was fetched from.
"""

from __future__ import annotations

import random as chance
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from math import inf
from weakref import WeakValueDictionary

from licet.core import flow
from licet.core.clock import Clock
from licet.core.documents.exchange import Failed
from licet.core.documents.flight import Flight
from licet.core.documents.health import Health, Trouble
from licet.core.documents.remote import DEADLINE, RemoteDocument
from licet.core.documents.schedule import MIN_AGE, Need, Schedule
from licet.core.documents.unusable import Unusable
from licet.core.errors import KeysUnavailable, LicenseInvalid, LicenseUnavailable
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.events.log import host_of
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.keys.keystore import KeyStore
from licet.core.revocation.statuslist import (
    LEEWAY,
    MAX_TOKEN,
    StatusList,
    StatusReference,
    read_list,
)
from licet.core.settings.options import url
from licet.core.settings.values import origin_of
from licet.core.token.signature import Verifier
from licet.core.transport import Response, Transport

CONTENT_TYPES = ("application/statuslist+jwt",)
#: Seconds: the bounds of a lifetime that a list asks for itself, and that of one of which neither
#: it nor the answer says anything, which is also the longest that an answer can ask for.
SHORTEST, LONGEST, UNSAID = 1.0, 30 * 86_400.0, 600.0
#: Lists of one issuer that are kept although no license at hand names them.
KEPT = 64


class StatusDocument(RemoteDocument[StatusList]):
    """One status list.

    Args:
        uri: where it is.
        issuer: whose licenses name it.
        keys: of that issuer.
        transport: fetches.
        clock: both clocks.
        bus: hears `online.unavailable` and `tls.failure`.
        max_stale: seconds past its lifetime for which a list serves an outage.
        changed: called whenever another list has come into force.
        random: returns a number in [0, 1).
    """

    def __init__(
        self,
        uri: str,
        *,
        issuer: str,
        keys: KeyStore,
        transport: Transport,
        clock: Clock,
        bus: EventBus,
        max_stale: float,
        changed: Callable[[], None],
        random: Callable[[], float] = chance.random,
    ) -> None:
        self.uri = uri
        self._issuer, self._keys, self._bus, self._changed = issuer, keys, bus, changed
        super().__init__(
            uri,
            # Nothing is ever missing from a list, so there is nothing to cool down from.
            schedule=Schedule(LONGEST, max_stale, 0.0, random, min_age=SHORTEST),
            transport=transport,
            clock=clock,
            content_types=CONTENT_TYPES,
            max_bytes=MAX_TOKEN,
        )

    def find(self) -> Flow[StatusList]:
        """Return the list; waits, with everybody else, only where no copy of it may serve.

        Raises:
            LicenseUnavailable: it cannot be had.
        """
        if found := self.current():
            return found
        now = self._now()
        with self._guarded:
            answer = self._ask(now, Need.PRESENT)
        if isinstance(answer, Flight):
            yield answer
        found = self.current()
        if found is None:
            raise self.unavailable()
        return found

    def unavailable(self) -> LicenseUnavailable:
        """Return the refusal of licenses while no copy of this list may serve."""
        health = self.health()
        return LicenseUnavailable(
            f"status_unavailable:{health.error}",
            retry_after=max(1.0, health.retry_after),
            correlation_id=health.correlation_id,
        )

    def parse(self, response: Response, before: StatusList | None) -> StatusList:
        """Return the list that an answer holds, unless it is older than the one at hand."""
        wall = self._clock.wall()
        found = read_list(response.body, self.uri, self._issuer, self._verifier, wall)
        if before is not None and found.issued_at < before.issued_at:
            raise Unusable("older")
        return found

    def renewed(self, value: StatusList, stale_until: float) -> StatusList:
        """Return the same list with a new end."""
        return replace(value, stale_until=stale_until)

    def good_for(self, value: StatusList, said: float | None, wall: float) -> float | None:
        """Return the `ttl`, which goes before what the answer says (section 8.2)."""
        lifetime = value.ttl
        if lifetime is None:
            lifetime = UNSAID if said is None else min(max(said, MIN_AGE), UNSAID)
        return lifetime if value.expires_at is None else min(lifetime, value.expires_at - wall)

    def ends(self, value: StatusList) -> float:
        """Return until when its issuer stands by it, and a little longer for clocks that differ."""
        return inf if value.expires_at is None else value.expires_at + LEEWAY

    def replaced(self, before: StatusList | None, after: StatusList) -> None:
        """Have everybody look again."""
        self._changed()

    def troubled(self, trouble: Trouble, health: Health) -> None:
        """Tell of a list that cannot be had, and of what comes of it."""
        if health.error is None:
            # Nobody has asked for it in a while, that is all.
            return
        self._emit(
            "online.unavailable",
            reason=f"status_{trouble.value}:{health.error}",
            retry_after=health.retry_after,
            correlation_id=health.correlation_id,
        )

    def failed(self, failure: Failed, correlation_id: str | None) -> None:
        """Tell why there was no TLS connection, where that is it."""
        if failure.tls is not None:
            self._emit("tls.failure", **asdict(failure.tls), correlation_id=correlation_id)

    def _verifier(self, kid: str, alg: str) -> Verifier:
        """Return what checks signatures by a key of the issuer; runs where a flight does.

        Raises:
            Unusable: there is no such key, or it cannot be told.
        """
        now = self._clock.monotonic()
        # Those who wait for this list wait no longer than they would for one fetch.
        left = max(0.0, (self._begun_at or now) + DEADLINE - now)
        try:
            _, key = flow.run(self._keys.find(kid, alg, left))
        except KeysUnavailable:
            raise Unusable("keys_unavailable") from None
        except LicenseInvalid:
            raise Unusable("unknown_key") from None
        return key.verify

    def _emit(self, name: str, **data: object) -> None:
        told = {"issuer": self._issuer, "host": host_of(self.uri), **data}
        self._bus.emit(Event(name, told))  # type: ignore[arg-type]


class StatusLists(Locked):
    """The status lists of one issuer.

    Args:
        issuer: whose licenses name them.
        origins: scheme, host and port of other places, as `origin_of` writes them, that its lists
            may be fetched from; its own, where its name is an address, always may.
        document: makes the list at an address.
        http_hosts: hosts from which they may come over plain http; loopback always is one.
    """

    def __init__(
        self,
        issuer: str,
        *,
        origins: tuple[str, ...],
        document: Callable[[str], StatusDocument],
        http_hosts: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self._origins = frozenset((*origins, *own_origins(issuer, http_hosts)))
        self._document = document
        self._kept: OrderedDict[str, StatusDocument] = OrderedDict()
        # Those of licenses at hand, too: two copies of one list could say two things.
        self._alive: WeakValueDictionary[str, StatusDocument] = WeakValueDictionary()

    def of(self, reference: StatusReference) -> StatusDocument:
        """Return the list that a license names, the same object as long as anybody has it.

        Only for licenses that somebody vouched for: each new address is a place to fetch from.

        Raises:
            LicenseInvalid: nothing may be fetched from there.
        """
        uri = reference.uri
        if origin_of(uri) not in self._origins:
            raise LicenseInvalid("status_origin")
        with self.lock:
            document = self._alive.get(uri) or self._document(uri)
            self._alive[uri] = self._kept[uri] = document
            self._kept.move_to_end(uri)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return document

    def hasten(self) -> None:
        """Have all of them fetched anew in the background."""
        for document in self._all():
            document.hasten()

    def health(self) -> dict[str, Health]:
        """Return how each of them is doing, by its address."""
        return {document.uri: document.health() for document in self._all()}

    def _all(self) -> list[StatusDocument]:
        with self.lock:
            return list(self._alive.values())


def own_origins(issuer: str, http_hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the origin of an issuer whose name is an address that is fit to be fetched from."""
    try:
        return (origin_of(url("issuer", issuer, http_hosts=http_hosts)),)
    except ValueError:
        return ()
