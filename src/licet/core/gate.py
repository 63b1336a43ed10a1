"""The gate: credential and facts in, entitlements out, or a `LicenseError`.

The order of events, once. Everything that comes in is a stranger's word until a signature under
one of the issuer's keys holds; until then it can only be refused. What cannot be decided is
refused as undecided (503), and so is whatever goes wrong in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from licet.core import assembly, flow
from licet.core.caching import presented
from licet.core.circumstances import NOWHERE, Observer, Where
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.enforcement import Enforcement
from licet.core.entitlements import Entitlements
from licet.core.errors import (
    HttpsRequired,
    LicenseError,
    LicenseRequired,
    LicenseUnavailable,
    PossessionRequired,
)
from licet.core.facts import RequestFacts
from licet.core.flow import Flow
from licet.core.grants import Grant, GrantCache, GrantStats
from licet.core.judge import Judge
from licet.core.judgements import Judgements
from licet.core.keys.keystore import Health
from licet.core.paths import ExemptPaths
from licet.core.request import Sources, find_credential
from licet.core.settings import Settings
from licet.core.transport import Transport


class Gate:
    """Judges licenses by one `Settings`. Share one per process: `gates.gate_for`.

    Args:
        settings: what counts as a valid license.
        clock: wall and monotonic time.
        transport: what fetches key sets; one of its own by default.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = SYSTEM_CLOCK,
        transport: Transport | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.events = assembly.bus(clock)
        self.exempt_paths = ExemptPaths(settings.exempt_paths)
        around = assembly.Surroundings.of(settings, clock, self.events)
        self.enforcement = Enforcement(settings.mode, self.events, clock, assembly.tally(around))
        #: From whatever went wrong to the refusal that it is: `Enforcement.as_refusal`.
        self.as_refusal = self.enforcement.as_refusal
        # Nothing is looked for where nothing is judged.
        self.sources = Sources.of(() if self.enforcement.is_off else settings.sources or ())
        assembly.tell(around)
        transport = transport or Transport(around.tls)
        self.keys = assembly.key_stores(around, transport)
        state = assembly.state(around)
        self.boards = assembly.boards(around, state)
        grants = GrantCache(settings.grant_cache_size if settings.grant_max_age else 0)
        self._standing = assembly.standing(around, self.keys, transport, self.boards, grants.forget)
        self._standing.usage = assembly.ledger(around, self.enforcement.refuse)
        if not self.enforcement.is_strict:
            self._standing.refuse = self.enforcement.refuse
        self.withdrawals = self._standing.withdrawals
        self.pushed = assembly.pushed(around, self.withdrawals, self.boards)
        sighted = assembly.sighted(around, state)
        self._judge = Judge(settings, clock, self.keys, self._standing, sighted)
        self._judgements = Judgements(settings, clock, self._judge, self._standing, grants)
        self._judgements.arbiter = assembly.arbiter(
            around, self.keys, self._judge, self._standing, grants.forget
        )
        #: What is remembered of a credential: `Judgements.recall`, bound once for the hot path.
        self.recall = self._judgements.recall
        #: The judgement of a credential in full: `Judgements.judge`.
        self.judge = self._judgements.judge
        self._observer = Observer(settings, clock)
        self._observations = assembly.observations(around)
        self._possession = assembly.possession(around, self._observer.proxies)
        self._https_only = settings.require_https
        self._wall = clock.wall
        # Requests let in by `decide`, without those that were found in memory and not let in.
        self._slowly = 0
        self.refresher = assembly.refresher(around, state, self._judge, self.withdrawals)
        self.installation = assembly.installation(
            around,
            recall=self.recall,
            judge=self._judgements.granted,
            refused=self.enforcement.denied,
            refresher=self.refresher,
        )
        assembly.follow_hints(self.keys, self._standing, self._judgements.arbiter, self.refresher)

    # -- a request, in the order of events ------------------------------------------------------

    def admit(
        self,
        grant: Grant,
        credential: bytes,
        source: str,
        facts: Callable[[Any], RequestFacts],
        request: object,
    ) -> Entitlements | None:
        """Return what a remembered license entitles a request to, without waiting.

        Args:
            grant: of the license.
            credential: what was presented.
            source: where; empty for an installation's license.
            facts: makes the facts of `request`; not called for a license without conditions.
            request: as the adapter has it.

        Returns:
            None where the request has to be judged by `decide`: a proof of possession takes a
            store.

        Raises:
            LicenseError: the license does not hold for this request, or that cannot be told.
        """
        conditions = grant.terms.conditions
        if conditions is not None or self._https_only:
            if conditions is not None and conditions.binding is not None:
                self._slowly -= 1
                return None
            made = facts(request)
            try:
                if self._https_only:
                    self._demand_https(made, source)
                self._check(grant, made)
            except Exception as error:
                self._slowly -= 1
                return self.refuse(error)
        if self._judgements.sampled:
            self._notice(grant, facts(request))
        return Entitlements(grant, credential, presented(grant, source))

    def decide(self, facts: RequestFacts) -> Flow[Entitlements]:
        """Judge a request.

        Returns:
            Its entitlements; `UNLICENSED` ones where a license is not required and absent.

        Raises:
            LicenseError: it is refused, or undecided.
        """
        try:
            return (yield from self._decide(facts))
        except Exception as error:
            return self.refuse(error)

    def peek(self, facts: RequestFacts) -> Entitlements:
        """Return the entitlements of an exempt request, from what is already known.

        Waits for nothing and refuses nothing: what cannot be known is `UNLICENSED`.
        """
        try:
            return flow.peek(self._decide(facts))
        except flow.WouldWait:
            return self.enforcement.without(LicenseUnavailable("not_known_yet"))
        except Exception as error:
            return self.enforcement.without(self.as_refusal(error))

    def verify(
        self, credential: bytes, at: float | None = None, where: Where = NOWHERE
    ) -> Flow[Entitlements]:
        """Judge a credential outside any request; else as `decide`.

        Args:
            credential: what was presented.
            at: wall time to judge by, at which the entitlements then stand still, in place of
                the clock; what comes of it is remembered nowhere.
            where: the circumstances, as far as they are known.
        """
        try:
            if self.enforcement.is_off:
                return self.enforcement.unasked()
            if at is None:
                domain = self._observer.told(where, 0.0).domain
                grant = yield from self._judgements.granted(credential, domain)
            else:
                grant = yield from self._judge.verify(credential, at)
                # As with keys, what was withdrawn is withdrawn at any time.
                yield from self._standing.check(grant)
                grant.fix()
            conditions = grant.terms.conditions
            if conditions is not None:
                conditions.check(self._observer.told(where, grant.wall()))
                if conditions.binding is not None:
                    raise PossessionRequired("outside_a_request")
            return Entitlements(grant, credential)
        except Exception as error:
            return self.refuse(error)

    def recheck(self, entitlements: Entitlements, facts: RequestFacts) -> Flow[None]:
        """Look again at the license of a connection that is still open.

        Proofs of possession are not asked for: theirs came with the handshake.

        Args:
            entitlements: what the connection was given.
            facts: of the request that opened it.

        Raises:
            LicenseError: a request would be refused by now, or undecided.
        """
        if not entitlements.license_id:
            return
        try:
            if self.installation is not None:
                held = yield from self.installation.held()
                if held is None:
                    raise self.installation.missing()
                grant, credential = held
            else:
                credential = entitlements._credential or b""
                grant = yield from self._judgements.granted(credential, lambda: self._domain(facts))
            self._check(grant, facts)
            entitlements.renew(grant, credential)
        except Exception as error:
            self.refuse(error)

    def refuse(self, error: Exception) -> Entitlements:
        """Refuse a request: the one place where that is done.

        Returns:
            Where nothing is enforced, what a request that is let pass may do: honestly, nothing.

        Raises:
            LicenseError: `error` itself; `LicenseUnavailable` for anything unexpected.
        """
        refusal = self.as_refusal(error)
        self.enforcement.refuse(refusal)
        return self.enforcement.without(refusal)

    def let_pass(self, error: Exception) -> Entitlements | None:
        """Return what a request may do that passes although an adapter failed to judge it.

        Returns:
            None where it is refused, as is the rule.
        """
        return None if self.enforcement.is_strict else self.refuse(error)

    def would_refuse(self) -> Mapping[str, int]:
        """Return how often each code would have been refused by this process, had it enforced."""
        return self.enforcement.tally.here

    # -- its steps -------------------------------------------------------------------------------

    def _decide(self, facts: RequestFacts) -> Flow[Entitlements]:
        if self.enforcement.is_off:
            return self.enforcement.unasked()
        if self.installation is not None:
            held = yield from self.installation.held()
            if held is None:
                return self._absent(self.installation.missing())
            grant, kept = held
            self._check(grant, facts)
            self._admitted(grant, facts)
            return Entitlements(grant, kept)
        credential = find_credential(facts, self.sources)
        if credential is None:
            return self._absent(LicenseRequired())
        self._demand_https(facts, credential.source)
        grant = yield from self._judgements.granted(credential.value, lambda: self._domain(facts))
        self._check(grant, facts)
        conditions = grant.terms.conditions
        binding = None if conditions is None else conditions.binding
        if binding is not None or credential.scheme == "dpop":
            try:
                yield from self._possession.prove(binding, facts, credential)
            except LicenseError as error:
                self._observations.refused(grant, error, self._observer.of(facts, self._wall()))
                raise
        self._admitted(grant, facts)
        return Entitlements(grant, credential.value, presented(grant, credential.source))

    def _demand_https(self, facts: RequestFacts, source: str) -> None:
        # An installation's license has no source: no request carries it.
        if self._https_only and source and not self._observer.proxies.is_secure(facts):
            raise HttpsRequired

    def _check(self, grant: Grant, facts: RequestFacts) -> None:
        conditions = grant.terms.conditions
        if conditions is None:
            return
        circumstances = self._observer.of(facts, self._wall())
        try:
            conditions.check(circumstances)
        except LicenseError as error:
            self._observations.refused(grant, error, circumstances)
            raise

    def _admitted(self, grant: Grant, facts: RequestFacts) -> None:
        self._slowly += 1
        self._notice(grant, facts)

    def _notice(self, grant: Grant, facts: RequestFacts) -> None:
        times = self._judgements.take_sample()
        self._observations.admitted(grant, self._observer.of(facts, self._wall()), times)

    def _absent(self, error: LicenseError) -> Entitlements:
        """Return what a request without a license may do; raise `error` where it needs one."""
        if self.settings.required:
            raise error
        return self.enforcement.without(error)

    def _domain(self, facts: RequestFacts) -> str:
        return self._observer.of(facts, self._wall()).domain() or ""

    # -- around it -------------------------------------------------------------------------------

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
        # What is found in memory is let in, but for the few that `_slowly` knows of.
        judgements = self._judgements
        return judgements.grants.hits - judgements.revisited + self._slowly
