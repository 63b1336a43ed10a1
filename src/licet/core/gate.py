"""The gate: credential and facts in, entitlements out, or a `LicenseError`.

The order of events, once. Everything that comes in is a stranger's word until a signature under
one of the issuer's keys holds; until then it can only be refused. What cannot be decided is
refused as undecided (503), and so is whatever goes wrong in here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from licet.core import flow
from licet.core.assembly import Parts
from licet.core.caching import GRACE, presented
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseError, LicenseRequired, LicenseUnavailable
from licet.core.flow import Flow
from licet.core.grants import Grant
from licet.core.request import find_credential
from licet.core.request.circumstances import NOWHERE, Where
from licet.core.request.facts import RequestFacts


class Gate(Parts):
    """Judges licenses by one `Settings`. Share one per process: `gates.gate_for`.

    What it is made of, and what it is made with, is said of its `Parts`.
    """

    # -- a request, in the order of events ------------------------------------------------------

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

    def _decide(self, facts: RequestFacts) -> Flow[Entitlements]:
        if self.enforcement.is_off:
            return self.enforcement.unasked()
        if self.installation is not None:
            held = yield from self.installation.held()
            if held is None:
                return self._absent(self.installation.missing())
            grant, kept = held
            self._demands.check(grant, facts)
            self._admissions.admitted(grant, facts)
            return Entitlements(grant, kept)
        credential = find_credential(facts, self.sources)
        if credential is None:
            return self._absent(LicenseRequired())
        self._demands.check_https(facts, credential.source)
        grant = yield from self._judgements.granted(credential.value, self._demands.domain(facts))
        self._demands.check(grant, facts)
        yield from self._demands.prove(grant, facts, credential)
        self._admissions.admitted(grant, facts)
        return Entitlements(grant, credential.value, presented(grant, credential.source))

    def _absent(self, error: LicenseError) -> Entitlements:
        """Return what a request without a license may do; raise `error` where it needs one."""
        if self.settings.required:
            raise error
        return self.enforcement.without(error)

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
                self._admissions.refused()
                return None
            made = facts(request)
            try:
                if self._https_only:
                    self._demands.check_https(made, source)
                if conditions is not None:
                    # As `Demands.check` has it, without the call: this is the hot path.
                    conditions.check(self._observe(made, self._wall()))
            except Exception as error:
                self._admissions.refused()
                self._demands.unmet(grant, error, made)
                return self.refuse(error)
        if self._admissions.due:
            self._admissions.notice(grant, facts(request))
        if grant.stage.status is GRACE:
            return Entitlements(grant, credential, presented(grant, source))
        return Entitlements(grant, credential, source)

    # -- beside it -------------------------------------------------------------------------------

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
                domain = self._demands.domain_outside(where)
                grant = yield from self._judgements.granted(credential, domain)
            else:
                grant = yield from self._judge.verify(credential, at)
                # As with keys, what was withdrawn is withdrawn at any time.
                yield from self._standing.check(grant)
                grant.fix()
            self._demands.check_outside(grant, where)
            return Entitlements(grant, credential)
        except Exception as error:
            return self.refuse(error)

    def recheck(self, entitlements: Entitlements, facts: RequestFacts) -> Flow[bool]:
        """Look again at the license of a connection that is still open.

        Proofs of possession are not asked for: theirs came with the handshake.

        Args:
            entitlements: what the connection was given.
            facts: of the request that opened it.

        Returns:
            Whether it holds; where nothing is enforced, that it does not was told by this.

        Raises:
            LicenseError: a request would be refused by now, or undecided.
        """
        if not entitlements.license_id:
            return True
        try:
            if self.installation is not None:
                held = yield from self.installation.held()
                if held is None:
                    raise self.installation.missing()
                grant, credential = held
            else:
                credential = entitlements._credential or b""
                grant = yield from self._judgements.granted(credential, self._demands.domain(facts))
            self._demands.check(grant, facts)
            entitlements.renew(grant, credential)
        except Exception as error:
            self.refuse(error)
            return False
        return True

    def refuse(self, error: Exception) -> Entitlements:
        """Refuse a request: the one place where that is done.

        Returns:
            Where nothing is enforced, what a request that is let pass may do: honestly, nothing.

        Raises:
            LicenseError: `error` itself; `LicenseUnavailable` for anything unexpected.
        """
        refusal = self.as_refusal(error)
        self.enforcement.refuse(refusal)
        return self.enforcement.passed(refusal)

    def let_pass(self, error: Exception) -> Entitlements | None:
        """Return what a request may do that passes although an adapter failed to judge it.

        Returns:
            None where it is refused, as is the rule.
        """
        return None if self.enforcement.is_strict else self.refuse(error)
