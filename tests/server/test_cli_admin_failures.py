"""The vendor's commands where the server is gone, fails, or is none, as they are typed."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import trustme

from licet.cli.admin import importing
from licet.core.tls import pin_of
from tests.commands import Said, licet
from tests.core.license_server import AUTHORITY
from tests.core.loopback import Answer, Loopback, Request, Reset, reply

KEY = "lak_0123456789abcdef_secret"
REVOKE = ("licenses", "revoke", "lic_1")
#: Every change, and what is unknown where nobody answers it.
CHANGES = {
    ("licenses", "issue", "--subject", "lic_1"): "whether lic_1 was issued is unknown",
    REVOKE: "whether lic_1 is revoked is unknown",
    ("licenses", "suspend", "lic_1"): "whether lic_1 is suspended is unknown",
    ("licenses", "resume", "lic_1"): "whether lic_1 is active again is unknown",
    ("licenses", "import", "-"): "whether line 1 was issued is unknown",
    ("keys", "rotate"): "whether there is a new key is unknown",
    ("keys", "retire", "kid"): "whether kid is retired is unknown",
    ("validation-keys", "create", "x"): "whether a key was made is unknown",
    ("validation-keys", "revoke", "lvk_1"): "whether lvk_1 is revoked is unknown",
    ("webhooks", "set", "https://app.example/"): "whether it is told is unknown",
    ("webhooks", "remove", "wh_1"): "whether it is still told is unknown",
}
READS = (
    ("licenses", "list"),
    ("licenses", "show", "lic_1"),
    ("keys", "list"),
    ("validation-keys", "list"),
    ("webhooks", "list"),
    ("audit",),
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LICET_ADMIN_KEY", KEY)
    monkeypatch.delenv("LICET_SERVER", raising=False)


@pytest.fixture(name="stage", scope="module")
def _stage() -> Iterator[Loopback]:
    with Loopback(lambda request: reply()) as server:
        yield server


def ask(stage: Loopback, *arguments: object, stdin: bytes | None = None) -> Said:
    """Type a command for a server that answers as a test likes; the key must not be shown."""
    where = ("--server", f"http://127.0.0.1:{stage.port}", "--ca-file", AUTHORITY)
    said = licet(*arguments, *where, stdin=b'{"expires_in": 60}' if stdin is None else stdin)
    assert KEY not in said.out + said.err
    return said


def problem(status: int, detail: str = "It does not.", **fields: str) -> bytes:
    """Return an answer of problem details (RFC 9457)."""
    return reply(
        status, json.dumps({"detail": detail}).encode(), "application/problem+json", **fields
    )


def breaks(request: Request) -> Answer:
    """Hang up when all is said."""
    raise Reset


UNKNOWN: dict[str, Callable[[Request], Answer]] = {
    "hangs up": breaks,
    "half an answer": lambda request: reply(200, b'{"id"')[:-3],
    "fails": lambda request: problem(500),
    "away": lambda request: reply(502, b"<h1>Bad gateway</h1>", "text/html"),
    "says nothing": lambda request: reply(200, b"{}"),
    "no JSON": lambda request: reply(200, b"Welcome!", "text/html"),
    "no number": lambda request: reply(200, b'{"state": "revoked", "seats": NaN}'),
    "more than a number": lambda request: reply(200, b'{"state": "revoked", "seats": 1e999}'),
    "another": lambda request: reply(200, b'{"id": "lic_2", "state": "active?", "keys": 1}'),
    "compressed": lambda request: reply(200, b"{}", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_change_without_an_answer(stage: Loopback, answer: Callable[[Request], Answer]) -> None:
    """Whatever ends a change but an answer that acknowledges it is status 3, says what is unknown,
    and is asked once."""
    stage.answer = answer
    for change, unknown in CHANGES.items():
        before = len(stage.log)
        said = ask(stage, *change)
        assert (said.status, unknown in said.err) == (3, True), (change, said)
        assert len(stage.log) == before + 1


def test_a_change_that_takes_too_long(stage: Loopback) -> None:
    """Behind `--timeout` it is status 3, and unknown."""
    stage.answer = lambda request: stage.drip(b"HTTP/1.1 200 OK\r\n", b"X-Wait: 1\r\n", 0.02)
    began = time.monotonic()
    said = ask(stage, *REVOKE, "--timeout", 0.1, "--json")
    assert time.monotonic() < began + 2
    assert said.status == 3
    assert "no answer came within 0.1 seconds; whether lic_1 is revoked is unknown" in said.err
    (result,) = said.document["licenses"]
    assert (result["id"], result["code"]) == ("lic_1", "unsure")


def test_what_never_got_there() -> None:
    """A server that takes no connection is status 3, and a change was not made."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for command in (*CHANGES, *READS):
        where = ("--server", f"http://127.0.0.1:{port}", "--ca-file", AUTHORITY)
        said = licet(*command, *where, stdin=b"{}")
        assert said.status == 3
        assert f"http://127.0.0.1:{port} cannot be reached" in said.err
        assert ("nothing was changed" in said.err) == (command in CHANGES)
        assert "unknown" not in said.err


def test_behind_the_first_that_is_unknown_no_other_is_asked_for(stage: Loopback) -> None:
    """Of several licenses those behind it are named as not asked for; those before it are done."""
    stage.answer = lambda request: (
        reply(200, b'{"state": "revoked"}') if "lic_1/" in request.target else breaks(request)
    )
    before = len(stage.log)
    said = ask(stage, *REVOKE, "lic_2", "lic_3", "lic_4", "--json")
    assert said.status == 3
    assert len(stage.log) == before + 2
    codes = [each.get("code") for each in said.document["licenses"]]
    assert codes == [None, "unsure", "not_asked", "not_asked"]
    assert "not asked for: lic_3, lic_4" in said.err


def test_ctrl_c_in_the_middle(stage: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is acknowledged is printed, what is not is said to be unknown, and it is status 130."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("licet.core.transport.Transport.send", interrupted)
    said = ask(stage, *REVOKE, "lic_2", "--json")
    assert said.status == 130
    assert [each["code"] for each in said.document["licenses"]] == ["unsure", "not_asked"]
    assert "whether lic_1 is revoked is unknown" in said.err
    said = ask(stage, "licenses", "import", "-", stdin=b"{}\n{}")
    assert said.status == 130
    assert "whether lines 1 to 2 were issued is unknown" in said.err
    assert [json.loads(line)["code"] for line in said.out.splitlines()] == ["unsure"] * 2


def test_an_import_that_breaks_off(stage: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is printed with its tokens, the batch without an answer as unknown with
    its ids, and nothing behind it is sent."""
    monkeypatch.setattr(importing, "MOST", 2)
    ids: list[list[str]] = []

    def answer(request: Request) -> Answer:
        ids.append([json.loads(line)["id"] for line in request.body.splitlines()])
        if len(ids) == 2:
            raise Reset
        issued = [{"id": each, "token": "a.b.c"} for each in ids[-1]]
        return reply(201, json.dumps({"licenses": issued}).encode())

    stage.answer = answer
    said = ask(stage, "licenses", "import", "-", stdin=b'{"id": "lic_1"}\n' + b"{}\n" * 4)
    assert said.status == 3
    printed = [json.loads(line) for line in said.out.splitlines()]
    assert [each.get("token") for each in printed] == ["a.b.c", "a.b.c", None, None]
    assert [each["id"] for each in printed] == ids[0] + ids[1]
    assert "2 licenses are issued, up to line 2" in said.err
    assert f"`licet licenses show {ids[1][0]}` tells" in said.err
    assert "when that is settled, --after 2" in said.err


def test_what_is_acknowledged_is_on_its_way_before_more_is_asked(
    stage: Loopback, tmp_path: Path
) -> None:
    """When the second batch is sent, the lines of the first are in the file that gets them."""
    issued, printed = tmp_path / "issued.ndjson", []

    def answer(request: Request) -> Answer:
        printed.append(issued.read_bytes().count(b"\n"))
        ids = [json.loads(line)["id"] for line in request.body.splitlines()]
        return reply(201, json.dumps({"licenses": [{"id": each} for each in ids]}).encode())

    stage.answer = answer
    where = ["--server", f"http://127.0.0.1:{stage.port}", "--ca-file", str(AUTHORITY)]
    with issued.open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "licet", "licenses", "import", "-", *where],
            input=b"{}\n" * (importing.MOST + 1),
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, printed) == (0, [0, importing.MOST])


ONCE = {
    ("licenses", "issue", "--subject", "lic_1"): "lic_1 was issued, and nobody has its token",
    ("licenses", "import", "-"): "line 1 was issued, and not all of it is printed",
    ("validation-keys", "create", "x"): "nobody has the key lvk_1: revoke it",
}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk, as Linux has it")
@pytest.mark.parametrize("command", ONCE, ids=" ".join)
def test_what_is_shown_once_does_not_get_out(stage: Loopback, command: tuple[str, ...]) -> None:
    """A full disk behind the output is status 2; what was made for nobody is named, and an import
    does not go on with lines that are issued already."""

    def answer(request: Request) -> Answer:
        made = {"id": json.loads(request.body).get("id", "lvk_1"), "token": "a.b.c", "key": "k"}
        return reply(201, json.dumps({**made, "licenses": [made]}).encode())

    stage.answer = answer
    where = ["--server", f"http://127.0.0.1:{stage.port}", "--ca-file", str(AUTHORITY)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "licet", *command, *where],
            input=b"{}\n",
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    said = done.stderr.decode()
    assert done.returncode == 2
    assert ONCE[command] in said
    assert "the output cannot be written" in said
    assert "Traceback" not in said
    assert "--after 0" not in said


@pytest.mark.parametrize("command", [REVOKE, ("keys", "list")], ids=" ".join)
@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (problem(404, "There is\x1b[2J none."), 1, "There is\\x1b[2J none."),
        (problem(409, "It stays so."), 1, "It stays so."),
        (problem(413), 1, "(413)"),
        (reply(404, b'{"detail": "x"}'), 2, "no license server (404)"),
        (problem(401), 2, "refuses the key (401)"),
        (problem(403), 2, "refuses the key (403)"),
        (problem(429, Retry_After="7"), 3, "try again in 7 seconds"),
        (problem(429, Retry_After="soon"), 3, "try again in a while"),
        (reply(404, b"<h1>Not found</h1>", "text/html"), 2, "no license server (404)"),
        (reply(400, b"[" * 100_000, "application/problem+json"), 2, "no license server (400)"),
        (reply(302, b"", Location="http://127.0.0.1:1/"), 2, "redirects are not followed"),
    ],
    ids=repr,
)
def test_answers(
    stage: Loopback, command: tuple[str, ...], answer: bytes, status: int, says: str
) -> None:
    """The server's no is status 1 in its own words, made harmless; a key that it refuses, or
    another server, is 2; too many requests are 3. In each case nothing was changed."""
    stage.answer = lambda request: answer
    said = ask(stage, *command)
    assert said.status == status
    assert says in said.err
    assert "unknown" not in said.err
    assert ask(stage, *command, "--json").document


@pytest.mark.parametrize("license_id", [".", "..", "a/../b", "a/revoke", "%2e", "ü?x=1#y"])
def test_ids_are_no_addresses(stage: Loopback, license_id: str) -> None:
    """Whatever an id says, it is one part of the address that is asked."""
    stage.answer = lambda request: problem(404)
    assert ask(stage, "licenses", "revoke", license_id).status == 1
    part = stage.log[-1].target.removeprefix("/v1/licenses/").removesuffix("/revoke")
    assert unquote(part) == license_id
    assert part.isascii()
    assert not set(part) & set("/?#.")


@pytest.mark.parametrize("command", READS, ids=" ".join)
def test_words_of_others(stage: Loopback, command: tuple[str, ...]) -> None:
    """Nothing that a server says reaches the terminal as something that could steer it."""
    evil = "\x1b[2J\x9b2J\u202e"
    names = "id name url customer plan state kid alg action subject actor problem events at".split()
    thing: dict[str, object] = {**dict.fromkeys(names, evil), evil: evil, "expires_at": evil}
    kinds = ("licenses", "keys", "validation_keys", "webhooks")
    answer = {**thing, **{kind: [thing] for kind in kinds}, "claims": {evil: {evil: evil}}}

    def say(request: Request) -> Answer:
        entries = [] if "after=1" in request.target else [{**thing, "id": 1, "detail": thing}]
        return reply(200, json.dumps({**answer, "entries": entries}).encode())

    stage.answer = say
    for options in ((), ("--json",)):
        said = ask(stage, *command, *options)
        assert said.status == 0
        assert "2J" in said.out
        assert not set(evil) - set("[2J") & set(said.out + said.err)


def test_pages_that_never_end(stage: Loopback) -> None:
    """A server that goes round in circles is status 3."""
    page = b'{"licenses": [], "next": "a", "entries": [{"id": 1}]}'
    most = len(stage.log) + 8
    stage.answer = lambda request: reply(200, page) if len(stage.log) < most else problem(404)
    assert ask(stage, "licenses", "list").status == 3
    assert ask(stage, "audit").status == 3


def test_following_a_server_that_is_away(stage: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is followed through an outage, which is told of; not without a key that opens."""
    answers = [reply(200, b'{"entries": []}'), problem(503), problem(503), problem(401)]
    stage.answer = lambda request: answers.pop(0)
    monkeypatch.setattr("licet.cli.admin.audit.PAUSE", 0)
    said = ask(stage, "audit", "--follow")
    assert said.status == 2
    assert said.err.count("it is tried again") == 2


def test_the_key_does_not_go_in_clear() -> None:
    """Plain http to another machine, and what is no address of a server, is status 2."""
    for url in ("http://licenses.example", "licenses.example", "https://a/?x=1", "https://u:p@a"):
        said = licet("keys", "list", "--server", url)
        assert said.status == 2
        assert "p@a" not in said.err


@pytest.mark.parametrize(
    "options",
    [
        ["--ca-file", "none.pem"],
        ["--client-cert", "none.pem"],
        ["--client-cert", "none.pem", "--client-key", "none.key"],
        ["--pin", "sha256/x"],
        ["--timeout", "0"],
        ["--timeout", "long"],
    ],
    ids=" ".join,
)
def test_options_that_cannot_be_used(options: list[str]) -> None:
    """It is status 2, and names the option."""
    said = licet("keys", "list", *options)
    assert said.status == 2
    assert options[0] in said.err or "--client-key" in said.err
    assert "LICET_TLS" not in said.err


def test_tls(tmp_path: Path) -> None:
    """The certificate, the pins and the client's own certificate are checked before anything is
    sent: each of them is status 2, and nothing was changed."""
    authority, other = trustme.CA(), trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(context)
    authority.cert_pem.write_to_path(trusted := tmp_path / "ca.pem")
    shown = authority.issue_cert("vendor.example")
    shown.cert_chain_pems[0].write_to_path(cert := tmp_path / "cert.pem")
    shown.private_key_pem.write_to_path(key := tmp_path / "key.pem")
    key.chmod(0o600)
    pin = pin_of(ssl.PEM_cert_to_DER_cert(own.cert_chain_pems[0].bytes().decode()))
    wrong = "sha256/" + "A" * 43 + "="
    mine = ("--client-cert", cert, "--client-key", key)
    with Loopback(lambda request: reply(200, b'{"state": "revoked"}'), context) as server:
        where = ("--server", f"https://127.0.0.1:{server.port}")
        known = (*REVOKE, *where, "--ca-file", trusted)
        refused = {
            "untrusted": licet(*REVOKE, *where, "--ca-file", AUTHORITY),
            "mismatch": licet(*known, "--pin", wrong),
        }
        assert licet(*known, "--pin", pin, "--pin", wrong).status == 0
        context.verify_mode = ssl.CERT_REQUIRED
        other.configure_trust(context)
        authority.configure_trust(context)
        refused["client_certificate"] = licet(*known)
        assert licet(*known, *mine).status == 0
        assert len(server.log) == 2
    for word, said in refused.items():
        assert said.status == 2, (word, said)
        assert word in said.err
        assert "nothing was changed" in said.err
