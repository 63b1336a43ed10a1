"""The parts of a gate, each made once; and how they fare, which no request has to ask."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from licet.core.admissions import Admissions
from licet.core.assembly import events, installed, online, refusals, trust, used, withdrawals
from licet.core.assembly.surroundings import Surroundings
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.demands import Demands
from licet.core.documents.health import Health
from licet.core.grants import GrantCache, GrantStats, enforced
from licet.core.judge import Judge
from licet.core.judgements import Judgements
from licet.core.request import Sources
from licet.core.request.circumstances import Observer
from licet.core.request.paths import ExemptPaths
from licet.core.settings import Settings
from licet.core.transport import Transport


class Parts:
    """What a gate is made of.

    Args:
        settings: what counts as a valid license.
        clock: wall and monotonic time.
        transport: what fetches key sets; one of its own by default.

    Attributes:
        settings: as they were given.
        clock: as it was given.
        events: where it is told what happens here.
        enforcement: what becomes of a refusal.
        as_refusal: from whatever went wrong to the refusal that it is: `Enforcement.as_refusal`.
        exempt_paths: where no license is needed.
        sources: where in a request a credential may be; none where nothing is judged.
        keys: of each issuer.
        boards: where it is kept, beyond this process, what was said of licenses.
        withdrawals: what was said of them.
        pushed: puts pushed events into force; None where nobody may push any.
        recall: what is remembered of a credential: `Judgements.recall`, bound once for the hot
            path.
        judge: the judgement of a credential in full: `Judgements.judge`.
        refresher: keeps the installation's license from ending; None where nothing is kept.
        installation: keeps that license; None where requests bring theirs.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = SYSTEM_CLOCK,
        transport: Transport | None = None,
    ) -> None:
        self.settings, self.clock = settings, clock
        self.events = events.bus(clock)
        around = Surroundings.of(settings, clock, self.events)
        self.enforcement = refusals.enforcement(around)
        self.as_refusal = self.enforcement.as_refusal
        self.exempt_paths = ExemptPaths(settings.exempt_paths)
        self.sources = Sources.of(() if self.enforcement.is_off else settings.sources or ())
        events.tell(around)
        transport = transport or Transport(around.tls)
        self.keys = trust.key_stores(around, transport)
        state = installed.state(around)
        self.boards = withdrawals.boards(around, state)

        grants = GrantCache(settings.grant_cache_size if settings.grant_max_age else 0)
        self._standing = withdrawals.standing(
            around,
            self.keys,
            transport,
            self.boards,
            grants.forget,
            time=partial(installed.trusted_time, around, state),
            refuse=enforced if self.enforcement.is_strict else self.enforcement.refuse,
            usage=used.ledger(around, self.enforcement.refuse, self.as_refusal),
        )
        self.withdrawals = self._standing.withdrawals
        self.pushed = withdrawals.pushed(around, self.withdrawals, self.boards)

        observer = Observer(settings, clock)
        self._observations = events.observations(around)
        self._possession = trust.possession(around, observer.proxies)
        self._https_only = settings.require_https
        self._observe, self._wall = observer.of, clock.wall
        self._demands = Demands(settings, clock, observer, self._possession, self._observations)
        self._admissions = Admissions(grants, clock, observer, self._observations)

        sighted = installed.sighted(around, state)
        self._judge = Judge(
            settings,
            clock,
            self.keys,
            self._standing,
            profiles=trust.profiles(settings),
            course=trust.course(settings, sighted),
            sighted=sighted,
        )
        self._judgements = Judgements(
            settings,
            clock,
            self._judge,
            self.keys.values(),
            self._standing,
            grants,
            self._admissions,
            online.arbiter(around, self.keys, self._judge, self._standing, grants.forget),
        )
        self.recall, self.judge = self._judgements.recall, self._judgements.judge
        self.refresher = installed.refresher(around, state, self._judge, self.withdrawals)
        self.installation = installed.installation(
            around,
            recall=self.recall,
            judge=self._judgements.granted,
            time=self._standing.time,
            refused=self.enforcement.denied,
            refresher=self.refresher,
        )
        withdrawals.follow_hints(
            self.keys, self._standing, self._judgements.arbiter, self.refresher
        )

    # -- how they fare ---------------------------------------------------------------------------

    def warm(self) -> None:
        """Begin to fetch the keys that are not there yet, in the background."""
        for keys in () if self.enforcement.is_off else self.keys.values():
            keys.warm()

    def health(self) -> dict[str, Health]:
        """Return the state of each issuer's keys; reads only, fetches nothing."""
        return {issuer: keys.health() for issuer, keys in self.keys.items()}

    def grant_stats(self) -> GrantStats:
        """Return how many licenses were answered from memory, and how many were not."""
        return self._judgements.grants.stats

    def admitted(self) -> int:
        """Return how many requests were let in by a license; counted without a lock."""
        return self._admissions.count

    def would_refuse(self) -> Mapping[str, int]:
        """Return how often each code would have been refused by this process, had it enforced."""
        return self.enforcement.tally.here
