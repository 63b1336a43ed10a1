"""Vendors of licenses, one at a terminal and one who calls the server: both do the same things."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jwt

from tests.commands import licet

AUDIENCE = "acme-reports"


class Given(NamedTuple):
    """A license, as its customer is given it."""

    id: str
    token: str
    key: str

    @property
    def kid(self) -> str:
        """The key that signed it."""
        return kid_of(self.token)


def kid_of(token: str) -> str:
    """Return the id of the key that signed a token."""
    return str(jwt.get_unverified_header(token)["kid"])


class Vendor(ABC):
    """What a vendor does with a license server.

    Args:
        told: what the server said when it was ready.
        data: its directory.
        scratch: a directory of the vendor's own.
    """

    def __init__(self, told: dict[str, str], data: Path, scratch: Path) -> None:
        self.server, self._data, self._scratch = told, data, scratch

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Close what is open."""

    @abstractmethod
    def tell(self, url: str, secret: str) -> None:
        """Have an address told what happens."""

    @abstractmethod
    def issue(self, name: str, *, expires_in: int, grace: int, listed: bool) -> Given:
        """Issue a license for the feature `analytics`, of this id, with an opaque key."""

    @abstractmethod
    def validate(self, credential: str) -> str:
        """Return `valid`, or the word for why a license does not hold."""

    @abstractmethod
    def rotate(self) -> str:
        """Sign with a new key from now on; return its id."""

    @abstractmethod
    def retire(self, kid: str) -> None:
        """Publish a key no longer."""

    @abstractmethod
    def act(self, what: str, name: str, reason: str) -> None:
        """Suspend, resume or revoke a license."""

    @abstractmethod
    def audit(self) -> list[dict[str, Any]]:
        """Return the record."""


class Caller(Vendor):
    """Calls the server over HTTP."""

    def __init__(self, told: dict[str, str], data: Path, scratch: Path) -> None:
        super().__init__(told, data, scratch)
        self._http = httpx.Client(base_url=told["url"], trust_env=False, timeout=20)

    def close(self) -> None:
        self._http.close()

    def tell(self, url: str, secret: str) -> None:
        self._call("PUT", "webhooks", {"url": url, "secret": secret})

    def issue(self, name: str, *, expires_in: int, grace: int, listed: bool) -> Given:
        order = {"id": name, "features": ["analytics"], "key": True, "status": listed}
        answer = self._call("POST", "licenses", {**order, "expires_in": expires_in, "grace": grace})
        return Given(answer["id"], answer["token"], answer["key"])

    def validate(self, credential: str) -> str:
        question = {"licenseKey": credential, "audience": AUDIENCE, "nonce": "n" * 43}
        answer = self._http.post(
            "/v1/licenses/validate", json=question, headers=self._opens("validation_key")
        )
        assert answer.status_code == 200, answer.text
        published = self._http.get("/.well-known/jwks.json").json()
        key = jwt.PyJWKSet.from_dict(published)[kid_of(answer.text)]
        said = jwt.decode(answer.text, key, audience=AUDIENCE, issuer=self.server["issuer"])
        return "valid" if said["valid"] else str(said["error"])

    def rotate(self) -> str:
        return str(self._call("POST", "keys/rotate", {})["kid"])

    def retire(self, kid: str) -> None:
        self._call("POST", f"keys/{kid}/retire", {})

    def act(self, what: str, name: str, reason: str) -> None:
        self._call("POST", f"licenses/{name}/{what}", {"reason": reason})

    def audit(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        while page := self._call("GET", f"audit?after={len(lines)}&limit=100")["entries"]:
            lines += page
        return lines

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = self._opens("admin_key")
        answer = self._http.request(method, f"/v1/{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def _opens(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.server[key]}"}


class Typist(Vendor):
    """Types commands on the machine of the server."""

    def tell(self, url: str, secret: str) -> None:
        path = self._scratch / "secret"
        path.write_text(secret)
        self._type("webhooks", "set", url, "--secret", f"@{path}")

    def issue(self, name: str, *, expires_in: int, grace: int, listed: bool) -> Given:
        lasts = ("--expires-in", expires_in, "--grace", grace, *["--status"] * listed)
        (line,) = self._type(
            "licenses", "issue", "--subject", name, "--feature", "analytics", "--key", *lasts
        )
        return Given(line["id"], line["token"], line["key"])

    def validate(self, credential: str) -> str:
        # As an application would, by the settings of the environment.
        said = licet("verify", "--json", stdin=credential.encode())
        document = said.document
        assert said.status == (0 if document["holds"] else 1), said
        return "valid" if document["holds"] else str(document["code"]).removeprefix("license_")

    def rotate(self) -> str:
        (line,) = self._type("keys", "rotate")
        return str(line["kid"])

    def retire(self, kid: str) -> None:
        self._type("keys", "retire", kid)

    def act(self, what: str, name: str, reason: str) -> None:
        self._type("licenses", what, name, "--reason", reason)

    def audit(self) -> list[dict[str, Any]]:
        return self._type("audit")

    def _type(self, *words: object) -> list[dict[str, Any]]:
        said = licet(*words, "--data", self._data, "--json")
        assert said.status == 0, said
        return [json.loads(line) for line in said.out.splitlines()]


VENDORS: dict[str, type[Vendor]] = {"cli": Typist, "http": Caller}
