"""Which license server is asked: where it is, and what may have signed its answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from licet.core.keys.jwk import VerifyKey
from licet.core.online.keys import AnswerKeys


@dataclass(frozen=True, slots=True)
class Server:
    """A license server, as a dialect is told of it.

    Args:
        issuer: whose licenses it judges.
        url: the whole address of its endpoint.
        credentials: what it knows this application by; a secret.
        unsigned: whether answers without a signature are believed.
        keys: what may have signed its answers.
    """

    issuer: str
    url: str
    credentials: str | None = field(repr=False)
    unsigned: bool
    keys: AnswerKeys = field(repr=False)

    def key(self, kid: str, alg: str) -> VerifyKey:
        """Return the key that may have signed an answer, as `LicenseServer` says."""
        return self.keys.at_hand(kid, alg)
