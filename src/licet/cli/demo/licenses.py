"""The licenses of the demo: asked of the license server, or made by somebody who may not.

What the forger and the tamperer do needs nothing but a license that somebody else was given.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import httpx

from licet.cli.demo.process import ServerFailed
from licet.core.token import base64url
from licet.issuer import Issuer


class Opaque(NamedTuple):
    """A license by its opaque key, which only the license server can judge."""

    id: str
    key: str


class Vendor(AbstractContextManager["Vendor"]):
    """The license server's HTTP API, as whoever has its admin key sees it.

    Args:
        url: scheme, host and port.
        admin_key: what the server was started with.
    """

    def __init__(self, url: str, admin_key: str) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {admin_key}"},
            trust_env=False,
            timeout=10,
        )

    def license(self, **content: Any) -> str:
        """Return a new license token."""
        token: str = self._post("licenses", **content)["token"]
        return token

    def opaque(self, **content: Any) -> Opaque:
        """Return a new license by its opaque key."""
        issued = self._post("licenses", key=True, **content)
        return Opaque(issued["id"], issued["key"])

    def revoke(self, license_id: str) -> None:
        """Have a license hold no longer."""
        self._post(f"licenses/{license_id}/revoke")

    def suspend(self, license_id: str) -> None:
        """Have a license hold no longer, until it is resumed."""
        self._post(f"licenses/{license_id}/suspend")

    def resume(self, license_id: str) -> None:
        """Have a suspended license hold again."""
        self._post(f"licenses/{license_id}/resume")

    def tell(self, url: str, secret: str) -> None:
        """Have whoever listens at `url` told what happens, signed by `secret`."""
        self._answer("PUT", "/v1/webhooks", {"url": url, "secret": secret})

    def rotate(self) -> None:
        """Have new licenses signed by a new key."""
        self._post("keys/rotate")

    def published(self) -> dict[str, Any]:
        """Return the public keys."""
        return self._answer("GET", "/.well-known/jwks.json")

    def withdraw(self, token: str) -> None:
        """Have the key of `token` published no longer."""
        self._post(f"keys/{_segment(token, 0)['kid']}/retire")

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _post(self, path: str, **content: Any) -> dict[str, Any]:
        """Raise `ServerFailed` where the answer is none, or no success."""
        return self._answer("POST", f"/v1/{path}", content)

    def _answer(self, method: str, path: str, content: object = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=content).raise_for_status()
        except httpx.HTTPError as error:
            raise ServerFailed(f"License server: {type(error).__name__} at {path}") from None
        body: dict[str, Any] = answer.json()
        return body


def id_of(token: str) -> str:
    """Return the id of the license that `token` is."""
    license_id: str = _segment(token, 1)["sub"]
    return license_id


def end_of(token: str) -> float:
    """Return when the license that `token` is ends, in seconds since the epoch."""
    end: float = _segment(token, 1)["exp"]
    return end


def forged(token: str) -> str:
    """Return the claims of `token` under the same key id, signed with a key of one's own."""
    claims = _segment(token, 1)
    return Issuer.generate(claims["iss"]).sign(claims, header={"kid": _segment(token, 0)["kid"]})


def tampered(token: str) -> str:
    """Return `token` with another plan, under its old signature."""
    header, _, signature = token.split(".")
    payload = json.dumps({**_segment(token, 1), "plan": "everything"}).encode()
    return f"{header}.{base64url.encode(payload).decode()}.{signature}"


def _segment(token: str, index: int) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(base64url.decode(token.split(".")[index].encode()))
    return members
