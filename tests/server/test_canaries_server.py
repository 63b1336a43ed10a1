"""No secret that a license server holds, hands out or is handed shows itself anywhere else.

Answers that hand one out to whoever has asked for it are left out of what is searched; all other
answers, what every logger is told, what objects say of themselves, and every byte on the disk are
not.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("uvicorn")

from licet.cli.serve import PASSPHRASE
from licet.server import Configuration, LicenseServer, ServerError
from licet.server.licenses.credentials import Credentials
from licet.server.webhooks.receivers import new_secret
from tests.cage import CANARY, Cage, caged, parts
from tests.commands import licet
from tests.server.callers import NONCE
from tests.server.conftest import AUDIENCE, ISSUER
from tests.server.ears import PATIENCE, listening
from tests.server.processes import served
from tests.server.running import serving

#: Where private keys are: in a file of their own, or in the database, sealed with another file.
PLACES = ("file", "unlock")


@pytest.fixture(name="cage")
def _cage() -> Iterator[Cage]:
    with caged() as cage:
        yield cage


class Visit(AbstractContextManager["Visit"]):
    """Calls a server in every way there is, and keeps its secrets apart from what else it says.

    Args:
        url: where it is.
        admin: a key for everything.
        validation: a key for questions.
        cage: hears what is answered.

    Attributes:
        secrets: what must not be heard: both keys, and those that came.
    """

    def __init__(self, url: str, admin: str, validation: str, cage: Cage) -> None:
        self.url, self.admin, self.validation, self._cage = url, admin, validation, cage
        self.secrets: list[str] = [admin, validation]
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=20)

    def ask(self, method: str, path: str, key: str = "", expected: int = 200, **sent: Any) -> Any:
        """Return an answer, unheard; but for an error."""
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **sent.pop("headers", {})}
        answer = self._http.request(method, path, headers=headers, **sent)
        assert answer.status_code == expected, (path, answer.text)
        if answer.is_error:
            self._heard(answer)
        return answer

    def hear(self, *asked: str, key: str = "") -> None:
        """Hear what is answered at some addresses, to whoever has a key or has none."""
        for path in asked:
            self._heard(self.ask("GET", path, key))

    def licenses(self) -> tuple[str, str]:
        """Have a license issued and asked about; return its id and its token."""
        order = {"key": True, "status": True, "customer": "Example GmbH", "domains": ["a.example"]}
        given = self.ask("POST", "/v1/licenses", self.admin, 201, json=order).json()
        token, key = given["token"], given["key"]
        again = self.ask("POST", "/v1/licenses/refresh", json={"token": token}).json()["token"]
        self.secrets += [key, *parts(token), *parts(again)]
        for credential in (key, token, again, f"{token[:-4]}AAAA", f"{key}x"):
            question = {"licenseKey": credential, "audience": AUDIENCE, "nonce": NONCE}
            for domain in ("a.example", "b.example"):
                asked = {**question, "domain": domain}
                self.ask("POST", "/v1/licenses/validate", self.validation, json=asked)
            form = {"token": credential}
            self.ask("POST", "/v1/licenses/introspect", self.validation, data=form)
        return given["id"], token

    def mistakes(self, *secrets: str) -> None:
        """Put what is secret where it does not belong."""
        admin, validation = self.admin, self.validation
        for secret in (*secrets, admin, validation):
            text, number = json.dumps(secret), {"licenseKey": secret, "audience": 7, "nonce": 7}
            for body in (text, f'{{"id": {text}', f"{{{text}: 1}}"):
                for method, path, key in (
                    ("POST", "/v1/licenses", admin),
                    ("PUT", "/v1/webhooks", admin),
                    ("POST", "/v1/licenses/lic_1/revoke", admin),
                    ("POST", "/v1/usage", validation),
                    ("POST", "/v1/licenses/validate", validation),
                ):
                    self.ask(method, path, key, 400, content=body)
            self.ask("POST", "/v1/licenses/validate", validation, 400, json=number)
            self.ask("POST", "/v1/licenses", admin, 400, json={"features": secret})
            self.ask("PUT", "/v1/webhooks", admin, 400, json={"url": secret, "secret": secret})
            self.ask("POST", "/v1/licenses/refresh", "", 403, json={"token": f"{secret}x"})
            for field in (f"Basic {secret}", f"Bearer {secret}x", secret):
                for path in ("/v1/keys", "/v1/licenses/none"):
                    self.ask("GET", path, "", 401, headers={"Authorization": field})
        both = [("Authorization", f"Bearer {admin}"), ("Authorization", f"Bearer {validation}")]
        self._heard(self._http.get("/v1/keys", headers=both))
        self.ask("GET", "/v1/keys", validation, 403)
        self.ask("POST", "/v1/licenses/validate", admin, 403, json={})

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _heard(self, answer: httpx.Response) -> None:
        self._cage.hear(dict(answer.headers), answer.text)


def bytes_of(secret: str) -> Iterator[bytes]:
    """Yield the forms in which a secret might lie on a disk."""
    yield secret.encode()
    core = re.sub(r"^(whsec|lic|l[av]k_[0-9a-f]{16})_", "", secret)
    for decode in (base64.urlsafe_b64decode, base64.b64decode):
        try:
            raw = decode(core + "=" * (-len(core) % 4))
        except (binascii.Error, ValueError):
            continue
        # What a license says is kept; what makes a license of it is not.
        if len(raw) > 15 and not raw.startswith(b"{"):
            yield raw
            yield raw.hex().encode()


def on_disk(data: Path, *but: str) -> dict[str, bytes]:
    """Return what the files of a directory hold, but for some."""
    files = [each for each in data.iterdir() if each.is_file() and each.name not in but]
    assert "licet.db" in {each.name for each in files}
    return {each.name: each.read_bytes() for each in files}


def not_in(contents: dict[str, bytes], *secrets: str) -> None:
    """Hold what is on a disk against the secrets."""
    for name, content in contents.items():
        for secret in secrets:
            assert not any(form in content for form in bytes_of(secret)), (name, secret)


def private_keys(server: LicenseServer) -> list[str]:
    """Return the private members of the keys that sign."""
    return [key.private_jwk()["d"] for key in server.signing_keys.issuer._keys]


def configured(place: str, tmp_path: Path) -> tuple[Configuration, str]:
    """Return how a server runs, and the text that unlocks its keys."""
    text = f"{CANARY}-that-unlocks-everything-{place}"
    options: dict[str, Any] = {"data": tmp_path / "data", "issuer": ISSUER, "audience": AUDIENCE}
    if place == "passphrase":
        options["passphrase"] = text
    if place == "unlock":
        options["unlock_file"] = tmp_path / "unlock"
        options["unlock_file"].write_text(text)
        options["unlock_file"].chmod(0o600)
    return Configuration(**options, url="http://127.0.0.1"), text


@pytest.mark.row("R01")
@pytest.mark.parametrize("place", PLACES)
def test_a_server_keeps_its_secrets(
    place: str, cage: Cage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of all kinds, licenses and what signs webhooks: none in log, answer, object or file."""
    configuration, unlocking = configured(place, tmp_path)
    with LicenseServer(configuration) as server, listening() as ear:
        admin, validation = (
            server.api_keys.create(kind, "c").key for kind in ("admin", "validation")
        )
        with (
            serving(server.app) as (host, port),
            Visit(f"http://{host}:{port}", admin, validation, cage) as visit,
        ):
            made = visit.ask("POST", "/v1/validation-keys", admin, 201, json={"name": "shop"})
            hook = {"url": f"{ear.url}&{CANARY}-of-the-address", "secret": new_secret()}
            ear.answer([500])
            visit.ask("PUT", "/v1/webhooks", admin, json=hook)
            kept = visit.ask("PUT", "/v1/webhooks", admin, json={"url": f"{ear.url}2"}).json()
            license_id, token = visit.licenses()
            private = private_keys(server)
            kid = server.signing_keys.issuer.kid
            visit.ask("POST", "/v1/keys/rotate", admin, json={"algorithm": "ES256"})
            private += private_keys(server)
            visit.ask("POST", f"/v1/licenses/{license_id}/revoke", admin, json={"reason": "a test"})
            assert ear.came.get(timeout=PATIENCE)
            visit.mistakes(token, visit.secrets[2], hook["secret"])
            own = ("licenses", f"licenses/{license_id}", "keys", "validation-keys", "audit")
            visit.hear(*(f"/v1/{path}" for path in own), key=admin)
            visit.hear("/.well-known/jwks.json", "/healthz", "/openapi.json")
            monkeypatch.setattr(Credentials, "find", _fail)
            question = {"licenseKey": token, "audience": AUDIENCE, "nonce": NONCE}
            visit.ask("POST", "/v1/licenses/validate", validation, 500, json=question)
            visit.ask("POST", f"/v1/keys/{kid}/retire", admin)
            cage.silent_about(f"{CANARY}-of-the-address")
            visit.hear("/v1/webhooks", key=admin)
            while_open = on_disk(configuration.data, "issuer.json")
        cage.hear(server, configuration, server.signing_keys, server.signing_keys.issuer)
        cage.hear(server.vault, server.api_keys, server.database, server.app, *server.app.routes)
        for thing in (server, server.signing_keys, server.api_keys, server._receivers):
            cage.hear(vars(thing))
            cage.pickled(thing)
        cage.hear(*(server._receivers.find(each["id"]) for each in server._receivers.listing()))
    secrets = [*visit.secrets, made.json()["key"], *private, unlocking]
    shared = [hook["secret"], kept["secret"]]
    cage.silent_about(*secrets, *shared)
    for contents in (while_open, on_disk(configuration.data, "issuer.json")):
        not_in(contents, *secrets)
        if place == "file":
            # What nothing seals is there, and is found.
            with pytest.raises(AssertionError):
                not_in(contents, *shared)
        else:
            not_in(contents, *shared)
    assert (configuration.data / "issuer.json").exists() is (place == "file")


def _fail(self: Credentials, credential: str) -> None:
    raise RuntimeError(credential)


@pytest.mark.row("R01")
def test_what_does_not_unlock_is_not_repeated(cage: Cage, tmp_path: Path) -> None:
    """Neither the right passphrase nor a wrong one, nor the content of a file, is in an error."""
    for place in ("passphrase", "unlock"):
        directory = tmp_path / place
        directory.mkdir()
        configuration, _ = configured(place, directory)
        LicenseServer(configuration).close()
        wrong: dict[str, Any] = {"passphrase": f"{CANARY}-wrong"}
        if place == "unlock":
            (directory / "unlock").write_text(f"{CANARY}-which-is-another-one-altogether")
            wrong = {"unlock_file": directory / "unlock"}
        with pytest.raises(ServerError) as refused:
            LicenseServer(Configuration(data=configuration.data, **wrong))
        cage.raised(refused.value)
        with pytest.raises(ServerError) as refused:
            Configuration(data=configuration.data, key_file=Path("a"), **wrong)
        cage.raised(refused.value)
    cage.silent_about(CANARY)


@pytest.mark.row("R01")
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_process_says_its_keys_once(
    cage: Cage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`licet serve --dev --json` prints them on its one line; nothing else shows any secret."""
    data, unlocking = tmp_path / "data", f"{CANARY}-passphrase"
    with served(data, "--dev", "--json", **{PASSPHRASE: unlocking}) as running:
        told = running.told
        with Visit(told["url"], told["admin_key"], told["validation_key"], cage) as visit:
            _, token = visit.licenses()
            visit.mistakes(token)
        assert running.end() == 0
        cage.hear(running.rest(), running.log)
    not_in(on_disk(data, "dev-keys.json"), *visit.secrets, unlocking)
    monkeypatch.setenv(PASSPHRASE, f"{CANARY}-wrong")
    for arguments in (["--dev", "--json"], ["--key-file", data / "a.json"], []):
        refused = licet("serve", "--data", data, "--port", 0, *arguments)
        assert refused.status == 2
        cage.hear(refused.out, refused.err)
    cage.silent_about(*visit.secrets, CANARY)
