"""Who may come in: whoever brings an API key of the right kind (RFC 6750).

Decides before anything of a request but its headers is read. Right keys are held to their pace;
wrong ones to that of the address that they come from, so that guessing gets slow for who guesses
and for nobody else. What was presented is neither repeated nor logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, IPv6Network

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from licet.core.request.addresses import read_address
from licet.server.access.apikeys import ApiKeys, Caller, Kind
from licet.server.access.pace import LONGEST, Pace, TooFastError

#: Wrong keys a second that an address has refused at once.
WRONG_RATE = 20
#: Requests with wrong keys that wait at once, from everywhere: each of them is kept meanwhile.
MOST_WAITING = 1_000


class Doors:
    """What lets callers in, or does not.

    Args:
        api_keys: the keys.
        asking: the pace of each validation key.
        guessing: the pace of wrong keys of each address.
        sleep: how one waits.
    """

    def __init__(
        self,
        api_keys: ApiKeys,
        asking: Pace,
        guessing: Pace,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._api_keys, self._asking, self._guessing = api_keys, asking, guessing
        self._sleep, self._strangers = sleep, 0

    @property
    def admin(self) -> list[Middleware]:
        """For routes that an admin key opens."""
        return [Middleware(_Door, doors=self, kind="admin")]

    @property
    def validation(self) -> list[Middleware]:
        """For routes that a validation key opens."""
        return [Middleware(_Door, doors=self, kind="validation")]

    async def admit(self, scope: Scope, kind: Kind) -> Caller:
        """Return who calls, after as long as they have to wait.

        Raises:
            HTTPException: they may not come in; 400, 401, 403 or 429.
        """
        presented = _presented(scope)
        if presented is None:
            raise _refusal(401, f"This takes the {kind} key.")
        caller = self._api_keys.find(presented)
        if caller is not None and caller.kind == "validation":
            await self._wait(self._asking, caller.id)
            # It may have been revoked meanwhile.
            caller = self._api_keys.find(presented)
        if caller is None:
            await self._hold_up(_address(scope))
            raise _refusal(401, f"The {kind} key is wrong.", "invalid_token")
        if caller.kind != kind:
            raise _refusal(403, f"This takes the {kind} key.", "insufficient_scope")
        return caller

    async def _wait(self, pace: Pace, name: str) -> None:
        try:
            delay = pace.delay(name)
        except TooFastError as error:
            raise _too_fast(error.retry_after) from None
        if delay:
            await self._sleep(delay)

    async def _hold_up(self, address: str) -> None:
        """Have somebody with a wrong key wait, unless too many do."""
        if self._strangers >= MOST_WAITING:
            raise _too_fast(int(LONGEST))
        self._strangers += 1
        try:
            await self._wait(self._guessing, address)
        finally:
            self._strangers -= 1


class _Door:
    """Lets nobody into one route without a key of its kind."""

    def __init__(self, app: ASGIApp, doors: Doors, kind: Kind) -> None:
        self._app, self._doors, self._kind = app, doors, kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._doors.admit(scope, self._kind)
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


def _presented(scope: Scope) -> str | None:
    """Return the key that a request brings, None where it brings none."""
    fields = Headers(scope=scope).getlist("authorization")
    if not fields:
        return None
    scheme, _, key = fields[0].partition(" ")
    if len(fields) > 1:
        raise _refusal(400, "There is more than one Authorization header.", "invalid_request")
    return key.strip(" ") if scheme.lower() == "bearer" else None


def _refusal(status: int, detail: str, error: str = "") -> HTTPException:
    """Return a refusal with its challenge (RFC 6750, section 3)."""
    challenge = 'Bearer realm="licet"' + (f', error="{error}"' if error else "")
    return HTTPException(status, detail, {"WWW-Authenticate": challenge})


def _too_fast(retry_after: int) -> HTTPException:
    return HTTPException(429, "Too many requests.", {"Retry-After": str(retry_after)})


def _address(scope: Scope) -> str:
    """Return where a request comes from, as far as one caller may have all of it."""
    host: str = scope["client"][0] if scope.get("client") else ""
    # What stands behind % is the interface of a link-local address.
    address = read_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), 64), strict=False))
    return host if address is None else str(address)
