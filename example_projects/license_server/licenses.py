"""Licenses over HTTP: issued and withdrawn by the vendor, asked about and renewed by holders."""

from __future__ import annotations

import secrets

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .bodies import NO_STORE, document, is_text, read_object
from .keys import Keys
from .register import ACTIVE, REVOKED, SUSPENDED, Refused, Register
from .statuslist import StatusList, StatusListFull
from .webhooks import Webhooks

MEMBERS = frozenset(
    "customer plan features limits roles scope audience expires_in trial grace"
    " domains ip_ranges regions time_windows cnf must_understand key status".split()
)
QUESTION = frozenset(("licenseKey", "audience", "nonce", "domain"))
#: What a status list says of each state, and what receivers are told.
STATUSES = {ACTIVE: 0, REVOKED: 1, SUSPENDED: 2}
EVENTS = {ACTIVE: "license.resumed", REVOKED: "license.revoked", SUSPENDED: "license.suspended"}


class Licenses:
    """The endpoints about licenses.

    Args:
        keys: what signs.
        audience: the product that licenses are for where a request names none.
        register: the licenses that were issued.
        statuses: the list that those are on which ask for it.
        webhooks: who is told.
        url: where this server is for applications; empty for where the vendor finds it.
    """

    def __init__(
        self,
        keys: Keys,
        audience: str,
        register: Register,
        statuses: StatusList,
        webhooks: Webhooks,
        url: str,
    ) -> None:
        self.keys, self.audience, self.register = keys, audience, register
        self.statuses, self.webhooks, self.url = statuses, webhooks, url

    async def issue(self, request: Request) -> Response:
        body = await read_object(request, MEMBERS)
        keyed, listed = body.pop("key", False), body.pop("status", False)
        if not isinstance(keyed, bool) or not isinstance(listed, bool):
            raise HTTPException(400, "key and status are true or false.")
        license_id = f"lic_{secrets.token_hex(12)}"
        claims = {"audience": self.audience, "subject": license_id, **body}
        try:
            if listed:
                claims["status"] = self.statuses.place(self._status_uri(request))
            token = self.keys.issuer.issue(**claims)
        except StatusListFull:
            raise HTTPException(503, "The status list is full.") from None
        except (TypeError, ValueError) as error:
            raise HTTPException(400, str(error)) from None
        key = self.register.add(token, keyed=keyed)
        answer = {"id": license_id, "token": token} | ({"key": key} if key else {})
        return JSONResponse(answer, 201, NO_STORE)

    async def revoke(self, request: Request) -> Response:
        return await self.change_state(request, REVOKED)

    async def suspend(self, request: Request) -> Response:
        return await self.change_state(request, SUSPENDED)

    async def resume(self, request: Request) -> Response:
        return await self.change_state(request, ACTIVE)

    async def change_state(self, request: Request, state: str) -> Response:
        body = await read_object(request, frozenset(["reason"]))
        if not is_text(*body.values()):
            raise HTTPException(400, "reason is ASCII text.")
        license_id = request.path_params["id"]
        license_ = self.register.licenses.get(license_id)
        if license_ is None:
            raise HTTPException(404, "There is no such license.")
        if license_.state == REVOKED != state:
            raise HTTPException(409, "A revoked license stays revoked: issue another one.")
        license_.state = state
        if "status" in license_.claims:
            self.statuses.mark(license_.claims["status"], STATUSES[state])
        reason = body.get("reason", "")
        self.webhooks.tell(EVENTS[state], license_id=license_id, reason=reason)
        return JSONResponse({"id": license_id, "state": state})

    async def validate(self, request: Request) -> Response:
        asked = await read_object(request, QUESTION)
        if not is_text(*asked.values()) or not asked.keys() >= QUESTION - {"domain"}:
            raise HTTPException(400, "licenseKey, audience, nonce and any domain are ASCII text.")
        issuer = self.keys.issuer
        answer = self.register.answer(
            issuer, asked["licenseKey"], asked["audience"], asked.get("domain")
        )
        signed = issuer.sign(
            {**answer, "nonce": asked["nonce"]}, header={"typ": "license-validation+jwt"}
        )
        return Response(signed, headers=NO_STORE, media_type="application/jwt")

    async def refresh(self, request: Request) -> Response:
        body = await read_object(request, frozenset(["token"]))
        if not body or not is_text(*body.values()):
            raise HTTPException(400, "token is ASCII text.")
        try:
            token, expires_in = self.register.renewed(self.keys.issuer, body["token"])
        except Refused as error:
            raise HTTPException(403, str(error)) from None
        return JSONResponse({"token": token, "expires_in": expires_in}, headers=NO_STORE)

    async def status(self, request: Request) -> Response:
        listed = self.statuses
        asked = request.path_params["number"] == listed.number
        text = listed.signed_by(self.keys.issuer) if asked else None
        if text is None:
            raise HTTPException(404, "There is no such list.")
        # Half of what it is fresh for may have passed here already.
        return document(request, text.encode(), "application/statuslist+jwt", listed.ttl // 2)

    def _status_uri(self, request: Request) -> str:
        base = self.url or str(request.base_url)
        return f"{base.rstrip('/')}/status/{self.statuses.number}"
