"""The dialect of OAuth 2.0 token introspection (RFC 7662), its answers signed (RFC 9701).

Beyond the standards the request carries a `nonce`, which a signed answer repeats beside
`token_introspection`: without it an old answer would be as good as a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from licet.core.documents.exchange import media_type
from licet.core.online.dialects import signed, unsigned
from licet.core.online.dialects.posted import post
from licet.core.online.question import (
    Answer,
    Denied,
    Granted,
    LicenseServer,
    Question,
    Undecided,
)
from licet.core.transport import Request, Response

TYPE = "token-introspection+jwt"
#: What an authorization server says of a token, and no license does (RFC 7662, section 2.2).
_OF_THE_TOKEN = frozenset(("active", "client_id", "username", "token_type"))


@dataclass(frozen=True)
class Introspection:
    """Speaks to an introspection endpoint that knows licenses as tokens."""

    asks_domain = False

    def request(self, question: Question, server: LicenseServer) -> Request:
        """Return what to send: the credential and the nonce stand in the body alone."""
        accepted = f"application/{TYPE}" + (", application/json" if server.unsigned else "")
        asked = urlencode({"token": question.credential, "nonce": question.nonce})
        form = "application/x-www-form-urlencoded"
        return post(server, asked, content_type=form, accept=accepted)

    def read(self, question: Question, response: Response, server: LicenseServer) -> Answer:
        """Return what the response says about this very question.

        Raises:
            Undecided: it is no answer to it, or none that may be believed.
            KeyMissing: from `server.key`.
        """
        match media_type(response.headers):
            case "application/token-introspection+jwt":
                # RFC 9701 gives the answer no `exp` of its own, lest it pass for an access token.
                said = signed.read(response.body, TYPE, question, server, expires=False)
                return _signed(question, said)
            case "application/json":
                said = unsigned.read(response, server)
                if not _is_active(said):
                    return Denied("unknown")
                return Granted(unsigned.claims(_of_the_license(said), question))
        raise Undecided("content_type")


def _signed(question: Question, said: dict[str, Any]) -> Answer:
    told = said.get("token_introspection")
    if not isinstance(told, dict):
        raise Undecided("token_introspection")
    about = signed.license_id(told, question)
    if not _is_active(told):
        return Denied("unknown", True, said["iat"], about)
    if question.license_id is not None and about is None:
        raise Undecided("license", "replay")
    claims = {"iss": said["iss"], "aud": said["aud"], **_of_the_license(told)}
    return Granted(claims, True, said["iat"])


def _is_active(told: dict[str, Any]) -> bool:
    active = told.get("active")
    if active is not True and active is not False:
        raise Undecided("active")
    return active


def _of_the_license(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in _OF_THE_TOKEN}
