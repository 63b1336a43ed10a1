"""What is noticed about the licenses that a gate lets in: their ends, and strange use.

No request waits for it, and few come by: of those that are answered from memory one in 20 ms, which
stands for all since the last. That one thing is told once in a while is the bus's affair.
Memory per license is constant, and so is the number of licenses: who was not seen for longest is
forgotten first. An installation's own license is used by everybody, and nothing of that is strange.
"""

from __future__ import annotations

from collections import OrderedDict

from licet.core.clock import Clock
from licet.core.errors import LicenseError
from licet.core.events.anomaly import Habits
from licet.core.events.bus import EventBus
from licet.core.events.event import Event, EventName
from licet.core.events.log import FailureLog
from licet.core.forks import Locked
from licet.core.grants import Grant
from licet.core.lifecycle import Status
from licet.core.moments import rfc3339
from licet.core.request.circumstances import Circumstances

#: Licenses that are watched.
MOST = 10_000
#: Days before the end of a license at which it is told of.
DAYS = (30, 15, 7, 2, 1)
_DAY = 86_400
_MINUTE = 60


class Observations(Locked):
    """Notices, for one gate.

    Args:
        bus: where it is told.
        clock: both clocks.
        personal: whether requests bring licenses of their own, of which strange use is told.
    """

    def __init__(self, bus: EventBus, clock: Clock, *, personal: bool) -> None:
        super().__init__()
        self._bus, self._clock, self._personal = bus, clock, personal
        self._licenses: OrderedDict[tuple[str, str], Habits] = OrderedDict()
        self._failed = FailureLog(clock, "what a license is used for goes unnoticed")

    def __len__(self) -> int:
        return len(self._licenses)

    def admitted(self, grant: Grant, circumstances: Circumstances, times: int = 1) -> None:
        """Take note of requests that were let in.

        Args:
            grant: of their license.
            circumstances: of one of them.
            times: about how many they are.
        """
        try:
            self._look(grant, circumstances, times)
        except Exception as error:
            # What is noticed in passing must not keep anybody out.
            self._failed(error)

    def refused(self, grant: Grant, error: LicenseError, circumstances: Circumstances) -> None:
        """Take note of a request that a license was not enough for.

        Args:
            grant: of the license.
            error: why.
            circumstances: of the request.
        """
        try:
            if error.code == "license_domain" and self._personal:
                domain = circumstances.domain()
                self._suspect(grant, "domain_mismatch", requested_domain=domain)
            elif error.reason == "dpop_replay":
                self._suspect(grant, "replay", reason=error.reason)
        except Exception as failure:
            self._failed(failure)

    def _look(self, grant: Grant, circumstances: Circumstances, times: int) -> None:
        address = circumstances.address() if self._personal else None
        name, now = (grant.issuer, grant.license_id), self._clock.monotonic()
        with self.lock:
            habits = self._licenses.get(name)
            if habits is None:
                habits = self._licenses[name] = Habits()
                if len(self._licenses) > MOST:
                    self._licenses.popitem(last=False)
            else:
                self._licenses.move_to_end(name)
            before = habits.count
            begins = habits.add(now, times, address)
            bursts = self._personal and habits.is_bursting
            everywhere = self._personal and habits.is_everywhere
        if begins:
            self._tell(grant, "license.verified", verified_by=grant.verified_by, requests=before)
            self._tell_end(grant)
        if bursts:
            usual = None if habits.usual is None else round(habits.usual)
            self._suspect(grant, "burst", requests=habits.count, usual=usual, seconds=_MINUTE)
        if everywhere:
            self._suspect(grant, "many_addresses", networks=habits.networks, seconds=60 * _MINUTE)

    def _tell_end(self, grant: Grant) -> None:
        """Tell of a license that ends soon, or has."""
        if grant.stage.status is Status.GRACE:
            until = grant.stage.grace_until(grant)
            self._tell(
                grant, "license.grace_entered", until=None if until is None else rfc3339(until)
            )
            return
        left, lifetime = grant.expires_at - grant.wall(), grant.expires_at - grant.issued_at
        # Of those that have come only the last: who comes late is not told what was missed. And a
        # license that was issued for a week was never a month from its end.
        due = [days for days in DAYS if left <= days * _DAY < lifetime]
        if due and left > 0:
            ends = rfc3339(grant.expires_at)
            self._tell(grant, "license.expiring", days=min(due), expires_at=ends)

    def _suspect(self, grant: Grant, kind: str, **data: object) -> None:
        self._tell(grant, "license.suspicious_activity", kind=kind, **data)

    def _tell(self, grant: Grant, name: EventName, **data: object) -> None:
        told = {"issuer": grant.issuer, "license_id": grant.license_id, **data}
        self._bus.emit(Event(name, told))
