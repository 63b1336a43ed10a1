"""Entitlements for a test, without a token, a middleware or a request."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from licet.core.clock import SYSTEM_CLOCK
from licet.core.entitlements import Entitlements
from licet.core.entitlements.context import bind
from licet.core.errors import LicenseExpired
from licet.core.grants import Fixed, Grant
from licet.core.grants.reading import read_terms
from licet.core.lifecycle import PLAIN, Course, Standpoint
from licet.core.settings.values import downgrade
from licet.core.token import base64url
from licet.core.token.claims import Claims
from licet.testing.licenses import AUDIENCE, HOUR, ISSUER

if TYPE_CHECKING:
    from licet.core.usage.ledger import Ledger

F = TypeVar("F", bound=Callable[..., Any])


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
    trial: bool = False,
    grace: int = 0,
    downgrade_to: Mapping[str, Any] | None = None,
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
        trial: whether it is a license to try: its `status` is `TRIAL`.
        grace: seconds after its end for which it still serves: its `status` is `GRACE` then.
        downgrade_to: what is left of it after that, as in the setting: `DOWNGRADED`.

    Raises:
        LicenseInvalid: no license could say this.
        ConfigError: nor could `downgrade_to`.
    """
    now = SYSTEM_CLOCK.wall()
    ends = now + expires_in
    payload: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": license_id,
        # Grace is never longer than what a license was issued for.
        "iat": min(now, ends - max(HOUR, grace)),
        "exp": ends,
        "customer": customer,
        "plan": plan,
        # A text is left for the reader to refuse: as a list it would be its letters.
        "features": features if isinstance(features, str) else list(features),
        "limits": dict(limits or {}),
        "scope": " ".join(scopes),
        "roles": roles if isinstance(roles, str) else list(roles),
        "trial": trial or None,
        "grace": grace or None,
    }
    payload = {name: value for name, value in payload.items() if value is not None}
    claims = Claims(ISSUER, license_id, customer, payload["iat"], ends, 0.0, payload)
    stage, terms, lasts = _standpoint(claims, downgrade_to, now)
    grant = Grant(claims, terms, leeway=lasts, stage=stage, since=payload["iat"], until=inf)
    grant.standing = _Counted()
    return _Entitled(grant, b".%b." % base64url.encode(json.dumps(payload).encode()))


def _standpoint(claims: Claims, downgrade_to: Mapping[str, Any] | None, now: float) -> Standpoint:
    """Return where a license stands; one that has ended is bound all the same, and allows nothing.

    Args:
        claims: of the license.
        downgrade_to: what is left of it in the end.
        now: wall time, seconds since the epoch.
    """
    terms, left = read_terms(claims.payload), None
    if downgrade_to is not None:
        kept = downgrade("downgrade_to", downgrade_to)
        left = read_terms({name: value for name, value in kept.items() if value is not None})
    try:
        return Course(0.0, downgraded=left).at(claims, terms, now)
    except LicenseExpired:
        return Standpoint(PLAIN, terms, 0.0)


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
