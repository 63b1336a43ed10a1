"""Whether the presenter of a license is its holder: all that a binding demands, in one flow.

Decides in which order, and how a bound license may come. The proof is recorded last, once
everything else holds, so that strangers fill no store; and it is judged on each request, also
when the license itself is remembered.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Protocol

from licet.core.errors import LicenseUnavailable, PossessionInvalid, PossessionRequired
from licet.core.flow import Effect, Flow
from licet.core.possession.binding import Binding
from licet.core.possession.dpop import REMEMBERED, Dpop
from licet.core.possession.mtls import Certificates
from licet.core.possession.target import url_of
from licet.core.request import Credential
from licet.core.request.facts import RequestFacts
from licet.core.stores import Key, StoreUnavailable, key


class Replays(Protocol):
    """What remembers proofs, in every worker alike: any store."""

    def set_if_absent(self, key: Key, ttl: float) -> Effect[bool]:
        """Return what records `key` for `ttl` seconds, atomically, and tells if it was new."""
        ...


class Possession:
    """Demands what licenses are bound to; one for each gate.

    Args:
        dpop: checks proofs.
        certificates: finds the client's certificate.
        replays: the store, shared by all workers.
        external_url: scheme and host, checked; None where the framework vouches for the host.
    """

    def __init__(
        self,
        dpop: Dpop,
        certificates: Certificates,
        replays: Replays,
        external_url: str | None = None,
    ) -> None:
        self._dpop = dpop
        self._certificates = certificates
        self._replays = replays
        self._external_url = external_url

    def prove(
        self, binding: Binding | None, facts: RequestFacts, credential: Credential
    ) -> Flow[None]:
        """Refuse a request whose sender does not prove what its license is bound to.

        Ask last of all: the proof is used up.

        Args:
            binding: what the license is bound to; None for a license anyone may present.
            facts: of the request.
            credential: the license, as it was presented.

        Raises:
            PossessionRequired: no proof came, or the license came as if it needed none.
            PossessionInvalid: the proof does not hold, or was used, or proves nothing.
            LicenseAmbiguous: there are two certificates.
            BadHost: the framework does not serve the host the request names.
            LicenseUnavailable: it cannot be told; the store is down, for instance.
        """
        jkt = None if binding is None else binding.jkt
        if credential.scheme == "dpop" and jkt is None:
            # RFC 9449, section 7.1: the scheme says that the license is bound to a key.
            raise PossessionInvalid("not_bound")
        if binding is not None and binding.certificate is not None:
            self._show(binding.certificate, facts)
        if jkt is not None:
            yield from self._sign(jkt, facts, credential)

    def _show(self, certificate: str, facts: RequestFacts) -> None:
        """Hold the client's certificate against the one that is named (RFC 8705, section 3)."""
        shown = self._certificates.thumbprint(facts)
        if shown is None:
            raise PossessionRequired("no_cert")
        if not compare_digest(shown, certificate):
            raise PossessionInvalid("cert_mismatch")

    def _sign(self, jkt: str, facts: RequestFacts, credential: Credential) -> Flow[None]:
        """Check the proof, then see to it that it is the first of its kind."""
        if credential.scheme == "bearer":
            raise PossessionRequired("bearer")
        proofs = facts.fields("dpop")
        if not proofs:
            raise PossessionRequired("pop_missing")
        url = url_of(facts, self._external_url)
        if url is None:
            raise LicenseUnavailable("no_external_url")
        seen = self._dpop.check(
            proofs, method=facts.method, url=url, credential=credential.value, jkt=jkt
        )
        try:
            new = yield self._replays.set_if_absent(key("dpop", *seen), REMEMBERED)
        except StoreUnavailable as error:
            raise LicenseUnavailable(f"replay_store:{error.reason}") from None
        if not new:
            raise PossessionInvalid("dpop_replay")
