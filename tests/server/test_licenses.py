"""What a vendor does to licenses, over HTTP."""

from __future__ import annotations

import json
import re
from typing import Any

import jwt
import pytest
from starlette.testclient import TestClient

from licet.server import LicenseServer
from licet.server.endpoints import issuance
from tests.core.hands import Hands
from tests.server.callers import Calls


def test_what_it_issues_verifies_against_what_it_publishes(calls: Calls) -> None:
    """A license is signed by a published key and says what was asked for."""
    order = {
        "customer": "Müller & Söhne GmbH",
        "plan": "professional",
        "features": ["analytics"],
        "limits": {"seats": 10, "apiCalls": {"max": 5, "per": "day"}},
        "roles": ["admin"],
        "scope": "reports:read",
        "grace": 60,
        "trial": True,
        "domains": ["*.example.com"],
        "ip_ranges": ["203.0.113.0/24"],
        "regions": ["DE"],
        "time_windows": [{"days": "mon-fri", "from": "07:00", "to": "19:00", "tz": "UTC"}],
        "cnf": {"jkt": "A" * 43},
        "must_understand": ["domains"],
    }
    answer = calls.client.post(
        "/v1/licenses", headers=calls.admin, json={**order, "expires_in": 3600}
    )
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    claims = calls.decode(answer.json()["token"])
    assert claims["sub"] == answer.json()["id"]
    assert claims["exp"] - claims["iat"] == 3600
    assert {name: claims[name] for name in order} == order
    assert "status" not in claims
    assert "key" not in answer.json()


def test_a_large_license_is_issued(calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    """Above what gates accept by default it is told in the log, also where warnings are errors."""
    features = [f"feature-number-{n}" for n in range(250)]
    assert calls.decode(calls.issue(features=features)["token"])["features"] == features
    assert "more than gates accept by default" in caplog.text


def test_a_vendor_may_say_more(calls: Calls) -> None:
    """An id, a beginning and claims of one's own are taken as they are given."""
    given = calls.issue(
        id="order-2027-0815",
        not_before="2027-02-01T00:00:00+01:00",
        audience=["acme-mail", "acme-crm"],
        claims={"tenant": "example", "seats": {"named": 7}},
    )
    assert given["id"] == "order-2027-0815"
    claims = calls.decode(given["token"], "acme-mail")
    assert (claims["tenant"], claims["seats"]) == ("example", {"named": 7})
    assert claims["aud"] == ["acme-mail", "acme-crm"]
    assert claims["nbf"] == 1_801_436_400
    later = calls.decode(calls.issue(not_before=1_800_000_100)["token"])
    assert later["nbf"] == 1_800_000_100


def test_an_id_is_given_once(calls: Calls) -> None:
    """A second order of the same id is 409: whoever repeats an order gets no second license."""
    calls.issue(id="order-1")
    before = calls.page()["licenses"]
    answer = calls.client.post("/v1/licenses", headers=calls.admin, json={"id": "order-1"})
    assert answer.status_code == 409
    assert calls.page()["licenses"] == before


def test_a_key_is_shown_once(calls: Calls, server: LicenseServer) -> None:
    """A license has a key only where one was asked for; the server keeps its digest."""
    assert "key" not in calls.issue()
    given = calls.issue(key=True)
    assert re.fullmatch(r"lic_[A-Za-z0-9_-]{43}", given["key"])
    shown = calls.show(given["id"])
    assert shown["key"] is True
    assert given["key"] not in json.dumps([shown, calls.page(), calls.audit()])
    server.close()
    for file in server.configuration.data.rglob("*"):
        if file.is_file():
            assert given["key"].encode() not in file.read_bytes()


def test_a_license_that_nobody_would_accept_is_400(calls: Calls) -> None:
    """What is misspelt or breaks the profile is answered with a sentence, not with a license."""
    for body in (
        b"no json",
        b"[]",
        b"[" * 50_000,
        b'{"featurs": []}',
        b'{"plan": "a", "plan": "b"}',
        b'{"customer": "\\ud800"}',
        b'{"customer": "\xfc"}',
        b'{"customer": 7}',
        b'{"features": "analytics"}',
        b'{"features": {"analytics": false}}',
        b'{"scope": {"reports:write": false}}',
        b'{"audience": {"acme-reports": false}}',
        b'{"trial": "no"}',
        b'{"limits": {"seats": -1}}',
        b'{"limits": 7}',
        b'{"expires_in": 0}',
        b'{"expires_in": "3600"}',
        b'{"not_before": "tomorrow"}',
        b'{"not_before": "2027-02-01T00:00:00"}',
        b'{"audience": null}',
        b'{"subject": "lic_mine"}',
        b'{"id": "a/b"}',
        b'{"id": ""}',
        b'{"id": "validate"}',
        b'{"id": 7}',
        b'{"key": "lic_mine"}',
        b'{"key": null}',
        b'{"claims": ["tenant"]}',
        b'{"claims": {"iss": "https://other.example"}}',
        b'{"claims": {"jti": "mine"}}',
        b'{"claims": {"issued_at": 7}}',
        b'{"claims": {"self": 7}}',
        b'{"claims": {"plan": "free"}}',
        b'{"claims": {"domain": "not a host"}}',
        b'{"status": {"status_list": {"idx": 0, "uri": "https://licenses.acme.example"}}}',
    ):
        answer = calls.client.post("/v1/licenses", headers=calls.admin, content=body)
        assert answer.status_code == 400, body
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 400
        assert answer.json()["detail"]
    assert calls.page()["licenses"] == []


def test_a_huge_body_is_413(calls: Calls) -> None:
    """A body over the limit is refused before it is read as JSON."""
    for path, most in (("", 64 * 1024), ("/import", issuance.MAX_IMPORT)):
        answer = calls.client.post(
            f"/v1/licenses{path}", headers=calls.admin, content=b" " * (most + 1)
        )
        assert answer.status_code == 413


def test_key_and_token_are_one_license(calls: Calls) -> None:
    """What happens to a license happens to its key and to its token, as often as one likes."""
    given = calls.issue(key=True)
    for happens, word in (
        ("suspend", "suspended"),
        ("suspend", "suspended"),
        ("resume", "valid"),
        ("resume", "valid"),
        ("revoke", "revoked"),
        ("revoke", "revoked"),
    ):
        assert calls.act(given["id"], happens, reason="a test") == 200
        assert calls.verdict(given["key"]) == calls.verdict(given["token"]) == word
    assert calls.act(given["id"], "resume") == calls.act(given["id"], "suspend") == 409
    assert calls.verdict(given["key"]) == "revoked"
    done = [entry["action"] for entry in calls.audit() if entry["subject"] == given["id"]]
    assert done == [
        "license.issued", "license.suspended", "license.resumed", "license.revoked",
    ]  # fmt: skip


def test_only_licenses_that_are_there_change(calls: Calls) -> None:
    """An unknown license or act is 404, a malformed reason 400, and nothing changes."""
    given = calls.issue(key=True)
    assert calls.act("lic_other", "revoke") == 404
    assert calls.act(given["id"], "forget") == 404
    assert calls.act(given["id"], "revoke", reason=7) == 400
    assert calls.act(given["id"], "revoke", reason="é" * 1001) == 400
    assert calls.act(given["id"], "revoke", motive="none") == 400
    assert calls.client.get("/v1/licenses/lic_other", headers=calls.admin).status_code == 404
    assert calls.verdict(given["key"]) == "valid"


def test_a_vendor_sees_a_license(calls: Calls, hands: Hands) -> None:
    """Shown are its state, why, since when, what it says and what was used; never its token."""
    given = calls.issue(customer="Müller", plan="pro", key=True, expires_in=1000, grace=60)
    hands.advance(10)
    calls.ask(given["key"])
    hands.advance(10)
    calls.act(given["id"], "suspend", reason="Zahlung fällig\n§ 5")
    answer = calls.client.get(f"/v1/licenses/{given['id']}", headers=calls.admin)
    assert answer.headers["cache-control"] == "no-store"
    assert given["token"] not in answer.text
    shown = answer.json()
    claims, used = shown.pop("claims"), shown.pop("use")
    assert shown == {
        "id": given["id"],
        "customer": "Müller",
        "plan": "pro",
        "state": "suspended",
        "reason": "Zahlung fällig\n§ 5",
        "key": True,
        "created_at": "2027-01-15T08:00:00.000Z",
        "changed_at": "2027-01-15T08:00:20.000Z",
        "expires_at": "2027-01-15T08:16:40.000Z",
        "ends_at": "2027-01-15T08:17:40.000Z",
        "term_ends_at": None,
        "validated_at": "2027-01-15T08:00:10.000Z",
    }
    assert claims == calls.decode(given["token"])
    assert used == {}


def test_use_is_shown_beside_the_limit(calls: Calls) -> None:
    """Of each limit it is shown how much of it was used, and since when that is counted."""
    given = calls.issue(limits={"seats": 10, "exports": {"max": 5, "per": "day"}})
    assert calls.show(given["id"])["use"] == {
        "seats": {"used": 0, "max": 10, "per": "month", "since": "2027-01-01T00:00:00.000Z"},
        "exports": {"used": 0, "max": 5, "per": "day", "since": "2027-01-15T00:00:00.000Z"},
    }


def test_licenses_are_listed_in_pages(calls: Calls) -> None:
    """Pages follow the ids, so that none is missed or shown twice while others are issued."""
    for number in range(7):
        calls.issue(id=f"lic_{number}", customer=("Ä", "B")[number % 2])
    calls.act("lic_2", "revoke")
    calls.act("lic_3", "suspend")
    seen, after = [], ""
    while after is not None:
        page = calls.page(limit=3, after=after)
        seen += [shown["id"] for shown in page["licenses"]]
        after = page["next"]
        calls.issue(id=f"before-{len(seen)}")
    assert seen == [f"lic_{number}" for number in range(7)]

    def ids(**asked: object) -> list[str]:
        return [shown["id"] for shown in calls.page(**asked)["licenses"]]

    assert ids(customer="Ä") == ["lic_0", "lic_2", "lic_4", "lic_6"]
    assert ids(customer="Ä", state="active", after="lic_0", limit=1) == ["lic_4"]
    assert ids(state="revoked") == ["lic_2"]
    assert ids(state="suspended", customer="Ä") == []
    assert ids(customer="nobody") == []


def test_a_misspelt_list_is_400(calls: Calls) -> None:
    """Who asks for a list in words that are not known is not shown everything."""
    limits = [f"limit={limit}" for limit in ("0", "1001", "x", "%C2%B2", "9" * 5000)]
    for query in (*limits, "state=expired", "costumer=A", "customer=A&customer=B"):
        answer = calls.client.get(f"/v1/licenses?{query}", headers=calls.admin)
        assert answer.status_code == 400, query


def test_it_survives_a_restart(server: LicenseServer, calls: Calls) -> None:
    """What was acknowledged is there after the next start: state, reason, key and place."""
    given = calls.issue(key=True, status=True)
    calls.act(given["id"], "revoke", reason="über Nacht")
    calls.ask(given["key"])
    shown = calls.show(given["id"])
    server.close()
    with LicenseServer(server.configuration) as again, TestClient(again.app) as client:
        vendor = again.api_keys.create("admin", "vendor").key
        calls.client, calls.admin = client, {"Authorization": f"Bearer {vendor}"}
        assert calls.show(given["id"]) == shown
        assert calls.verdict(given["key"]) == calls.verdict(given["token"]) == "revoked"


def _imported(calls: Calls, content: bytes, kind: str) -> Any:
    headers = {**calls.admin, "Content-Type": kind}
    return calls.client.post("/v1/licenses/import", headers=headers, content=content)


def test_many_are_issued_at_once(calls: Calls) -> None:
    """An array, or a license on each line, is answered in the order in which it came.

    Media types are compared without case (RFC 9110, section 8.3.1).
    """
    bodies: list[dict[str, Any]] = [{"customer": f"K{n}", "key": True} for n in range(20)]
    bodies[7] = {"id": "lic_seven", "status": True}
    array, lines = json.dumps(bodies), "\n".join(map(json.dumps, bodies)) + "\n"
    answers = [_imported(calls, array.encode(), "application/json")]
    bodies[7]["id"] = "lic_other"
    lines = "\r\n".join(map(json.dumps, bodies)) + "\r\n\r\n"
    answers.append(_imported(calls, lines.encode(), "Application/X-NDJSON; charset=utf-8"))
    for answer in answers:
        assert answer.status_code == 201
        given = answer.json()["licenses"]
        assert len(given) == 20
        for body, one in zip(bodies, given, strict=True):
            claims = calls.decode(one["token"])
            assert claims["sub"] == one["id"]
            assert claims.get("customer") == body.get("customer")
            assert ("key" in one) is ("key" in body)
            assert ("status" in claims) is ("status" in body)
    assert calls.verdict(answers[0].json()["licenses"][3]["key"]) == "valid"
    assert len(calls.page()["licenses"]) == 40


def test_of_many_all_are_issued_or_none(calls: Calls) -> None:
    """One mistake in an import, and nothing of it is there."""
    array, lines = "application/json", "application/x-ndjson"
    for content, kind, status in (
        (b"", array, 400),
        (b"[]", array, 400),
        (b'[{}],"a":[{}]', array, 400),
        (b"{}", array, 400),
        (b'[{}, {"features": "a"}]', array, 400),
        (b"[{}, 7]", array, 400),
        (b'[{"id": "twice"}, {"id": "twice"}]', array, 409),
        (b"[" + b"{}," * 1000 + b"{}]", array, 400),
        (b"", lines, 400),
        (b"{}\n{", lines, 400),
        (b'{}\n{"featurs": []}\n', lines, 400),
        (b"{}\n" * 1001, lines, 400),
    ):
        answer = _imported(calls, content, kind)
        assert answer.status_code == status, content[:80]
        assert answer.headers["content-type"] == "application/problem+json"
        assert calls.page()["licenses"] == []


def test_the_second_mistake_is_the_second_license(calls: Calls) -> None:
    """What is wrong with an import is told by the number of the license."""
    answer = _imported(calls, b'[{}, {"grace": -1}]', "application/json")
    assert answer.json()["detail"].startswith("License 2: ")


def test_a_key_that_was_retired_meanwhile_signs_no_license(
    calls: Calls, server: LicenseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A license whose key is retired before it is on disk is signed anew, not handed out."""
    from licet.server.licenses import issuing

    old, sign = server.signing_keys.issuer, issuing.sign

    def late(ordered: Any, issuer: Any, *others: Any) -> Any:
        if issuer is old:
            signed = sign(ordered, issuer, *others)
            server.signing_keys.rotate()
            server.signing_keys.retire(old.kid)
            return signed
        return sign(ordered, issuer, *others)

    monkeypatch.setattr(issuing, "sign", late)
    token = calls.issue()["token"]
    assert jwt.get_unverified_header(token)["kid"] != old.kid
    assert calls.decode(token)
