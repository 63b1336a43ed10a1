"""What users need to test licensed code: an issuer, licenses, and entitlements without either.

Decides nothing about licenses: they are signed and read by the same code as real ones. With
pytest the same names are fixtures; elsewhere call the functions.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from licet.core.clock import SYSTEM_CLOCK
from licet.core.context import bind
from licet.core.entitlements import Entitlements
from licet.core.grants import Fixed, Grant
from licet.core.terms import read_terms
from licet.core.token import base64url
from licet.core.token.claims import Claims
from licet.issuer import Issuer
from licet.possession import ProofKey

if TYPE_CHECKING:
    from licet.core.usage.ledger import Ledger

__all__ = [
    "AUDIENCE",
    "ISSUER",
    "ProofKey",
    "entitled",
    "license_issuer",
    "license_settings",
    "make_license",
]

ISSUER = "https://licenses.test"
AUDIENCE = "licet-test"
HOUR = 3600.0

F = TypeVar("F", bound=Callable[..., Any])


@functools.cache
def license_issuer() -> Issuer:
    """Return the issuer of this test run. To test rotation make one with `Issuer.generate`."""
    return Issuer.generate(ISSUER)


def license_settings(issuer: Issuer | None = None) -> dict[str, Any]:
    """Return the options with which any adapter accepts the licenses of `issuer`, offline.

    Args:
        issuer: whose; that of `license_issuer` where not given.
    """
    issuer = issuer or license_issuer()
    return {"issuer": issuer.name, "audience": AUDIENCE, "jwks": issuer.jwks(), "jwks_url": None}


def make_license(
    features: Iterable[str] = (),
    *,
    expires_in: float = HOUR,
    issuer: Issuer | None = None,
    **arguments: Any,
) -> str:
    """Sign a license for `license_settings`.

    Args:
        features: what it grants.
        expires_in: seconds from now; a negative number makes one that has ended.
        issuer: who signs; that of `license_issuer` where not given.
        **arguments: as `Issuer.issue` takes them; by default for `AUDIENCE`, with the license
            id `lic_test`. `cnf={"jkt": key.jkt}` binds it to a `ProofKey`; `domains=["testserver"]`
            makes it hold for that host alone, which Django's test client names only if told to:
            `client.get(path, headers={"host": "testserver"})`. For `ip_ranges` Starlette's client
            needs an address: `TestClient(app, client=("127.0.0.1", 50000))`.

    Raises:
        ValueError: no gate would accept it. To sign that too there is `Issuer.sign`.
    """
    if expires_in <= 0:
        arguments.setdefault("issued_at", SYSTEM_CLOCK.wall() + expires_in - HOUR)
        expires_in = HOUR
    license_of = {"audience": AUDIENCE, "subject": "lic_test", **arguments}
    return (issuer or license_issuer()).issue(
        features=features, expires_in=expires_in, **license_of
    )


def entitled(
    features: Iterable[str] = (),
    *,
    plan: str | None = None,
    limits: Mapping[str, object] | None = None,
    scopes: Iterable[str] = (),
    roles: Iterable[str] = (),
    customer: str | None = None,
    license_id: str = "lic_test",
    expires_in: float = HOUR,
) -> _Entitled:
    """Run code as under a license, without a token, a middleware or a request.

    A context manager, and a decorator for functions, sync and async. What it binds is what
    `current_entitlements()` and the `requires_…` decorators see; a middleware in between binds
    its own. There is no request that could be in the wrong place, so it takes no constraints:
    send a license of `make_license` to the middleware for that.

    Args:
        features: what is granted.
        plan: the plan's name.
        limits: name to number or `"unlimited"`, as in a license. What is consumed of them is
            counted in memory, and for this one `entitled` alone.
        scopes: what `requires_scope` asks for.
        roles: what `requires_role` asks for.
        customer: the holder, in words.
        license_id: the license's id.
        expires_in: seconds from now; a negative number makes a license that has ended.

    Raises:
        LicenseInvalid: no license could say this.
    """
    now = SYSTEM_CLOCK.wall()
    ends = now + expires_in
    payload: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": license_id,
        "iat": min(now, ends - HOUR),
        "exp": ends,
        "customer": customer,
        "plan": plan,
        # A text is left for the reader to refuse: as a list it would be its letters.
        "features": features if isinstance(features, str) else list(features),
        "limits": dict(limits or {}),
        "scope": " ".join(scopes),
        "roles": roles if isinstance(roles, str) else list(roles),
    }
    payload = {name: value for name, value in payload.items() if value is not None}
    grant = Grant(
        Claims(ISSUER, license_id, customer, payload["iat"], ends, 0.0, payload),
        read_terms(payload),
        leeway=0.0,
        since=payload["iat"],
        until=ends,
        keys=None,
        thumbprint="",
        generation=0,
    )
    grant.standing = _Counted()
    return _Entitled(grant, b".%b." % base64url.encode(json.dumps(payload).encode()))


class _Counted(Fixed):
    """The standing of a license whose use is counted by itself."""

    @functools.cached_property
    def usage(self) -> Ledger:  # type: ignore[override]  # made for who consumes, which few do
        from licet.core.events.bus import EventBus
        from licet.core.stores.memory import MemoryStore
        from licet.core.usage.counting import Counting
        from licet.core.usage.ledger import Ledger

        return Ledger(Counting(MemoryStore(), SYSTEM_CLOCK), SYSTEM_CLOCK, EventBus())


class _Entitled(AbstractContextManager[Entitlements]):
    """What `entitled` returns; each use binds a view of its own, so that uses may nest."""

    def __init__(self, grant: Grant, credential: bytes) -> None:
        self._grant = grant
        self._credential = credential
        self._entered: list[AbstractContextManager[Entitlements]] = []

    def __enter__(self) -> Entitlements:
        binding = self._bind()
        self._entered.append(binding)
        return binding.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered.pop().__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        if inspect.isclass(function):
            raise TypeError("@entitled(...) goes on functions and methods, not on classes")
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError("@entitled(...) cannot follow a generator; use `with` inside it")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._bind():
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._bind():
                    return function(*args, **kwargs)

        return cast("F", wrapper)

    def _bind(self) -> AbstractContextManager[Entitlements]:
        return bind(Entitlements(self._grant, self._credential))
