"""Status lists, read without anything of ours, and as gates read them."""

from __future__ import annotations

import re
import zlib
from base64 import urlsafe_b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import jwt
import pytest
from starlette.testclient import TestClient

from licet.core.revocation.statuslist import read_list, read_reference
from licet.server import Configuration, LicenseServer
from licet.server.licenses import statuslists
from licet.server.licenses.changes import Changes
from tests.core.hands import Hands
from tests.server.callers import TIMELESS, Calls
from tests.server.conftest import AUDIENCE, ISSUER


def reference(calls: Calls, token: str) -> dict[str, Any]:
    claim: dict[str, Any] = calls.decode(token)["status"]["status_list"]
    return claim


def listed(calls: Calls, token: str) -> int:
    """Return what the status list says of a license, read with PyJWT and the draft in hand."""
    claim = reference(calls, token)
    answer = calls.client.get(claim["uri"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    assert jwt.get_unverified_header(answer.text)["typ"] == "statuslist+jwt"
    said = calls.decode(answer.text, None)
    assert said["sub"] == claim["uri"]
    assert said["exp"] > said["iat"]
    assert said["ttl"] == 300
    lst = said["status_list"]["lst"]
    content = zlib.decompress(urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))
    bits, index = said["status_list"]["bits"], claim["idx"]
    assert len(content) == 2**20 * bits // 8
    byte = content[index * bits // 8]
    return int((byte >> (index * bits % 8)) & ((1 << bits) - 1))


def test_a_status_list_follows_its_licenses(calls: Calls, server: LicenseServer) -> None:
    """A license that asked for it is on a signed list, which knows at once what became of it."""
    given, other = calls.issue(status=True), calls.issue(status=True)
    seen = [listed(calls, given["token"])]
    for happens in ("suspend", "resume", "revoke"):
        calls.act(given["id"], happens)
        seen.append(listed(calls, given["token"]))
    assert seen == [0, 2, 0, 1]
    assert listed(calls, other["token"]) == 0
    old = server.signing_keys.issuer.kid
    server.signing_keys.rotate()
    server.signing_keys.retire(old)
    assert jwt.get_unverified_header(calls.issue(status=True)["token"])["kid"] != old
    uri = _list_uri(server)
    assert jwt.get_unverified_header(calls.client.get(uri).text)["kid"] != old


def _list_uri(server: LicenseServer) -> str:
    (row,) = server.database.read(
        lambda reader: reader.execute("SELECT uri FROM status_lists").fetchall()
    )
    return str(row[0])


def test_gates_read_the_list(calls: Calls, hands: Hands) -> None:
    """Licet's own reader finds each license under the word for what became of it."""
    given = [calls.issue(status=True) for _ in range(3)]
    calls.act(given[1]["id"], "revoke")
    calls.act(given[2]["id"], "suspend")
    claims = [read_reference(calls.decode(one["token"])["status"]) for one in given]
    text = calls.client.get(claims[0].uri).content
    found = read_list(
        text, claims[0].uri, ISSUER, lambda kid, alg: calls.key(kid, alg).verify, hands.wall
    )
    assert [found.word(claim.idx) for claim in claims] == ["valid", "revoked", "suspended"]


def test_the_status_list_is_cached(calls: Calls, hands: Hands) -> None:
    """Whoever has the list is told so, until something changes or it has grown old here."""
    given = calls.issue(status=True)
    uri = reference(calls, given["token"])["uri"]
    answer = calls.client.get(uri)
    assert answer.headers["cache-control"] == "public, max-age=150"
    known = {"If-None-Match": answer.headers["etag"]}
    hands.advance(149)
    calls.issue(status=True)
    assert calls.client.get(uri, headers=known).status_code == 304
    hands.advance(1)
    answer = calls.client.get(uri, headers=known)
    assert answer.status_code == 200
    known = {"If-None-Match": answer.headers["etag"]}
    calls.act(given["id"], "revoke")
    assert calls.client.get(uri, headers=known).status_code == 200


def test_there_is_no_list_that_is_not_known(calls: Calls) -> None:
    """A server says nothing about licenses that it does not know: it has not forgotten them."""
    calls.issue(status=True)
    for number in ("0" * 20, "-1", "1e3", "²", "0", "x"):
        assert calls.client.get(f"/status/{number}").status_code == 404


def test_lists_of_another_database_are_others(tmp_path: Path) -> None:
    """With its keys kept and its database lost, a server signs nothing in the name of old lists."""
    numbers = set()
    for name in ("first", "second"):
        configuration = Configuration(
            data=tmp_path / name, issuer=ISSUER, audience=AUDIENCE, key_file=tmp_path / "keys.json"
        )
        with LicenseServer(configuration) as server, TestClient(server.app) as client:
            vendor = {"Authorization": f"Bearer {server.api_keys.create('admin', 'v').key}"}
            answer = client.post("/v1/licenses", headers=vendor, json={"status": True})
            options: Any = {**TIMELESS, "verify_signature": False}
            claims = jwt.decode(answer.json()["token"], options=options)
            numbers.add(claims["status"]["status_list"]["uri"])
    assert len(numbers) == 2


def test_a_list_keeps_its_address(server: LicenseServer, calls: Calls) -> None:
    """When the server moves, the old list stays what it was and new licenses are on another."""
    old = calls.issue(status=True)
    before = reference(calls, old["token"])["uri"]
    assert re.fullmatch(rf"{re.escape(ISSUER)}/status/\d+", before)
    server.close()
    moved = replace(server.configuration, url="https://status.example/prefix/")
    with LicenseServer(moved) as again, TestClient(again.app) as client:
        vendor = again.api_keys.create("admin", "vendor").key
        calls.client, calls.admin = client, {"Authorization": f"Bearer {vendor}"}
        after = reference(calls, calls.issue(status=True)["token"])["uri"]
        assert re.fullmatch(r"https://status\.example/prefix/status/\d+", after)
        calls.act(old["id"], "revoke")
        assert listed(calls, old["token"]) == 1


def test_no_two_licenses_share_a_place(
    calls: Calls, server: LicenseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Places differ also where another was drawn just before, and a half-full list is followed."""
    monkeypatch.setattr(statuslists, "SIZE", 4)
    monkeypatch.setattr(statuslists, "HALF", 2)
    given = [calls.issue(status=True)["token"] for _ in range(4)]
    places = {tuple(reference(calls, token).values()) for token in given}
    assert len(places) == 4
    assert len({uri for _, uri in places}) == 2
    taken = server.database.read(
        lambda reader: reader.execute("SELECT taken FROM status_lists").fetchall()
    )
    assert taken == [(2,), (2,)]


def test_a_place_that_was_taken_meanwhile_is_drawn_again(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two orders may draw one place; the second is signed anew with another."""
    first = reference(calls, calls.issue(status=True)["token"])
    drawn, draw = [{first["idx"]}], statuslists._drawn
    monkeypatch.setattr(
        statuslists, "_drawn", lambda *about: drawn.pop() if drawn else draw(*about)
    )
    second = reference(calls, calls.issue(status=True)["token"])
    assert not drawn
    assert second["uri"] == first["uri"]
    assert second["idx"] != first["idx"]


@pytest.mark.anyio
async def test_many_who_ask_at_once_wait_for_one_signature(
    calls: Calls, server: LicenseServer, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list is signed once for all who wait for it, under asyncio and trio."""
    number = int(reference(calls, calls.issue(status=True)["token"])["uri"].rpartition("/")[2])
    lists = statuslists.StatusLists(
        server.database, server.signing_keys, 300, Changes(hands.clock), hands.clock
    )
    sign, signed, texts = lists._sign, [], []
    monkeypatch.setattr(lists, "_sign", lambda *about: signed.append(about) or sign(*about))

    async def ask() -> None:
        texts.append(await lists.text(number))

    async with anyio.create_task_group() as asking:
        for _ in range(5):
            asking.start_soon(ask)
    assert len(signed) == 1
    assert len(texts) == 5
    assert set(texts) == {lists._signed[number].text}
