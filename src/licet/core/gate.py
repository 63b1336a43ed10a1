"""The gate: credential and facts in, entitlements out, or a `LicenseError`.

The order of events, once. Everything that comes in is a stranger's word until a signature under
one of the issuer's keys holds; until then it can only be refused. What cannot be decided is
refused as undecided (503), and so is whatever goes wrong in here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from licet.core import assembly, flow
from licet.core.circumstances import NOWHERE, Observer, Where
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.constraints.registry import Conditions
from licet.core.entitlements import Entitlements
from licet.core.errors import (
    HttpsRequired,
    LicenseError,
    LicenseRequired,
    LicenseUnavailable,
    PossessionRequired,
)
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.events.log import FailureLog, LogSink
from licet.core.facts import RequestFacts
from licet.core.flow import Flow
from licet.core.grants import Grant, GrantCache, GrantStats
from licet.core.judge import Judge
from licet.core.judgements import Judgements
from licet.core.keys.keystore import Health
from licet.core.paths import ExemptPaths
from licet.core.request import Sources, find_credential
from licet.core.revocation.statements import Hint
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
        self.events = EventBus(LogSink(clock))
        self._failed = FailureLog(clock)
        self.sources = Sources.of(settings.sources or ())
        self.exempt_paths = ExemptPaths(settings.exempt_paths)
        around = assembly.Surroundings.of(settings, clock, self.events)
        transport = transport or Transport(around.tls)
        self.keys = assembly.key_stores(around, transport)
        state = assembly.state(around)
        self.boards = assembly.boards(around, state)
        grants = GrantCache(settings.grant_cache_size if settings.grant_max_age else 0)
        self._standing = assembly.standing(around, self.keys, transport, self.boards, grants.forget)
        self.withdrawals = self._standing.withdrawals
        self.withdrawals.on_hint(self._hinted)
        self.pushed = assembly.pushed(around, self.withdrawals, self.boards)
        self._judge = Judge(settings, clock, self.keys, self._standing)
        self._judgements = Judgements(settings, clock, self._judge, self._standing, grants)
        self._judgements.arbiter = assembly.arbiter(
            around, self.keys, self._judge, self._standing, grants.forget
        )
        #: What is remembered of a credential: `Judgements.recall`, bound once for the hot path.
        self.recall = self._judgements.recall
        #: The judgement of a credential in full: `Judgements.judge`.
        self.judge = self._judgements.judge
        self._observer = Observer(settings, clock)
        self._possession = assembly.possession(around, self._observer.proxies)
        self._https_only = settings.require_https
        self._wall = clock.wall
        self.refresher = assembly.refresher(around, state, self._judge, self.withdrawals)
        self.installation = assembly.installation(
            around,
            recall=self.recall,
            judge=self._judgements.granted,
            refused=self._denied,
            refresher=self.refresher,
        )

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
                return None
            made = facts(request)
            try:
                if self._https_only:
                    self._demand_https(made, source)
                if conditions is not None:
                    conditions.check(self._observer.of(made, self._wall()))
            except Exception as error:
                self.refuse(error)
        return Entitlements(grant, credential, source)

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
            self.refuse(error)

    def peek(self, facts: RequestFacts) -> Entitlements:
        """Return the entitlements of an exempt request, from what is already known.

        Waits for nothing and refuses nothing: what cannot be known is `UNLICENSED`.
        """
        try:
            return flow.peek(self._decide(facts))
        except flow.WouldWait:
            return Entitlements.unlicensed(LicenseUnavailable("not_known_yet"))
        except Exception as error:
            return Entitlements.unlicensed(self.as_refusal(error))

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
            self.refuse(error)

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
            self._check(grant.terms.conditions, facts)
            entitlements.renew(grant, credential)
        except Exception as error:
            self.refuse(error)

    def refuse(self, error: Exception) -> NoReturn:
        """Refuse a request: the one place where that is done.

        Raises:
            LicenseError: `error` itself; `LicenseUnavailable` for anything unexpected.
        """
        refusal = self.as_refusal(error)
        self._denied(refusal)
        raise refusal from None

    # -- its steps -------------------------------------------------------------------------------

    def _decide(self, facts: RequestFacts) -> Flow[Entitlements]:
        if self.installation is not None:
            held = yield from self.installation.held()
            if held is None:
                return self._absent(self.installation.missing())
            grant, kept = held
            self._check(grant.terms.conditions, facts)
            return Entitlements(grant, kept)
        credential = find_credential(facts, self.sources)
        if credential is None:
            return self._absent(LicenseRequired())
        self._demand_https(facts, credential.source)
        grant = yield from self._judgements.granted(credential.value, lambda: self._domain(facts))
        conditions = grant.terms.conditions
        self._check(conditions, facts)
        binding = None if conditions is None else conditions.binding
        if binding is not None or credential.scheme == "dpop":
            yield from self._possession.prove(binding, facts, credential)
        return Entitlements(grant, credential.value, credential.source)

    def _demand_https(self, facts: RequestFacts, source: str) -> None:
        # An installation's license has no source: no request carries it.
        if self._https_only and source and not self._observer.proxies.is_secure(facts):
            raise HttpsRequired

    def _check(self, conditions: Conditions | None, facts: RequestFacts) -> None:
        if conditions is not None:
            conditions.check(self._observer.of(facts, self._wall()))

    def _absent(self, error: LicenseError) -> Entitlements:
        """Return what a request without a license may do; raise `error` where it needs one."""
        if self.settings.required:
            raise error
        return Entitlements.unlicensed(error)

    def _domain(self, facts: RequestFacts) -> str:
        return self._observer.of(facts, self._wall()).domain() or ""

    def _hinted(self, hint: Hint) -> None:
        """Ask anew where something is said to have changed."""
        if hint.kind == "rotated":
            if (keys := self.keys.get(hint.issuer)) is not None:
                keys.hasten()
            return
        if (lists := self._standing.lists.get(hint.issuer)) is not None:
            lists.hasten()
        if self._judgements.arbiter is not None:
            self._judgements.arbiter.resumed(hint.issuer, hint.name)
        if self.refresher is not None:
            self.refresher.hasten(hint.issuer, hint.name)

    # -- around it -------------------------------------------------------------------------------

    def warm(self) -> None:
        """Begin to fetch the keys that are not there yet, in the background."""
        for keys in self.keys.values():
            keys.warm()

    def health(self) -> dict[str, Health]:
        """Return the state of each issuer's keys; reads only, fetches nothing."""
        return {issuer: keys.health() for issuer, keys in self.keys.items()}

    def grant_stats(self) -> GrantStats:
        """Return how many licenses were answered from memory, and how many were not."""
        return self._judgements.grants.stats

    def as_refusal(self, error: Exception) -> LicenseError:
        """Return the refusal that `error` is, or that anything unexpected becomes."""
        if isinstance(error, LicenseError):
            return error
        self._failed(error)
        return LicenseUnavailable(f"internal_error:{type(error).__name__}")

    def _denied(self, error: LicenseError) -> None:
        told = {"code": error.code, "reason": error.reason}
        if "correlation_id" in error.members:
            told["correlation_id"] = str(error.members["correlation_id"])
        self.events.emit(Event("license.denied", told))
