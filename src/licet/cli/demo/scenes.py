"""What is played before each application, and what each must answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from licet.cli.demo.licenses import Vendor, forged, tampered
from licet.cli.demo.servers import Server, Servers

AUDIENCE = "acme-reports"
#: Seconds that keys live here; short, so that a withdrawal can be watched.
JWKS_MAX_AGE = 1
#: Seconds that one fetch of the keys may take at most.
FETCH = 5
#: What every application is started with.
SETTINGS = {
    "LICET_AUDIENCE": AUDIENCE,
    "LICET_JWKS_MAX_AGE": str(JWKS_MAX_AGE),
    "LICET_LEEWAY": "0",  # one machine has one clock
}

Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    """A status and the `code` of the problem; no status where there was no answer."""

    status: int | None
    code: str | None = None

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} {self.code or ''}".rstrip()


class Observed(NamedTuple):
    """What one application answered, after how many milliseconds."""

    server: Server
    answer: Answer
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One scene: what every application must answer, and what each did."""

    scene: str
    path: str
    expected: Answer
    observed: Sequence[Observed]

    @property
    def agrees(self) -> bool:
        """Whether all answered as they must."""
        return all(each.answer == self.expected for each in self.observed)


def bearer(token: str) -> Headers:
    """Return the header lines that present `token` (RFC 6750, section 2.1)."""
    return [("Authorization", f"Bearer {token}")]


class Play(AbstractContextManager["Play"]):
    """All scenes, in order, before all applications.

    Args:
        servers: starts and stops.
        license_server: runs, and is stopped on the way.
        apps: the applications, which know its keys' address.
        vendor: makes licenses.
        settings: with which an application is started.
    """

    def __init__(
        self,
        servers: Servers,
        license_server: Server,
        apps: list[Server],
        vendor: Vendor,
        settings: dict[str, str],
    ) -> None:
        self.servers, self.license_server, self.apps = servers, license_server, apps
        self.vendor, self.settings = vendor, settings
        self._client = httpx.Client(
            trust_env=False, timeout=10, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def full(self, **changes: Any) -> str:
        """Return a license for everything that the applications do."""
        return self.vendor.license(
            **{
                "customer": "Example GmbH",
                "plan": "professional",
                "features": ["analytics", "export"],
                "roles": ["admin"],
                "limits": {"seats": 10},
                "expires_in": 3600,
                **changes,
            }
        )

    def scenes(self) -> Iterator[Row]:
        """Play; each row comes as soon as it is known."""
        ends_soon = self.full(expires_in=1)
        good = self.full()
        invalid, undecided = "license_invalid", "license_unavailable"
        yield self.scene("valid license", bearer(good), 200)
        yield self.scene("no license", [], 401, "license_required")
        yield self.scene("forged", bearer(forged(good)), 401, invalid)
        yield self.scene("tampered payload", bearer(tampered(good)), 401, invalid)
        yield self.scene("wrong audience", bearer(self.full(audience="acme-mail")), 401, invalid)
        yield self.scene("expired", bearer(ends_soon), 401, "license_expired", within=3)
        small = bearer(self.full(features=["export"], roles=["guest"]))
        yield self.scene("feature missing", small, 403, "feature_not_licensed")
        yield self.scene("role missing", small, 403, "role_not_granted", path="/admin-report")
        both = [*bearer(good), ("X-License-Token", good)]
        yield self.scene("two credentials", both, 400, "license_ambiguous")

        self.vendor.rotate()
        yield self.scene("key rotated", bearer(self.full()), 200)
        self.vendor.withdraw(good)
        yield self.scene("key withdrawn", bearer(good), 401, invalid, within=JWKS_MAX_AGE + FETCH)

        unseen = bearer(self.full())
        self.servers.stop(self.license_server)
        stopped = time.monotonic()
        cold = self.servers.start(*(app.program for app in self.apps), **self.settings)
        # Warm is more than young: the keys at hand are past their lifetime, and serve.
        time.sleep(max(0.0, stopped + JWKS_MAX_AGE - time.monotonic()))
        yield self.scene("server stopped, warm", unseen, 200)
        yield self.scene("server stopped, cold", unseen, 503, undecided, at=cold)
        self.servers.stop(*cold)

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def scene(
        self,
        name: str,
        headers: Headers,
        status: int,
        code: str | None = None,
        *,
        path: str = "/reports",
        within: float = 0.0,
        at: list[Server] | None = None,
    ) -> Row:
        """Play one scene.

        Args:
            name: what is played.
            headers: what is presented.
            status: what must be answered.
            code: and for what reason.
            path: what is asked for.
            within: seconds that an application has to come round to it.
            at: the applications; all, where not given.
        """
        expected = Answer(status, code)
        observed = [self._observe(app, path, headers, expected, within) for app in at or self.apps]
        return Row(name, path, expected, observed)

    def _observe(
        self, app: Server, path: str, headers: Headers, expected: Answer, within: float
    ) -> Observed:
        deadline = time.monotonic() + within
        while True:
            began = time.perf_counter()
            answer = self._ask(app.url + path, headers)
            milliseconds = (time.perf_counter() - began) * 1000
            lost = answer.status is None
            if answer == expected or lost or time.monotonic() >= deadline:
                return Observed(app, answer, milliseconds)
            time.sleep(0.02)

    def _ask(self, url: str, headers: Headers) -> Answer:
        try:
            response = self._client.get(url, headers=headers)
        except httpx.HTTPError:
            return Answer(None)
        code = None
        with suppress(ValueError, AttributeError):
            code = response.json().get("code")
        return Answer(response.status_code, code)
