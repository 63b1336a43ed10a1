"""Licet for FastAPI.

    app = FastAPI(responses=LICENSE_RESPONSES)
    app.add_middleware(LicenseMiddleware, issuer="…", audience="…")

    @app.get("/reports", dependencies=[RequiresFeature("analytics")])
    async def reports(entitlements: CurrentEntitlements): ...

The middleware is that of `licet.starlette`. The dependencies read what it found, on requests and
websockets, and put the lock into the OpenAPI document. In tests
`app.dependency_overrides[request_entitlements]` replaces what they read, behind the middleware.
"""

# No postponed annotations here: FastAPI reads these, and older ones cannot resolve texts that
# stand on an instance or name what `extra` imports.

from collections.abc import AsyncIterator, Callable, Iterator
from inspect import isawaitable
from typing import Annotated, Any

from licet._requires import extra
from licet.core.entitlements import Entitlements, Kind
from licet.core.entitlements.requirements import requirement
from licet.core.errors import LicenseError
from licet.core.problem import MEDIA_TYPE
from licet.core.usage.charge import Charge
from licet.core.usage.paid import paid
from licet.core.usage.use import Use

with extra("fastapi", "fastapi"):
    from fastapi import Security
    from fastapi.openapi.models import HTTPBearer
    from fastapi.security.base import SecurityBase
    from starlette.requests import HTTPConnection

from licet.starlette import LicenseMiddleware, entitlements_of

__all__ = [
    "LICENSE_RESPONSES",
    "Consumes",
    "CurrentEntitlements",
    "LicenseMiddleware",
    "RequiresFeature",
    "RequiresRole",
    "RequiresScope",
    "entitlements_of",
    "request_entitlements",
]


class _RequestEntitlements(SecurityBase):
    """The dependency behind all others: what the middleware found, and the scheme it asks for."""

    def __init__(self) -> None:
        self.model = HTTPBearer(
            bearerFormat="license+jwt", description="A license token, signed by its issuer."
        )
        self.scheme_name = "License"

    async def __call__(self, connection: HTTPConnection) -> Entitlements:
        return entitlements_of(connection)


request_entitlements = _RequestEntitlements()

#: The entitlements of a request or websocket, as a parameter of a path operation.
CurrentEntitlements = Annotated[Entitlements, Security(request_entitlements)]


def RequiresFeature(*names: str, any_of: bool = False) -> Any:  # noqa: N802 - as Security is
    """Demand features of the license: all `names`, or one of them with `any_of`.

    A dependency for `dependencies=[…]` and `Annotated[Entitlements, …]`; where it is met its
    value is the entitlements. The lock in the OpenAPI document names what is demanded.

    Raises:
        TypeError: without a name.

    The path operation is then refused with:
        FeatureNotLicensed: the license does not name them.
        LicenseError: there is no license that holds now: what made it so.
    """
    return _demand("RequiresFeature", names, any_of, "feature:", "features")


def RequiresScope(*names: str, any_of: bool = False) -> Any:  # noqa: N802
    """Demand scopes of the license (RFC 6749, section 3.3); else as `RequiresFeature`."""
    return _demand("RequiresScope", names, any_of, "", "scopes")


def RequiresRole(*names: str, any_of: bool = False) -> Any:  # noqa: N802
    """Demand roles of the license; else as `RequiresFeature`."""
    return _demand("RequiresRole", names, any_of, "role:", "roles")


def Consumes(  # noqa: N802
    limit: str,
    *,
    cost: int | Callable[[Any], Any] = 1,
    by: Callable[[Any], Any] | None = None,
) -> Any:
    """Charge a limit of the license before the path operation runs, as `licet.consumes` does.

    A dependency for `dependencies=[…]` and `Annotated[Charge, …]`; its value is the charge. It is
    given back where the path operation raises or answers 5xx, and kept once another answer has
    begun or a websocket was accepted; a seat stays its user's. The lock in the OpenAPI document
    names the limit.

    Args:
        limit: its name in the license.
        cost: how much of it, 1 or more; or what tells that of the request, 0 or more.
        by: what tells of the request who the user is: a text, a number or a UUID. The limit then
            counts different users. `seats` always needs it. Both may be async; neither may block.

    Raises:
        TypeError: without a name, with a cost that is none, or for seats without `by`.

    The path operation is then refused with:
        LimitExceeded: the limit is used up.
        FeatureNotLicensed: the license does not name it.
        LicenseUnavailable: that cannot be told, because the store gives no answer.
        LicenseError: there is no license that holds now: what made it so.
    """
    use = Use("Consumes", limit, cost, by)

    async def consumed(
        connection: HTTPConnection, entitlements: CurrentEntitlements
    ) -> AsyncIterator[Charge]:
        told = use.tell(entitlements, lambda: connection)
        if isawaitable(told):
            told = await told
        async with await paid(entitlements, use.charging(entitlements, told)) as paying:
            yield paying.charge

    return Security(consumed, scopes=[f"limit:{limit}"])


def _demand(word: str, names: tuple[str, ...], any_of: bool, prefix: str, kind: Kind) -> Any:
    check = requirement(word, names, any_of, kind)

    # Async, because FastAPI sends sync dependencies through its thread pool.
    async def demanded(entitlements: CurrentEntitlements) -> Entitlements:
        check(entitlements)
        return entitlements

    # OpenAPI lists what is demanded together; it has no word for one of several.
    scopes = [] if any_of and len(names) > 1 else [prefix + name for name in names]
    return Security(demanded, scopes=scopes)


def _kinds(base: type[LicenseError]) -> Iterator[type[LicenseError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == base.__module__:  # not those of applications
            yield kind
            yield from _kinds(kind)


def _responses() -> dict[int | str, dict[str, Any]]:
    texts = {"type": "string"}
    responses: dict[int | str, dict[str, Any]] = {}
    kinds = list(_kinds(LicenseError))
    for status in sorted({kind.status for kind in kinds}):
        alike = [kind for kind in kinds if kind.status == status]
        codes = dict.fromkeys(code for kind in alike for code in kind.codes)
        schema = {
            "title": "LicenseProblem",
            "type": "object",
            "required": ["type", "title", "status", "detail", "code"],
            "properties": {
                "type": {**texts, "format": "uri"},
                "title": texts,
                "status": {"type": "integer", "const": status},
                "detail": texts,
                "code": {**texts, "enum": list(codes)},
            },
        }
        responses[status] = {
            "description": "; ".join(dict.fromkeys(kind.title for kind in alike)),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
    return responses


#: The refusals, by status, as `responses` of an application, router or path operation; they
#: appear in the OpenAPI document as problem details (RFC 9457).
LICENSE_RESPONSES = _responses()
