"""`licet serve`: what it says when it is ready, what it keeps, and what it refuses."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("uvicorn")

from licet.cli import serve, serve_options, welcome
from licet.possession import certificate_thumbprint
from licet.server import Configuration, LicenseServer, ServerError
from licet.server.running import keyfiles
from licet.server.running.sockets import listen
from licet.server.storage.database import StorageError
from tests.commands import licet
from tests.server.processes import served
from tests.server.tls import CLIENTS, OTHERS, Site, client

posix = pytest.mark.skipif(os.name != "posix", reason="modes and signals of POSIX")

SETTLED = {"issuer": "https://licenses.acme.example", "audience": "acme-reports"}


def call(method: str, url: str, key: str, **options: Any) -> httpx.Response:
    verify = options.pop("verify", False)
    with httpx.Client(trust_env=False, verify=verify, timeout=20) as caller:
        return caller.request(method, url, headers={"Authorization": f"Bearer {key}"}, **options)


@posix
def test_a_development_server_is_the_same_at_every_start(tmp_path: Path) -> None:
    """One line of JSON when it answers; keys, licenses and both API keys outlive `kill -9`."""
    data = tmp_path / "data"
    with served(data, "--dev", "--json") as first:
        told = first.told
        assert list(told) == ["url", "issuer", "audience", "admin_key", "validation_key"]
        assert told["issuer"] == told["url"]
        issued = call("POST", f"{told['url']}/v1/licenses", told["admin_key"], json={})
        assert issued.status_code == 201
        jwks = httpx.get(f"{told['url']}/.well-known/jwks.json", trust_env=False).json()
        # Another one on the same data says whose they are, and ends.
        again = licet("serve", "--dev", "--json", "--data", data, "--port", 0)
        assert again.status == 2
        assert "a license server runs on" in again.document["detail"]
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        assert first.rest() == ""
    with served(data, "--dev", "--json") as second:
        kept = {name: each for name, each in told.items() if name != "url"}
        assert {name: second.told[name] for name in kept} == kept
        url = f"{second.told['url']}/v1/licenses/{issued.json()['id']}"
        assert call("GET", url, told["admin_key"]).status_code == 200
        found = httpx.get(f"{second.told['url']}/.well-known/jwks.json", trust_env=False)
        assert found.json() == jwks
        assert second.end() == 0
        assert second.rest() == ""
        for secret in (told["admin_key"], told["validation_key"]):
            assert secret not in second.log
    for file in data.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_its_welcome_leads_to_a_licensed_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines for people work as they are: the request issues, and with the settings it holds."""
    with served(tmp_path / "data", "--dev") as server:
        lines = server.lines("LICET_VALIDATION_CREDENTIALS")
        typed = "".join(lines).split("\n\n")[2].replace("\\\n", "")
        words = shlex.split(typed)
        assert words[0] == "curl"
        headers = dict(each.split(": ") for each in words[3:6:2])
        made = httpx.post(words[1], headers=headers, content=words[-1], trust_env=False)
        assert made.status_code == 201
        for line in lines:
            if line.startswith("  export "):
                name, _, value = shlex.split(line)[1].partition("=")
                monkeypatch.setenv(name, value)
        said = licet("verify", "--json", stdin=made.json()["token"].encode())
        assert said.document["holds"], said
        assert server.end(signal.SIGINT) == 0


def test_an_issuer_elsewhere_is_reached_by_the_settings(tmp_path: Path) -> None:
    """On another port than at first the settings say where keys and status lists are now."""
    told = {"url": "http://127.0.0.1:9", "issuer": "http://127.0.0.1:8", "audience": "a"}
    text = welcome.text({**told, "admin_key": "k", "validation_key": "v"}, tmp_path)
    assert "LICET_JWKS_URL=http://127.0.0.1:9/.well-known/jwks.json" in text
    assert "LICET_STATUS_ORIGINS=http://127.0.0.1:9\n" in text


@posix
def test_over_tls_a_bound_license_is_refreshed_by_its_holder(tmp_path: Path) -> None:
    """What the client shows over TLS is what a license's binding is held against."""
    site, data = Site(tmp_path), tmp_path / "data"
    with LicenseServer(Configuration(data=data, **SETTLED)) as server:
        keyfiles.admin_key(server.api_keys, data)
        old = (data / keyfiles.ADMIN).read_text().strip()
    holder, other = (CLIENTS.issue_cert(f"{who}@client.example") for who in ("holder", "other"))
    bound = certificate_thumbprint(holder.cert_chain_pems[0].bytes().decode())
    files = site.files
    tls = ["--tls-cert", files.cert, "--tls-key", files.key, "--tls-client-ca", files.paths[2]]
    with served(data, "--json", "--new-admin-key", *tls) as running:
        url = running.told["url"]
        assert url.startswith("https://127.0.0.1:")
        # No key is printed: it is in a file, and those from before open nothing.
        assert running.told == {"url": url, **SETTLED}
        key = (data / keyfiles.ADMIN).read_text().strip()
        assert call("GET", f"{url}/v1/licenses", old, verify=client()).status_code == 401
        assert str(data / keyfiles.ADMIN) in running.log
        assert key not in running.log
        claims = {"cnf": {"x5t#S256": bound}}
        issued = call("POST", f"{url}/v1/licenses", key, json=claims, verify=client())
        assert issued.status_code == 201, issued.text
        body = {"token": issued.json()["token"]}
        answers = [
            httpx.post(
                f"{url}/v1/licenses/refresh", json=body, verify=client(shown), trust_env=False
            ).status_code
            for shown in (holder, other, None)
        ]
        assert answers == [200, 401, 401]
        stranger = client(OTHERS.issue_cert("holder@client.example"))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/healthz", verify=stranger, trust_env=False)
        assert running.end() == 0


REFUSED = {
    "issuer": ["there must be an issuer", "--audience", SETTLED["audience"]],
    "audience": ["there must be an audience", "--issuer", SETTLED["issuer"]],
    "behind-proxy": ["there must be an issuer", "--behind-proxy", "--host", "0.0.0.0"],
    "dev-host": ["--dev is for this machine alone", "--dev", "--host", "0.0.0.0"],
    "plain-host": ["plain http", "--host", "0.0.0.0"],
    "host": ["is no address", "--dev", "--host", "not an address"],
    "key": ["a certificate and its key go together", "--dev", "--tls-cert", "server.pem"],
    "authorities": ["only over TLS", "--dev", "--tls-client-ca", "clients.pem"],
    "nobody": ["nobody vouches for clients", "--dev", "--tls-client-required"],
    "missing": ["cannot be read", "--dev", "--tls-cert", "no.pem", "--tls-key", "no.key"],
    "places": ["private keys have one place", "--dev", "--key-file", "a.json"],
    "rate": ["validation_rate is 0", "--dev", "--validation-rate", "0"],
    "algorithm": ["no signing key was made", "--dev", "--algorithm", "HS256"],
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_a_remedy(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2, one sentence that says what is wrong, and what to do about it."""
    monkeypatch.chdir(tmp_path)
    if case == "places":
        monkeypatch.setenv(serve.PASSPHRASE, "a passphrase of somebody")
    sentence, *arguments = REFUSED[case]
    said = licet("serve", "--json", "--port", 0, *arguments)
    assert said.status == 2
    assert sentence in said.document["detail"]
    assert said.document["remedy"]
    assert "passphrase of somebody" not in said.out + said.err
    if case not in ("issuer", "audience", "algorithm", "behind-proxy"):
        assert not (tmp_path / serve_options.DATA).exists()


def test_an_empty_passphrase_is_none_and_not_no_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that was to be filled and was not must not leave private keys in clear."""
    monkeypatch.setenv(serve.PASSPHRASE, "")
    said = licet("serve", "--dev", "--port", 0, "--data", tmp_path / "data")
    assert said.status == 2
    assert "passphrase is empty" in said.err
    assert not (tmp_path / "data").exists()


def test_a_disk_that_takes_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a sentence and exit status 2, whatever was to be written."""

    def full(*arguments: object, **options: object) -> None:
        raise StorageError("database or disk is full")

    monkeypatch.setattr(keyfiles, "dev_keys", full)
    said = licet("serve", "--dev", "--port", 0, "--data", tmp_path / "data")
    assert said.status == 2
    assert "nothing can be kept (database or disk is full)" in said.err


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """And nothing is made."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        said = licet("serve", "--dev", "--port", port, "--data", tmp_path / "data")
    assert said.status == 2
    assert f"port {port} of 127.0.0.1 is in use" in said.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_what_is_not_installed_is_named_with_the_line_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without either of them there is no server, and no traceback."""
    monkeypatch.setitem(sys.modules, name, None)
    said = licet("serve", "--dev")
    assert said.status == 2
    assert f'needs {name}: pip install "licet[server]"' in said.err


@pytest.mark.parametrize("port", ["-1", "65536", "http", "٣"])
def test_a_port_is_a_number(port: str) -> None:
    """Anything else is a mistake in the arguments."""
    said = licet("serve", "--dev", f"--port={port}")
    assert said.status == 2
    assert "a number from 0 to 65535" in said.err


def test_the_keys_of_development_are_made_anew_where_they_open_nothing(
    server: LicenseServer, tmp_path: Path
) -> None:
    """A key that the database does not know, or has revoked, is replaced; the other one is kept."""
    first = keyfiles.dev_keys(server.api_keys, tmp_path)
    assert keyfiles.dev_keys(server.api_keys, tmp_path) == first
    server.api_keys.revoke(first["validation_key"].rsplit("_", 1)[0][:20])
    second = keyfiles.dev_keys(server.api_keys, tmp_path)
    assert second["admin_key"] == first["admin_key"]
    assert second["validation_key"] != first["validation_key"]
    third = keyfiles.dev_keys(server.api_keys, tmp_path, renew=True)
    assert third["validation_key"] == second["validation_key"]
    assert server.api_keys.find(second["admin_key"]) is None
    for key in third.values():
        assert server.api_keys.find(key) is not None


@posix
def test_its_directory_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner needs no more than `--data`, with `--dev` and without, wherever it listens; and the
    key goes nowhere else."""
    for name in ("LICET_SERVER", "LICET_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    settled = [f"--{name}={text}" for name, text in SETTLED.items()]
    for arguments in ([*settled, "--json"], ["--dev", "--json"]):
        with served(tmp_path / "data", *arguments):
            assert licet("keys", "list", "--data", tmp_path / "data").status == 0


@posix
def test_a_file_of_keys_that_others_may_read_is_refused(
    server: LicenseServer, tmp_path: Path
) -> None:
    """So is one that holds no keys; each with what to do."""
    keyfiles.dev_keys(server.api_keys, tmp_path)
    path = tmp_path / keyfiles.DEV
    path.chmod(0o640)
    with pytest.raises(ServerError, match="mode 0640") as raised:
        keyfiles.dev_keys(server.api_keys, tmp_path)
    assert "chmod 600" in raised.value.remedy
    path.chmod(0o600)
    path.write_text("[" * 10_000)
    with pytest.raises(ServerError, match="holds no keys"):
        keyfiles.dev_keys(server.api_keys, tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ServerError, match="cannot be read"):
        keyfiles.dev_keys(server.api_keys, tmp_path)


def test_an_admin_key_that_cannot_be_left_opens_nothing(
    server: LicenseServer, tmp_path: Path
) -> None:
    """The next start makes another one; where there is one, none is made unless that is asked."""
    with pytest.raises(ServerError, match="cannot be written"):
        keyfiles.admin_key(server.api_keys, tmp_path / "missing")
    assert keyfiles.admin_key(server.api_keys, tmp_path) == tmp_path / keyfiles.ADMIN
    first = (tmp_path / keyfiles.ADMIN).read_text().strip()
    assert keyfiles.admin_key(server.api_keys, tmp_path) is None
    assert server.api_keys.find(first) is not None
    keyfiles.admin_key(server.api_keys, tmp_path, renew=True)
    assert server.api_keys.find(first) is None
    live = [each for each in server.api_keys.listing("admin") if each["revoked_at"] is None]
    assert len(live) == 1


def test_its_help_says_how_to_begin() -> None:
    """A newcomer finds the first line to type, and where secrets come from."""
    said = licet("serve", "--help")
    assert said.status == 0
    assert "licet serve --dev" in said.out
    assert serve.PASSPHRASE in said.out
