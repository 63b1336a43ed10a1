"""How licenses come to be, for who has an admin key: one by one, or many at once.

Trusts the caller. What is acknowledged is on disk, and token and opaque key are in the one answer
that acknowledges it, nowhere afterwards. Of many, all are issued or none.
"""

from __future__ import annotations

from collections.abc import Sequence

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from licet.core.clock import Clock
from licet.core.token import strictjson
from licet.server.access.doors import Doors
from licet.server.endpoints.address import Address
from licet.server.endpoints.bodies import NO_STORE, read_bytes, read_object
from licet.server.licenses import issuing
from licet.server.licenses.issuing import Order, OrderError
from licet.server.licenses.register import IdTakenError, Issued, OutdatedError, Register
from licet.server.licenses.statuslists import Place, StatusLists
from licet.server.signing.keys import SigningKeys

#: Licenses in one import, and bytes of its body.
MOST_IMPORTED, MAX_IMPORT = 1_000, 8 * 1024 * 1024
#: How often a license is signed that is outdated before it is written.
ATTEMPTS = 10
_MOST_MEMBERS = MOST_IMPORTED * strictjson.MAX_MEMBERS
_LINES = frozenset("application/x-ndjson application/ndjson application/jsonl".split())


class Issuance:
    """The endpoints that issue licenses.

    Args:
        keys: what signs.
        register: takes them up.
        lists: the status lists.
        audience: the product that licenses are for where a request names none.
        address: where applications find this server.
        clock: wall time.
    """

    def __init__(
        self,
        keys: SigningKeys,
        register: Register,
        lists: StatusLists,
        *,
        audience: str,
        address: Address,
        clock: Clock,
    ) -> None:
        self._keys, self._register, self._lists = keys, register, lists
        self._audience, self._address, self._clock = audience, address, clock

    def routes(self, doors: Doors) -> list[Route]:
        """Return the routes, for who comes through `doors` as the vendor."""
        admin = doors.admin
        return [
            Route("/v1/licenses", self.issue, methods=["POST"], middleware=admin),
            Route("/v1/licenses/import", self.import_, methods=["POST"], middleware=admin),
        ]

    async def issue(self, request: Request) -> Response:
        """Issue one license."""
        body = await read_object(request, issuing.MEMBERS)
        try:
            (issued,) = await self._issue(request, [issuing.order(body)])
        except OrderError as error:
            raise HTTPException(400, f"{error}.") from None
        return JSONResponse(_given(issued), 201, NO_STORE)

    async def import_(self, request: Request) -> Response:
        """Issue many, all of them or none; they are answered in the order they came in."""
        content = await read_bytes(request, MAX_IMPORT)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            orders = await to_thread.run_sync(_orders, content, kind in _LINES)
            issued = await self._issue(request, orders)
        except OrderError as error:
            raise HTTPException(400, f"{error}.") from None
        return JSONResponse({"licenses": [_given(one) for one in issued]}, 201, NO_STORE)

    async def _issue(self, request: Request, orders: Sequence[Order]) -> list[Issued]:
        """Sign and take up licenses.

        Signed before they are written, so that the writer has no more to do than write; anew in
        the rare case that something else was written meanwhile.
        """
        actor, now = request.state.caller.id, self._clock.wall()
        for _ in range(ATTEMPTS):
            places = await self._draw(self._address.base(request), orders)
            if len(orders) == 1:
                issued = self._signed(orders, places)
            else:
                issued = await to_thread.run_sync(self._signed, orders, places)
            try:
                await self._register.add(issued, actor, now)
            except OutdatedError:
                continue
            except IdTakenError as error:
                raise HTTPException(409, f"There is a license {error} already.") from None
            return issued
        raise HTTPException(503, "The keys or the status lists change too quickly.")

    async def _draw(self, base: str, orders: Sequence[Order]) -> list[Place | None]:
        """Return a place on a list for each order that wants one."""
        wanted = sum(order.listed for order in orders)
        drawn = iter(await self._lists.draw(base, wanted) if wanted else ())
        return [next(drawn) if order.listed else None for order in orders]

    def _signed(self, orders: Sequence[Order], places: Sequence[Place | None]) -> list[Issued]:
        issuer, many, issued = self._keys.issuer, len(orders) > 1, []
        for number, (order, place) in enumerate(zip(orders, places, strict=True), 1):
            try:
                issued.append(issuing.sign(order, issuer, self._audience, place))
            except OrderError as error:
                raise OrderError(f"License {number}: {error}" if many else str(error)) from None
        return issued


def _orders(content: bytes, by_line: bool) -> list[Order]:
    """Return the orders of an import: of a JSON array, or of lines that are an object each.

    Raises:
        OrderError: one of them is none.
    """
    bodies = _lines(content) if by_line else _array(content)
    if not 1 <= len(bodies) <= MOST_IMPORTED:
        raise OrderError(f"An import has 1 to {MOST_IMPORTED} licenses")
    orders = []
    for number, body in enumerate(bodies, 1):
        try:
            orders.append(issuing.order(body))
        except OrderError as error:
            raise OrderError(f"License {number}: {error}") from None
    return orders


def _lines(content: bytes) -> list[object]:
    bodies: list[object] = []
    for line in filter(bytes.strip, content.split(b"\n")):
        try:
            bodies.append(strictjson.loads(line))
        except ValueError:
            problem = f"License {len(bodies) + 1}: it is no JSON object that has one reading"
            raise OrderError(problem) from None
    return bodies


def _array(content: bytes) -> list[object]:
    try:
        bodies = strictjson.value(content, max_members=_MOST_MEMBERS)
    except ValueError:
        raise OrderError("The body is no JSON array that has one reading") from None
    if not isinstance(bodies, list):
        raise OrderError("The body is a JSON array of licenses, or one on each line")
    return bodies


def _given(issued: Issued) -> dict[str, str]:
    answer = {"id": issued.claims["sub"], "token": issued.token}
    return answer if issued.key is None else {**answer, "key": issued.key}
