"""What is demanded of a request itself, beside its license: how, from where and by whom it is made.

Some of it the settings demand, most of it the license. What a request is judged by is observed here
and nowhere else, so that every demand sees the same.
"""

from __future__ import annotations

from licet.core.clock import Clock
from licet.core.errors import HttpsRequired, LicenseError, PossessionRequired
from licet.core.events.observations import Observations
from licet.core.flow import Flow
from licet.core.grants import Grant
from licet.core.online.domain import Domain
from licet.core.possession.holder import Possession
from licet.core.request import Credential
from licet.core.request.circumstances import Observer, Where
from licet.core.request.facts import RequestFacts
from licet.core.settings import Settings


class Demands:
    """Holds requests against what is demanded of them.

    Args:
        settings: whether credentials may come by plain HTTP.
        clock: wall time.
        observer: tells the circumstances of a request.
        possession: checks the proofs of holders.
        observations: hear of requests that a license was not enough for.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        observer: Observer,
        possession: Possession,
        observations: Observations,
    ) -> None:
        self._https_only = settings.require_https
        self._wall = clock.wall
        self._observer = observer
        self._possession = possession
        self._observations = observations

    def check_https(self, facts: RequestFacts, source: str) -> None:
        """Demand that a credential came by HTTPS, where the settings do.

        Args:
            facts: of the request.
            source: where the credential was; empty for an installation's, which no request carries.

        Raises:
            HttpsRequired: it came over plain HTTP.
        """
        if self._https_only and source and not self._observer.proxies.is_secure(facts):
            raise HttpsRequired

    def check(self, grant: Grant, facts: RequestFacts) -> None:
        """Demand that a request meets the conditions of its license.

        Raises:
            ConstraintViolated: it does not.
            BadHost: one of them needs the host, and there is none that could be believed.
        """
        conditions = grant.terms.conditions
        if conditions is None:
            return
        try:
            conditions.check(self._observer.of(facts, self._wall()))
        except LicenseError as error:
            self.unmet(grant, error, facts)
            raise

    def prove(self, grant: Grant, facts: RequestFacts, credential: Credential) -> Flow[None]:
        """Demand the proof of its holder, where a license is bound to one or the request says so.

        Raises:
            PossessionRequired: there is none.
            PossessionInvalid: it proves nothing.
            LicenseUnavailable: that cannot be told.
        """
        conditions = grant.terms.conditions
        binding = None if conditions is None else conditions.binding
        if binding is None and credential.scheme != "dpop":
            return
        try:
            yield from self._possession.prove(binding, facts, credential)
        except LicenseError as error:
            self.unmet(grant, error, facts)
            raise

    def unmet(self, grant: Grant, error: Exception, facts: RequestFacts) -> None:
        """Have it noticed that a license is not enough for a request.

        Args:
            grant: of the license.
            error: why; nothing is noticed of what is no refusal.
            facts: of the request.
        """
        if isinstance(error, LicenseError):
            self._observations.refused(grant, error, self._observer.of(facts, self._wall()))

    def check_outside(self, grant: Grant, where: Where) -> None:
        """Demand, outside any request, that the conditions of a license are met.

        Raises:
            ConstraintViolated: they are not, as far as is known.
            PossessionRequired: it is bound to its holder, who can prove that in a request only.
        """
        conditions = grant.terms.conditions
        if conditions is None:
            return
        conditions.check(self._observer.told(where, grant.wall()))
        if conditions.binding is not None:
            raise PossessionRequired("outside_a_request")

    def domain(self, facts: RequestFacts) -> Domain:
        """Return what tells where a request is judged, should a license server have to know."""
        return lambda: self._observer.of(facts, self._wall()).domain() or ""

    def domain_outside(self, where: Where) -> Domain:
        """Return the same of circumstances that were told."""
        return self._observer.told(where, 0.0).domain
