"""Whether a license that holds by itself still stands: nobody has withdrawn it since.

Two voices are heard, and the later counts: what the issuer has said of the license (an answer, a
pushed event), and the status list that the license itself names. On a hit both are in memory; only
a license that is judged in full may wait, for a list that was never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

from licet.core.clock import Clock
from licet.core.errors import LicenseError, LicenseInvalid, LicenseRevoked, LicenseUnavailable
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.grants import Grant, enforced
from licet.core.revocation.lists import StatusDocument, StatusLists
from licet.core.revocation.statements import Board, Subject, Withdrawal, Word, order
from licet.core.revocation.statuslist import StatusList, read_reference
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import StoreUnavailable

if TYPE_CHECKING:
    from licet.core.installation.trusted_time import TrustedTime
    from licet.core.usage.ledger import Ledger

#: Is called when something is known that was not.
Changed: TypeAlias = Callable[[], None]

#: Seconds that a verdict is remembered while nothing follows what other processes are told.
UNFOLLOWED = 2.0


def withdrawn(word: Word, by: str = "online") -> LicenseError:
    """Return the refusal of a license that its issuer has withdrawn.

    Args:
        word: `revoked` or `suspended`.
        by: who said so, for the log.
    """
    return LicenseRevoked(f"{by}:{word}", code=f"license_{word}")


class Listing:
    """The place of one license in the status list that it names.

    Args:
        document: the list, kept fresh.
        index: the place.

    Attributes:
        seen: the copy in which the license was last seen to stand.
        revision: of the standing, at which that was.
    """

    __slots__ = ("document", "index", "revision", "seen")

    def __init__(self, document: StatusDocument, index: int) -> None:
        self.document, self.index = document, index
        self.seen: StatusList | None = None
        self.revision = -1


class Standing(Locked):
    """What is known of all licenses of one gate.

    Args:
        clock: both clocks.
        bus: hears of withdrawals that a status list tells of.
        forget: has the gate forget what it granted to a credential, by its digest.
        strict: whether a license is refused of which a silent board may know that it was withdrawn;
            one that names a status list always is.
        boards: where it is kept, beyond this process, what was said of licenses.
        lists: makes the status lists of each issuer that has some; as `time` it is given what is
            to be called when something is known that was not.
        time: makes what knows whether the clock can be judged by; nothing by default.
        refusal: from what is wrong with a license to what is answered.
        refuse: what becomes of what these licenses do not allow; raises it by default.
        usage: what counts what these licenses use; None where nothing does.

    Attributes:
        revision: grows with everything that may change whether a license stands.
        withdrawals: what the issuer has said.
        lists: what was made.
        time: what was made; None where the clock is not looked at.
        refuse: as it was given.
        usage: as it was given.
    """

    def __init__(
        self,
        clock: Clock,
        bus: EventBus,
        forget: Callable[[bytes], None],
        strict: bool = False,
        *,
        boards: tuple[Board, ...] = (),
        lists: Callable[[Changed], Mapping[str, StatusLists]] = lambda changed: {},
        time: Callable[[Changed], TrustedTime | None] = lambda changed: None,
        refusal: Callable[[LicenseError], LicenseError] = lambda error: error,
        refuse: Callable[[LicenseError], None] = enforced,
        usage: Ledger | None = None,
    ) -> None:
        super().__init__()
        self.revision = 0
        self.refusal, self.refuse, self.usage = refusal, refuse, usage
        self._bus, self._forget, self._strict = bus, forget, strict
        self._monotonic, self._wall = clock.monotonic, clock.wall
        self.withdrawals = Withdrawals(boards, clock, self.said)
        self.lists, self.time = lists(self.changed), time(self.changed)

    def changed(self) -> None:
        """Take note that something is known that was not."""
        with self.lock:
            self.revision += 1

    def said(self, subject: Subject) -> None:
        """Take note that the issuer has said something of a license."""
        self.changed()
        if subject.kind == "credential":
            # Which license that is was not said; what it was granted is found by itself alone.
            self._forget(bytes.fromhex(subject.name))

    def confirm(self, signed: float) -> None:
        """Take note of a moment that an issuer has signed, in wall seconds."""
        if self.time is not None:
            self.time.confirm(signed)

    def after_fork(self) -> None:
        """Have each license looked at once, which also has this process follow the others."""
        super().after_fork()
        self.revision += 1

    def follow(self, grant: Grant, payload: Mapping[str, Any]) -> None:
        """Have a license that was just verified stand only as long as nobody withdraws it.

        Args:
            grant: what it grants.
            payload: its claims.

        Raises:
            LicenseInvalid: it names a status list that cannot be looked at here.
        """
        grant.standing = self
        if "status" in payload:
            lists = self.lists.get(grant.issuer)
            if lists is None:
                raise LicenseInvalid("constraint_not_supported:status")
            reference = read_reference(payload["status"])
            grant.listing = Listing(lists.of(reference), reference.idx)

    # -- in memory -------------------------------------------------------------------------------

    def objection(self, grant: Grant) -> LicenseError | None:
        """Return why a license does not stand now, as far as that is known without waiting."""
        # Before anything is looked at: what changes meanwhile is looked at the next time.
        revision, listing = self.revision, grant.listing
        if self.time is not None and (untimely := self.time.objection()) is not None:
            return untimely
        if listing is None:
            objection = self._objection(grant, None, 0)
            if objection is None:
                grant.revision = revision
        else:
            document = listing.document
            if self._monotonic() >= document.look_at and not document.look():
                return document.unavailable()
            listed = document.snapshot
            if listing.revision == revision and listing.seen is listed:
                return None
            if listed is None:
                return document.unavailable()
            objection = self._objection(grant, listed, listing.index)
            if objection is None:
                listing.seen, listing.revision = listed, revision
        # A child of a fork begins to follow the others with the first license it sees.
        self.withdrawals.follow()
        return objection

    def recalls(self, grant: Grant, now: float) -> bool:
        """Return whether a license stands that was judged before, perhaps by a parent process.

        Args:
            grant: what it grants.
            now: monotonic time, seconds.
        """
        listing = grant.listing
        if listing is not None and listing.revision == self.revision:
            # As `objection` has it, where nothing is to be looked at: this is the hot path.
            document = listing.document
            if now < document.look_at and listing.seen is document.snapshot:
                return True
        elif self.withdrawals.behind:
            self.withdrawals.follow()
            return False
        return self.objection(grant) is None

    def _objection(
        self, grant: Grant, listed: StatusList | None, index: int
    ) -> LicenseError | None:
        latest, by = self.withdrawals.known(_subject(grant)), "online"
        if listed is not None:
            try:
                read = Withdrawal(listed.word(index), listed.issued_at)
            except LicenseError as error:
                return error
            if latest is None or order(read) >= order(latest):
                latest, by = read, "status"
        return None if latest is None or latest.word == "valid" else withdrawn(latest.word, by)

    # -- in full ---------------------------------------------------------------------------------

    def _admits(self, grant: Grant) -> bool:
        """Return whether a license that was just judged stands, as most do: nothing is to be read.

        Where it is not, `check` finds out.
        """
        # Before anything is looked at, as in `objection`.
        revision, withdrawals = self.revision, self.withdrawals
        if self.time is not None and self.time.objection() is not None:
            return False
        if grant.listing is not None or not withdrawals.silent_about(grant):
            return False
        grant.revision = revision
        return True

    def check(self, grant: Grant) -> Flow[None]:
        """See to it that a license stands; waits where that is not known.

        Raises:
            LicenseRevoked: it was withdrawn.
            LicenseInvalid: its status list does not say what it has to.
            LicenseUnavailable: that cannot be told.
        """
        if self._admits(grant):
            return
        subject = _subject(grant)
        listing = grant.listing
        listed = None if listing is None else (yield from listing.document.find())
        try:
            yield from self.withdrawals.look(subject)
        except StoreUnavailable as error:
            if self._strict or listed is not None:
                raise LicenseUnavailable(f"store:{error.reason}") from None
            self.withdrawals.unheard(error)
        if listing is not None and listed is not None:
            self.confirm(listed.issued_at)
            yield from self._take(listed, listed.word(listing.index), subject)
            # By the wall as well: monotonic clocks stand still while a machine sleeps.
            grant.until = min(grant.until, listed.stale_until)
        objection = self.objection(grant)
        if objection is not None:
            raise objection
        if not self.withdrawals.followed:
            grant.until = min(grant.until, self._wall() + UNFOLLOWED)

    def _take(self, listed: StatusList, word: Word, subject: Subject) -> Flow[None]:
        """Keep what a status list says of a license, where that is news."""
        known = self.withdrawals.known(subject)
        at = -inf if known is None else known.said_at
        before = "valid" if known is None else known.word
        if word == before or listed.issued_at <= at:
            return
        try:
            if word == "valid":
                yield from self.withdrawals.lift(listed.issued_at, subject)
            else:
                self._tell(word, subject)
                yield from self.withdrawals.record(Withdrawal(word, listed.issued_at), subject)
        except StoreUnavailable as lost:
            self.withdrawals.unheard(lost)

    def _tell(self, word: Word, subject: Subject) -> None:
        told = {"issuer": subject.issuer, "word": word, "license_id": subject.name}
        self._bus.emit(Event("license.revoked", told))


def _subject(grant: Grant) -> Subject:
    return Subject("license", grant.issuer, grant.license_id)
