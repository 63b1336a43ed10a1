"""Who calls a license server: its vendor, an application, and whoever reads what it has signed."""

from __future__ import annotations

from typing import Any

import jwt
from starlette.testclient import TestClient

from licet.core.keys.jwk import VerifyKey, read_jwks
from licet.core.online.question import Answer, Dialect, Question
from licet.core.token.signature import ALGORITHMS
from licet.core.transport import Response
from tests.server.conftest import AUDIENCE, ISSUER

NONCE = "bm9uY2Ugb2YgYSB0ZXN0LCAyNTYgYml0cyBvZiBpdC4"
#: The media type of an introspection that is signed.
SIGNED = "application/token-introspection+jwt"
#: Times are those of the server's clock, which stands still.
TIMELESS = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


class Calls:
    """The calls of a vendor and of an application.

    Args:
        client: talks to the server.
        admin: the headers of the vendor.
        validation: the headers of the application.
    """

    url, credentials, unsigned = f"{ISSUER}/v1/licenses/validate", None, False

    def __init__(
        self, client: TestClient, admin: dict[str, str], validation: dict[str, str]
    ) -> None:
        self.client, self.admin, self.validation = client, admin, validation

    def issue(self, **body: object) -> dict[str, str]:
        """Return what is answered to an order."""
        answer = self.client.post("/v1/licenses", headers=self.admin, json=body)
        assert answer.status_code == 201, answer.text
        given: dict[str, str] = answer.json()
        return given

    def act(self, license_id: str, what: str, **body: object) -> int:
        """Do something to a license; return the status."""
        path = f"/v1/licenses/{license_id}/{what}"
        return self.client.post(path, headers=self.admin, json=body).status_code

    def show(self, license_id: str) -> dict[str, Any]:
        """Return what the vendor is shown of a license."""
        answer = self.client.get(f"/v1/licenses/{license_id}", headers=self.admin)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def page(self, **asked: object) -> dict[str, Any]:
        """Return a page of the list of licenses."""
        answer = self.client.get("/v1/licenses", headers=self.admin, params=asked)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def audit(self) -> list[dict[str, Any]]:
        """Return what was recorded."""
        answer = self.client.get("/v1/audit", headers=self.admin)
        assert answer.status_code == 200, answer.text
        entries: list[dict[str, Any]] = answer.json()["entries"]
        return entries

    def ask(self, credential: str, **changes: object) -> str:
        """Return the signed answer about `credential`."""
        question = {"licenseKey": credential, "audience": AUDIENCE, "nonce": NONCE, **changes}
        answer = self.client.post("/v1/licenses/validate", headers=self.validation, json=question)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/jwt"
        assert answer.headers["cache-control"] == "no-store"
        return answer.text

    def validate(
        self, credential: str, *, audience: str = AUDIENCE, **changes: object
    ) -> dict[str, Any]:
        """Return what is answered about `credential`, once its signature held."""
        answer = self.ask(credential, audience=audience, **changes)
        assert jwt.get_unverified_header(answer)["typ"] == "license-validation+jwt"
        return self.decode(answer, audience)

    def verdict(self, credential: str, **changes: str) -> str:
        """Return the word for what is wrong with `credential`, `valid` where nothing is."""
        answer = self.validate(credential, **changes)
        assert answer["valid"] is ("error" not in answer)
        return str(answer.get("error", "valid"))

    def introspect(self, token: str, accept: str = "application/json", **form: str) -> Any:
        """Return the response to a question about `token` in the words of OAuth."""
        headers = {**self.validation, "Accept": accept}
        answer = self.client.post(
            "/v1/licenses/introspect", headers=headers, data={"token": token, **form}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "Accept"
        return answer

    def understood(self, dialect: Dialect, path: str, question: Question) -> Answer:
        """Return how an application that speaks a dialect reads the answer to its question."""
        sent = dialect.request(question, self)
        headers = {**sent.headers, **self.validation}
        answer = self.client.post(path, headers=headers, content=sent.body)
        response = Response(answer.status_code, answer.headers, answer.content)  # type: ignore[arg-type]
        return dialect.read(question, response, self)

    def refresh(self, token: object, **headers: str) -> Any:
        """Return the response to a license that would be renewed."""
        return self.client.post("/v1/licenses/refresh", json={"token": token}, headers=headers)

    def decode(self, token: str, audience: str | None = AUDIENCE) -> dict[str, Any]:
        """Verify `token` against the published keys, with PyJWT and nothing of ours."""
        published = jwt.PyJWKSet.from_dict(self.client.get("/.well-known/jwks.json").json())
        key = published[jwt.get_unverified_header(token)["kid"]]
        options: Any = TIMELESS
        claims: dict[str, Any] = jwt.decode(
            token, key, audience=audience, issuer=ISSUER, options=options
        )
        return claims

    def key(self, kid: str, alg: str) -> VerifyKey:
        """Return a published key, for the core's own readers of answers."""
        published = self.client.get("/.well-known/jwks.json").json()
        return read_jwks(published, ALGORITHMS).keys[kid, alg]
