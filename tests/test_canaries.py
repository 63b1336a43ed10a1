"""No secret that this side holds or is handed shows itself anywhere but where it is used.

What a process may leave behind (log records of every logger, tracebacks, `repr`, answers, pickles)
is searched for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from licet import ConfigError, LicenseError, Settings, verify
from licet.core.gate import Gate
from licet.core.request import Credential, Sources, find_credential
from licet.core.settings import IssuerSettings
from licet.issuer import Issuer, KeyFileError
from licet.issuer.signing import SigningKey
from licet.possession import ProofKey
from tests.cage import CANARY, Cage, Serve, caged, parts, serve_asgi, serve_wsgi
from tests.licenses import AUDIENCE, FORGER, ISSUER, ISSUER_NAME, OPTIONS, expired, license_token

#: What raises: only its text may be shown, and its text holds no secret.
SOURCES = ["authorization", "x-license-token", "cookie:license", "query:license"]


@pytest.fixture(name="cage")
def _cage() -> Iterator[Cage]:
    with caged() as cage:
        yield cage


@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi])
@pytest.mark.parametrize("broken", [False, True], ids=["sound", "broken"])
def test_a_presented_license_stays_in_its_request(serve: Serve, broken: bool, cage: Cage) -> None:
    """In a field, a cookie or the query; good, bad, ambiguous, and where the core itself fails."""
    number = 31 + broken + 2 * (serve is serve_asgi)
    client, gate = serve(Settings(**OPTIONS, sources=SOURCES, jwks_cooldown=number))
    if broken:

        def fail(*arguments: object) -> Any:
            raise RuntimeError("broken")

        gate._judgements.judge = fail  # type: ignore[method-assign]
    tokens = [
        license_token(sub="lic_canary", tenant=CANARY),
        license_token(FORGER, tenant=CANARY),
        license_token(features=[CANARY + " "]),
        license_token(must_understand=[CANARY]),
        license_token(aud=CANARY),
        license_token(iss=CANARY),
        ISSUER.sign({"tenant": CANARY}),
        ISSUER.sign({"tenant": CANARY}, header={"kid": CANARY + "-kid"}),
        expired(tenant=CANARY),
        CANARY + "-opaque-license-key",
    ]
    statuses = set()
    for token in tokens:
        for headers, query in (
            ([("Authorization", f"Bearer {token}")], ""),
            ([("Authorization", f"DPoP {token}")], ""),
            ([("X-License-Token", token)], ""),
            ([("Cookie", f"license={token}")], ""),
            ([], f"?license={token}"),
            ([("X-License-Token", token)], f"?license={token}"),
            ([("Authorization", f"Basic {token}")], ""),
        ):
            answer = client.request("GET", f"/me{query}", headers)
            statuses.add(answer.status)
            cage.answered(answer)
    assert statuses == ({400, 401, 503} if broken else {200, 400, 401})
    cage.hear(gate, gate.__dict__, *gate._judgements.grants._grants.values())
    cage.pickled(gate)
    cage.silent_about(CANARY, *(part for token in tokens[:-1] for part in parts(token)))


def test_objects_about_a_license_do_not_show_it(cage: Cage) -> None:
    """Credential, entitlements, grant and every error speak of the license, never its text."""
    settings = Settings(**OPTIONS)
    token = license_token(tenant=CANARY)
    entitlements = verify(token, settings)
    assert entitlements.claims["tenant"] == CANARY

    class Facts:
        method, query_string, is_handshake = "GET", "", False

        def fields(self, name: str) -> list[str]:
            return [f"Bearer {token}"]

        def origin(self) -> None:
            return None

    credential = find_credential(Facts(), Sources.of(["authorization"]))
    assert isinstance(credential, Credential)
    cage.hear(credential, entitlements, entitlements._grant, entitlements._grant.terms)
    cage.pickled(entitlements)
    for bad in (license_token(FORGER, tenant=CANARY), token[:-5], token + "=", f"{token}.{token}"):
        with pytest.raises(LicenseError) as caught:
            verify(bad, settings)
        cage.raised(caught.value)
    cage.silent_about(CANARY, *parts(token))


@pytest.mark.parametrize("kind", ["text", "file", "env"])
@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi])
@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_the_installation_license_stays_where_it_is(
    kind: str,
    serve: Serve,
    good: bool,
    cage: Cage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In settings, a file or the environment; its replacement too, and where it does not hold."""
    token = license_token(ISSUER if good else FORGER, tenant=CANARY)
    path = tmp_path / "license.jwt"
    path.write_text(token)
    monkeypatch.setenv("CANARY_LICENSE", token)
    setting = {"text": token, "file": f"file:{path}", "env": "env:CANARY_LICENSE"}[kind]
    settings = Settings(**OPTIONS, license=setting, leeway=20 + good)
    client, gate = serve(settings)
    for _ in range(2):
        answer = client.request("GET", "/me")
        assert answer.status == (200 if good else 402)
        cage.answered(answer)
    assert gate.installation is not None
    cage.hear(settings, settings.fingerprint, gate, gate.installation, gate.installation._source)
    cage.pickled(gate)
    cage.pickled(settings)
    if kind == "text":
        for changes in ({"sources": ["authorization"]}, {"license": token + "\n\n" + token}):
            with pytest.raises(ConfigError) as caught:
                Settings(**{**OPTIONS, "license": setting, **changes})
            cage.raised(caught.value)
    cage.silent_about(CANARY, *parts(token))


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_private_keys_leave_an_issuer_by_its_file_alone(
    algorithm: str, cage: Cage, tmp_path: Path
) -> None:
    """Neither issuer, key nor any complaint about the file shows a private member."""
    issuer = Issuer.generate(ISSUER_NAME, algorithm=algorithm)
    path = tmp_path / "issuer.json"
    issuer.save(path)
    document = json.loads(path.read_text())
    private = document["keys"][0]
    secrets = [private[name] for name in ("d", "p", "q", "dp", "dq", "qi") if name in private]
    cage.hear(issuer, issuer._keys, issuer.jwks(), issuer.sign({"a": 1}), Issuer.load(path))
    for thing in (issuer, *issuer._keys):
        cage.pickled(thing)
    bad: list[Any] = [
        {**document, "keys": [{**private, "alg": "none"}]},
        {**document, "keys": [{**private, "kty": "XX"}]},
        {**document, "keys": [{**private, "d": private["d"] + "!"}]},
        {**document, "keys": private},
        {**document, "issuer": 5},
    ]
    for text in (*map(json.dumps, bad), path.read_text()[:-3]):
        path.write_text(text)
        with pytest.raises(KeyFileError) as caught:
            Issuer.load(path)
        cage.raised(caught.value)
    path.chmod(0o644)
    with pytest.raises(KeyFileError) as caught:
        Issuer.load(path)
    cage.raised(caught.value)
    cage.silent_about(*secrets)


def test_a_private_key_published_by_mistake_is_not_passed_on(cage: Cage) -> None:
    """A key set with private members: refused keys are named by their `kid` and nothing else."""
    leaked = SigningKey.generate("EdDSA").private_jwk() | {"kid": "leaked"}
    symmetric = {"kty": "oct", "k": f"{CANARY}-symmetric", "kid": "shared"}
    both = {"keys": [*ISSUER.jwks()["keys"], leaked, symmetric]}
    secrets = [leaked["d"], symmetric["k"]]
    settings = Settings(**{**OPTIONS, "jwks": both})
    client, gate = serve_asgi(settings)
    headers = [("Authorization", f"Bearer {license_token()}")]
    answer = client.request("GET", "/me", headers)
    assert answer.status == 200
    cage.answered(answer)
    cage.hear(settings, settings.by_issuer, gate, gate.keys, gate.health())
    for thing in (settings, *settings.by_issuer.values(), gate):
        cage.pickled(thing)
    for keys in ([leaked], [symmetric], [leaked, leaked], [[leaked]]):
        with pytest.raises(ConfigError) as caught:
            Settings(**{**OPTIONS, "jwks": {"keys": keys}})
        cage.raised(caught.value)
        with pytest.raises(ConfigError) as caught:
            IssuerSettings(audience=AUDIENCE, jwks={"keys": keys}, jwks_url=None)
        cage.raised(caught.value)
    cage.silent_about(*secrets)


@pytest.mark.row("R01")
@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi])
@pytest.mark.parametrize("broken", [False, True], ids=["sound", "broken"])
def test_a_proof_stays_in_its_request(serve: Serve, broken: bool, cage: Cage) -> None:
    """Good, replayed, bad in each of its parts; and so does the key that it was made with."""
    key = ProofKey.generate("Ed25519")
    url = "https://reports.example"
    # Each case its own gate, for one that is broken stays so.
    leeway = 3 + broken + 2 * (serve is serve_asgi)
    client, gate = serve(Settings(**OPTIONS, external_url=url, leeway=leeway))
    if broken:

        def fail(*arguments: object, **named: object) -> Any:
            raise RuntimeError("broken")

        gate._possession._dpop.check = fail  # type: ignore[method-assign]
    token = license_token(cnf={"jkt": key.jkt}, tenant=CANARY)
    good = key.proof("GET", f"{url}/me", token, jti=CANARY)
    proofs = [
        good,
        good,
        good[:-5],
        key.proof("GET", f"{url}/{CANARY}", token, jti=CANARY + "-2"),
        key.proof("GET", f"{url}/me", token, jti=CANARY * 30),
        key.proof("GET", f"{url}/me", token, jti=CANARY + "-3", ath=CANARY),
        key.proof("GET", f"{url}/me", token, jti=CANARY + "-4", header={"typ": CANARY}),
        ProofKey.generate().proof("GET", f"{url}/me", token, jti=CANARY + "-5"),
        CANARY,
    ]
    statuses = set()
    for proof in proofs:
        for credential in (f"DPoP {token}", f"Bearer {token}"):
            answer = client.request("GET", "/me", [("Authorization", credential), ("DPoP", proof)])
            statuses.add(answer.status)
            cage.answered(answer)
    assert statuses == ({401, 503} if broken else {200, 401})
    cage.hear(key, gate, gate._possession, gate._possession._dpop, gate._possession._replays)
    for thing in (key, gate, gate._possession, gate._possession._replays):
        cage.pickled(thing)
    secrets = [part for proof in proofs[:-1] for part in parts(proof)]
    private = key._key.private_jwk()["d"]
    cage.silent_about(CANARY, private, *secrets, *parts(token))


@pytest.mark.row("R01", "N20")
@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi])
def test_the_secret_of_nonces_is_never_shown(serve: Serve, cage: Cage) -> None:
    """A nonce is handed out; what it is made of stays in the settings."""
    secret = f"{CANARY}-nonce-secret-of-32-bytes"
    settings = Settings(**OPTIONS, external_url="https://reports.example", dpop_nonce_secret=secret)
    client, gate = serve(settings)
    key = ProofKey.generate("Ed25519")
    token = license_token(cnf={"jkt": key.jkt})
    for nonce in (None, "guessed"):
        proof = key.proof("GET", "https://reports.example/me", token, nonce=nonce)
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        answer = client.request("GET", "/me", headers)
        assert dict(answer.headers).keys() & {"DPoP-Nonce", "dpop-nonce"}
        cage.answered(answer)
    cage.hear(settings, settings.fingerprint, gate, gate._possession._dpop._nonces)
    for thing in (settings, gate, gate._possession._dpop._nonces):
        cage.pickled(thing)
    for wrong in (f"{CANARY}-short", secret + "\n"):
        with pytest.raises(ConfigError) as caught:
            Settings(**OPTIONS, dpop_nonce_secret=wrong)
        cage.raised(caught.value)
    cage.silent_about(CANARY)


@pytest.mark.row("R01", "N18")
@pytest.mark.parametrize(
    "address", ["redis://user:{}@127.0.0.1:1/0", "redis://127.0.0.1:1/0?password={}"]
)
@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi])
def test_the_password_of_a_store_is_never_shown(serve: Serve, address: str, cage: Cage) -> None:
    """Wherever its address has it; also where nothing answers there, or the address is wrong."""
    pytest.importorskip("redis")
    url = "https://reports.example"
    settings = Settings(**OPTIONS, external_url=url, store=address.format(CANARY))
    client, gate = serve(settings)
    key = ProofKey.generate("Ed25519")
    token = license_token(cnf={"jkt": key.jkt})
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", key.proof("GET", f"{url}/me", token))]
    answer = client.request("GET", "/me", headers)
    assert answer.status == 503
    cage.answered(answer)
    store: Any = gate._possession._replays
    cage.hear(settings, settings.fingerprint, gate, store, store._pool, store._client)
    for thing in (settings, gate, store):
        cage.pickled(thing)
    for wrong in (settings.store.replace("redis:", "mysql:"), f"{settings.store}&a b=1\r"):
        with pytest.raises(ConfigError) as caught:
            Gate(Settings(**OPTIONS, store=wrong))
        cage.raised(caught.value)
    cage.silent_about(CANARY)
