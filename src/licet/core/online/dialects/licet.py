"""The dialect of Licet's own license server (`protocol.md`, section 3).

A signed answer counts if it repeats what was asked: audience, nonce, the digest of the
credential, and the domain. `valid` is JSON true or false; nothing else is an answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

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

TYPE = "license-validation+jwt"
#: What a plain answer says beside the license's claims.
_OF_THE_ANSWER = frozenset(("valid", "error", "cache_for", "nonce", "req"))


@dataclass(frozen=True)
class Licet:
    """Speaks to `licet serve`, and to every server of the same protocol."""

    asks_domain = True

    def request(self, question: Question, server: LicenseServer) -> Request:
        """Return what to send: the credential and the nonce stand in the body alone."""
        asked = {
            "licenseKey": question.credential,
            "domain": question.domain,
            "audience": question.audience,
            "nonce": question.nonce,
        }
        if question.domain is None:
            del asked["domain"]
        accepted = "application/jwt, application/json" if server.unsigned else "application/jwt"
        body = json.dumps(asked)
        return post(server, body, content_type="application/json", accept=accepted)

    def read(self, question: Question, response: Response, server: LicenseServer) -> Answer:
        """Return what the response says about this very question.

        Raises:
            Undecided: it is no answer to it, or none that may be believed.
            KeyMissing: from `server.key`.
        """
        match media_type(response.headers):
            case "application/jwt":
                return _signed(question, signed.read(response.body, TYPE, question, server))
            case "application/json":
                return _unsigned(question, unsigned.read(response, server))
        raise Undecided("content_type")


def _signed(question: Question, said: dict[str, Any]) -> Answer:
    if not signed.same(said.get("req"), question.digest):
        raise Undecided("req", "replay")
    if question.domain is None:
        elsewhere = "domain" in said
    else:
        elsewhere = not signed.same(said.get("domain"), question.domain)
    if elsewhere:
        raise Undecided("domain", "replay")
    claims = said.get("license", {})
    if not isinstance(claims, dict):
        raise Undecided("license")
    named, about = signed.license_id(claims, question), signed.license_id(said, question)
    if named and about and named != about:
        raise Undecided("license")
    if said.get("valid") is False:
        error = _error(said.get("error"))
        ended = claims if named and error == "expired" else None
        return Denied(error, True, said["iat"], named or about, ended)
    if said.get("valid") is not True:
        raise Undecided("valid")
    if "license" not in said:
        raise Undecided("license")
    if question.license_id is not None and "sub" not in claims:
        raise Undecided("license", "replay")
    return Granted(claims, True, said["iat"], _cache_for(said))


def _unsigned(question: Question, said: dict[str, Any]) -> Answer:
    if said.get("valid") is False:
        return Denied(_error(said.get("error", "rejected")))
    if said.get("valid") is not True:
        raise Undecided("valid")
    claims = {name: value for name, value in said.items() if name not in _OF_THE_ANSWER}
    return Granted(unsigned.claims(claims, question), cache_for=_cache_for(said))


def _error(word: object) -> str:
    if not isinstance(word, str):
        raise Undecided("error")
    # A no in a word that nobody should see is a no.
    readable = 1 <= len(word) <= 64 and word.isascii() and word.isprintable()
    return word if readable else "rejected"


def _cache_for(said: dict[str, Any]) -> float | None:
    if "cache_for" not in said:
        return None
    seconds = said["cache_for"]
    if (type(seconds) is not int and type(seconds) is not float) or seconds < 0:
        raise Undecided("cache_for")
    return seconds
