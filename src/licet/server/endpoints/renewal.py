"""A license that renews itself: whoever has it gets the same one from now on, for as long.

A license that was sold for a term ends with it, and a trial where it would have ended at first.

To have the license is what permits it, and where it is bound, to prove what it is bound to. The
proof names the token in the body (`ath`), for there the token is presented as RFC 9449 means it:
with the proof for one license nobody renews another of the same holder. Proofs are remembered in
memory; who repeats one after a restart gets a license that is bound as before, of no use to others.

An older token renews its license as well, as long as it has not ended itself: both are the same
license, and several machines may have it. A copy that was stolen is stopped as the license is, by
revoking it; binding is what keeps it from being of use.
"""

from __future__ import annotations

import secrets
from typing import Any

from anyio import sleep
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from licet.core import flow
from licet.core.clock import Clock
from licet.core.errors import (
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseNotActive,
    LicenseRevoked,
    PossessionInvalid,
    PossessionRequired,
)
from licet.core.possession.binding import read_cnf
from licet.core.possession.dpop import ALGORITHMS, Dpop
from licet.core.possession.holder import Possession
from licet.core.possession.mtls import Certificates
from licet.core.request import Credential
from licet.core.request.proxies import Proxies
from licet.core.stores.memory import MemoryStore
from licet.server.access.pace import Pace, TooFastError
from licet.server.endpoints.address import Address
from licet.server.endpoints.bodies import NO_STORE, Refusal, is_text, read_object
from licet.server.endpoints.facts import ServerFacts
from licet.server.licenses import issuing
from licet.server.licenses.credentials import Credentials
from licet.server.licenses.judgement import ACTIVE, REVOKED, License, end
from licet.server.licenses.register import OutdatedError, Register, WithdrawnError
from licet.server.signing.keys import SigningKeys

PATH = "/v1/licenses/refresh"
#: Renewals of one license in a second; each is written to the disk.
RATE = 2
#: How often one is signed whose key is retired before it is written.
ATTEMPTS = 10
_CHALLENGE = f'DPoP realm="licet", algs="{" ".join(ALGORITHMS)}"'


class Renewal:
    """The endpoint where licenses are refreshed.

    Args:
        keys: what signs.
        credentials: finds licenses.
        register: the licenses.
        address: where applications find this server, for `htu` of their proofs.
        clock: both clocks.
    """

    def __init__(
        self,
        keys: SigningKeys,
        credentials: Credentials,
        register: Register,
        *,
        address: Address,
        clock: Clock,
    ) -> None:
        self._keys, self._credentials, self._register = keys, credentials, register
        self._clock, self._pace = clock, Pace(RATE, clock=clock)
        self._possession = Possession(
            Dpop(clock), Certificates("asgi", Proxies()), MemoryStore(clock), address.known
        )

    def routes(self) -> list[Route]:
        """Return the route; to have a license is what opens it."""
        return [Route(PATH, self.refresh, methods=["POST"])]

    async def refresh(self, request: Request) -> Response:
        """Give the same license anew."""
        body = await read_object(request, frozenset(["token"]))
        if not body or not is_text(*body.values()):
            raise HTTPException(400, "token is ASCII text.")
        token = body["token"]
        try:
            license_ = self._renewable(token)
            await self._prove(license_, request, token)
            await self._wait(license_.id)
            return await self._renewed(license_)
        except LicenseError as error:
            raise _refusal(error) from None

    def _renewable(self, token: str) -> License:
        """Return the license of a token that may be renewed, if its holder proves to be that.

        Raises:
            LicenseError: it may not.
        """
        presented = self._credentials.verified(token)
        if presented is None:
            raise LicenseInvalid
        license_ = self._register.license(presented.payload["sub"])
        if license_ is None:
            raise LicenseInvalid
        if license_.state != ACTIVE:
            raise _withdrawn(license_.state)
        now = self._clock.wall()
        if now < presented.payload.get("nbf", 0):
            raise LicenseNotActive
        if now >= end(presented.payload):
            raise LicenseExpired
        return license_

    async def _prove(self, license_: License, request: Request, token: str) -> None:
        """Have the holder prove what the license is bound to; the proof is used up."""
        if "cnf" in license_.claims:
            binding = read_cnf(license_.claims["cnf"])
            credential = Credential(token.encode("ascii"), "body")
            facts = ServerFacts(request, PATH)
            await flow.arun(self._possession.prove(binding, facts, credential))

    async def _wait(self, license_id: str) -> None:
        try:
            delay = self._pace.delay(license_id)
        except TooFastError as error:
            again = {"Retry-After": str(error.retry_after)}
            raise HTTPException(429, "This license was renewed just now.", again) from None
        if delay:
            await sleep(delay)

    async def _renewed(self, license_: License) -> Response:
        for _ in range(ATTEMPTS):
            now = self._clock.wall()
            claims = _from_now_on(license_, now)
            renewed = issuing.issued(self._keys.issuer.sign(claims))
            try:
                await self._register.renew(renewed, now)
            except OutdatedError:
                continue
            except WithdrawnError as error:
                raise _withdrawn(str(error)) from None
            answer = {"token": renewed.token, "expires_in": claims["exp"] - claims["iat"]}
            return JSONResponse(answer, headers=NO_STORE)
        raise HTTPException(503, "The keys change too quickly.")


def _from_now_on(license_: License, now: float) -> dict[str, Any]:
    claims, begin = license_.claims, int(now)
    ends_at = begin + int(claims["exp"] - claims["iat"])
    if license_.term_ends_at is not None:
        ends_at = min(ends_at, int(license_.term_ends_at))
        if ends_at <= begin:
            raise LicenseExpired
    return {**claims, "iat": begin, "exp": ends_at, "jti": secrets.token_hex(16)}


def _withdrawn(state: str) -> LicenseError:
    return LicenseRevoked() if state == REVOKED else LicenseRevoked(code="license_suspended")


def _refusal(error: LicenseError) -> Refusal:
    """Return the answer; what only a proof lacks is challenged (RFC 9449, section 7.1)."""
    if isinstance(error, PossessionRequired):
        return Refusal(401, error.code, error.detail, {"WWW-Authenticate": _CHALLENGE})
    if isinstance(error, PossessionInvalid):
        challenge = {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_dpop_proof"'}
        return Refusal(401, error.code, error.detail, challenge)
    # Nobody who logs in otherwise would have more of it: a 401 would have to say how.
    return Refusal(403 if error.status == 401 else error.status, error.code, error.detail)
