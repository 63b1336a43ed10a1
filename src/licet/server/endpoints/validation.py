"""Whether a license holds, for applications: in our own words, and in those of OAuth.

Trusts the caller, who has a validation key, with the question and with nothing else. An answer
counts for its question only. One license is read by its key and nothing is written meanwhile; when
a license was last found to hold, and what is strange about a question, is written down behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from licet.core.clock import Clock
from licet.core.token import base64url
from licet.server.access.doors import Doors
from licet.server.endpoints.bodies import NO_STORE, is_text, read_bytes, read_object
from licet.server.licenses import judgement
from licet.server.licenses.changes import Changes
from licet.server.licenses.credentials import Credentials
from licet.server.licenses.judgement import ANSWER_LIFETIME, License
from licet.server.licenses.sightings import Sightings
from licet.server.notices import Notices
from licet.server.signing.keys import SigningKeys

QUESTION = frozenset(("licenseKey", "audience", "nonce", "domain"))
#: The answer of RFC 9701, and the body of RFC 7662.
SIGNED = "token-introspection+jwt"
_FORM = "application/x-www-form-urlencoded"


class Validation:
    """The endpoints that say whether a license holds.

    Args:
        keys: what signs.
        credentials: finds licenses.
        changes: knows what is not on disk yet.
        sightings: is told of those that hold.
        notices: is told of every question about a license.
        audience: the product that licenses are for where nothing names another.
        cache_for: seconds for which a yes may be relied on.
        clock: wall time.
    """

    def __init__(
        self,
        keys: SigningKeys,
        credentials: Credentials,
        changes: Changes,
        sightings: Sightings,
        notices: Notices,
        *,
        audience: str,
        cache_for: int,
        clock: Clock,
    ) -> None:
        self._keys, self._credentials, self._changes = keys, credentials, changes
        self._sightings, self._notices = sightings, notices
        self._audience, self._cache_for, self._clock = audience, cache_for, clock

    def routes(self, doors: Doors) -> list[Route]:
        """Return the routes, for who comes through `doors` as an application."""
        door = doors.validation
        return [
            Route("/v1/licenses/validate", self.validate, methods=["POST"], middleware=door),
            Route("/v1/licenses/introspect", self.introspect, methods=["POST"], middleware=door),
        ]

    async def validate(self, request: Request) -> Response:
        """Answer the question of `protocol.md`, section 3."""
        asked = await read_object(request, QUESTION)
        if not is_text(*asked.values()) or not asked.keys() >= QUESTION - {"domain"}:
            raise HTTPException(400, "licenseKey, audience, nonce and any domain are ASCII text.")
        issuer, now = self._keys.issuer, self._clock.wall()
        credential, audience, domain = asked["licenseKey"], asked["audience"], asked.get("domain")
        answer: dict[str, Any] = {
            "iss": issuer.name,
            "aud": audience,
            "nonce": asked["nonce"],
            "req": base64url.encode(hashlib.sha256(credential.encode()).digest()).decode("ascii"),
        }
        if domain is not None:
            answer["domain"] = domain
        license_ = self._credentials.find(credential)
        answer["iat"] = self._said_at(license_, now)
        answer["exp"] = answer["iat"] + ANSWER_LIFETIME
        said = judgement.validation(license_, audience, domain, now, self._cache_for)
        if license_ is not None:
            self._note(license_, said.get("error"), domain, now)
        signed = issuer.sign({**answer, **said}, header={"typ": "license-validation+jwt"})
        return Response(signed, headers=NO_STORE, media_type="application/jwt")

    async def introspect(self, request: Request) -> Response:
        """Answer as RFC 7662 says, signed as RFC 9701 says where that is accepted.

        The form may name an `audience`: the product that asks. Else the answer is for whatever
        products the license is for.
        """
        asked = await _form(request)
        credential, audience = asked["token"], asked.get("audience")
        issuer, now = self._keys.issuer, self._clock.wall()
        license_ = self._credentials.find(credential)
        said = judgement.introspection(license_, audience, now)
        if license_ is not None:
            self._note(license_, None if said["active"] else "inactive", None, now)
        headers = {**NO_STORE, "Vary": "Accept"}
        if not _accepts_signed(request.headers.getlist("accept")):
            return JSONResponse(said, headers=headers)
        of_license = self._audience if license_ is None else license_.claims["aud"]
        # No `exp`, nor `sub`: it must not pass for a token (RFC 9701, section 8.1).
        answer: dict[str, Any] = {
            "iss": issuer.name,
            "aud": of_license if audience is None else audience,
            "iat": self._said_at(license_, now),
            "token_introspection": said,
        }
        if "nonce" in asked:
            answer["nonce"] = asked["nonce"]
        signed = issuer.sign(answer, header={"typ": SIGNED})
        return Response(signed, headers=headers, media_type=f"application/{SIGNED}")

    def _said_at(self, license_: License | None, now: float) -> float:
        """Return the date of what is said of a license that was found at `now`."""
        return now if license_ is None else min(now, self._changes.as_of(license_.id))

    def _note(self, license_: License, word: str | None, domain: str | None, now: float) -> None:
        """Note a question about a license, and what was answered."""
        if word is None:
            self._sightings.note(license_.id, now)
        elif word == "domain_mismatch":
            bound = license_.claims.get("domains", license_.claims.get("domain"))
            self._notices.suspicious(license_.id, word, requested_domain=domain, bound_domain=bound)
        self._notices.asked(license_.id)


async def _form(request: Request) -> dict[str, str]:
    """Return the parameters of the form that is the body (RFC 7662, section 2.1)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise HTTPException(415, f"The body is a form, {_FORM}.", {"Accept-Post": _FORM})
    content = await read_bytes(request)
    try:
        pairs = parse_qsl(
            content.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=100,
        )
    except ValueError:
        raise HTTPException(400, "The body is no form in UTF-8.") from None
    asked = dict(pairs)
    # Nothing may be said twice (RFC 6749, section 3.2); what is unknown is ignored.
    if len(asked) != len(pairs) or not asked.get("token"):
        raise HTTPException(400, "The form has a token, once, and no parameter twice.")
    return asked


def _accepts_signed(accepted: Sequence[str]) -> bool:
    """Return whether a signed answer is asked for by name."""
    for entry in ",".join(accepted).split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        if name == f"application/{SIGNED}":
            return not any(part.startswith("q=0") and not part.strip("q=0.") for part in parameters)
    return False
