"""Rows Q and E16: what others than the license server push, or what comes twice, late, too much.

An adapter's test class says how it serves a licensed application and the receiver beside it.
"""

from __future__ import annotations

import base64
import gzip
import json
import time
from itertools import count, repeat
from typing import Any, ClassVar, Literal

import pytest

from licet import Settings
from licet.core import gates
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.revocation.reception import MAX_BODY
from tests.adapters.contract import Answer, bearer
from tests.adapters.posting import AsgiPost, Body, WsgiPost
from tests.core.loopback import Loopback, Request, reply
from tests.licenses import FORGER, OPTIONS, license_token
from tests.pushed import JSON, PATH, event, lines, mac, new_secret, signature

_NUMBERS = count(1)


class Site:
    """A licensed application with a receiver.

    Args:
        post: sends requests to it.
        gate: what judges for it.
        calls: the paths of its views that were called.
        secret: that it shares with the license server.
    """

    def __init__(
        self, post: AsgiPost | WsgiPost, gate: Gate, calls: list[str], secret: str
    ) -> None:
        self.post, self.gate, self.calls, self.secret = post, gate, calls, secret
        self.events: list[Event] = []
        gate.events.subscribe(self.events.append)

    def license(self) -> str:
        """Return the id of a license that nobody has used before, and that holds."""
        name = f"lic_{next(_NUMBERS)}"
        assert self.verdict(name) == "yes"
        return name

    def verdict(self, name: str) -> str:
        """Return what becomes of a request with a license."""
        answer = self.post("GET", "/me", bearer(license_token(sub=name)))
        return "yes" if answer.status == 200 else str(answer.json["code"])

    def deliver(self, body: bytes, **sent: Any) -> Answer:
        """Deliver an event."""
        return self.post("POST", PATH, lines(self.secret, body, **sent), body)

    def told(self) -> list[tuple[object, object]]:
        """Return the withdrawals that were told of."""
        return [
            (one.data["word"], one.data["license_id"])
            for one in self.events
            if one.name == "license.revoked"
        ]


class WebhookContract:
    """The suite."""

    adapter: ClassVar[str]
    #: What becomes of a body without a length: read as it comes, collected by the framework before
    #: anybody sees it, or not read at all.
    unmeasured: ClassVar[Literal["read", "collected", "ignored"]] = "read"
    #: Paths that the framework itself takes for `PATH`, as for any other.
    same: ClassVar[tuple[str, ...]] = ()

    def serve(self, settings: dict[str, Any], calls: list[str]) -> AsgiPost | WsgiPost:
        """Serve the receiver at `PATH` and a licensed view at `/me`, which notes its calls."""
        raise NotImplementedError

    def site(self, **options: Any) -> Site:
        """Serve it with a secret, and hence a gate, of its own."""
        secret = new_secret()
        settings = {**OPTIONS, "webhook_receive_secret": secret, **options}
        settings.setdefault("exempt_paths", (PATH,))
        calls: list[str] = []
        post = self.serve(settings, calls)
        return Site(post, gates.gate_for(Settings(**settings)), calls, secret)

    def refused(self, answer: Answer, status: int, code: str) -> None:
        """See to it that a delivery was refused so, and told nothing else."""
        assert answer.status == status, answer
        document = answer.json
        assert (document["code"], document["status"]) == (code, status)
        assert document["type"] == f"urn:licet:problem:{code.replace('_', '-')}"
        assert answer.header("Content-Type") == "application/problem+json"
        assert answer.header("Cache-Control") == "no-store"

    @pytest.mark.row("Q01")
    def test_only_what_is_signed_is_taken(self) -> None:
        """Nothing but a signature over the bytes that came, in its one spelling, has an effect."""
        site = self.site()
        name = site.license()
        body = event(license_id=name)
        at, number = int(time.time()), "evt_1"
        good = signature(site.secret, number, at, body)
        code = mac(site.secret, number, at, body)
        again = json.dumps(json.loads(body), separators=(",", ":")).encode()
        assert again != body
        forged: dict[str, str | None] = {
            "none": None,
            "empty": "",
            "another secret": signature(new_secret(), number, at, body),
            "over JSON written anew": signature(site.secret, number, at, again),
            "hexadecimal": "v1," + code.hex(),
            "without padding": good.rstrip("="),
            "for URLs": "v1," + base64.urlsafe_b64encode(b"\xff" * 32).decode(),
            "another separator": good.replace(",", "="),
            "another version": good.replace("v1,", "v1a,"),
            "without its version": good[3:],
            "cut": good[:-5],
            "behind too many": " ".join(["v1,x"] * 16 + [good]),
        }
        for why, forgery in forged.items():
            answer = site.deliver(body, event_id=number, at=at, webhook_signature=forgery)
            self.refused(answer, 401, "webhook_invalid")
            assert answer.header("WWW-Authenticate"), why
        twice = [*lines(site.secret, body), ("webhook-signature", good)]
        self.refused(site.post("POST", PATH, twice, body), 401, "webhook_invalid")
        sent = lines(site.secret, body)
        self.refused(site.post("POST", PATH, sent, again), 401, "webhook_invalid")
        assert (site.verdict(name), site.told()) == ("yes", [])
        several = f"v1,{'A' * 43}= v1a,AAAA {good} v2,x"
        answer = site.deliver(body, event_id=number, at=at, webhook_signature=several)
        assert (answer.status, answer.body) == (204, b"")
        assert site.verdict(name) == "license_revoked"
        assert site.told() == [("revoked", name)]

    @pytest.mark.row("Q02")
    def test_only_what_is_sent_now_is_taken(self) -> None:
        """A timestamp is part of what is signed, plain digits, and within five minutes of now."""
        site = self.site()
        name, now = site.license(), int(time.time())
        body = event(license_id=name)
        for at in (now - 310, now + 310, 0, f"+{now}", f"{now}.0", f"-{now}", "NaN", "1e9", "inf"):
            self.refused(site.deliver(body, at=at), 401, "webhook_invalid")
        for sent in (None, "", str(now - 1), f"{now}, {now}"):
            answer = site.deliver(body, at=now, webhook_timestamp=sent)
            self.refused(answer, 401, "webhook_invalid")
        unsigned = signature(site.secret, "evt_1", "", body)
        answer = site.deliver(body, event_id="evt_1", webhook_signature=unsigned)
        self.refused(answer, 401, "webhook_invalid")
        assert site.verdict(name) == "yes"
        assert site.deliver(body, at=now - 290).status == 204
        assert site.verdict(name) == "license_revoked"

    @pytest.mark.row("Q03")
    def test_an_event_has_one_effect(self) -> None:
        """Delivered again it is taken again, and changes nothing, whatever it says by then."""
        site = self.site()
        name, other = site.license(), site.license()
        body = event("license.suspended", license_id=name)
        for _ in range(3):
            assert site.deliver(body, event_id="evt_1").status == 204
        assert site.deliver(event(license_id=other), event_id="evt_1").status == 204
        assert site.deliver(event(license_id=name), event_id="evt_1").status == 204
        assert site.told() == [("suspended", name)]
        assert (site.verdict(name), site.verdict(other)) == ("license_suspended", "yes")

    @pytest.mark.row("Q04")
    def test_a_body_is_short_and_plain(self) -> None:
        """64 KiB of JSON as it is, and nothing that grows when it is unpacked."""
        site = self.site()
        name = site.license()
        body = event(license_id=name)
        longest = body + b" " * (MAX_BODY - len(body))
        answer = site.deliver(longest + b" ")
        self.refused(answer, 413, "body_too_large")
        packed = gzip.compress(body)
        for encoding in ("gzip", "deflate", "br", "x", "gzip, identity"):
            answer = site.deliver(packed, content_encoding=encoding)
            self.refused(answer, 415, "unsupported_media_type")
        for media in (
            *(None, "", "text/plain", "application/jsonx", "application/x-www-form-urlencoded"),
            *("application/problem+json", "text/json", "application/json, text/html"),
        ):
            answer = site.deliver(body, content_type=media)
            self.refused(answer, 415, "unsupported_media_type")
        for unreadable in (b"", b"[]", b'{"type":"license.revoked","data":{}}', body + body):
            self.refused(site.deliver(unreadable), 400, "webhook_unreadable")
        assert site.verdict(name) == "yes"
        media = "Application/JSON ; charset=utf-8"
        assert site.deliver(longest, content_type=media, content_encoding="identity").status == 204
        assert site.verdict(name) == "license_revoked"

    @pytest.mark.row("Q04")
    def test_of_a_body_without_end_little_is_read(self) -> None:
        """Whatever its length is said to be, and in whatever pieces it comes."""
        site = self.site()
        if self.unmeasured == "collected":
            whole = Body(b"x" * 1000 for _ in range(100))
            self.refused(site.post("POST", PATH, [JSON], whole), 413, "body_too_large")
            return
        for size in (1, 1000, 10_000):
            endless = Body(repeat(b"x" * size))
            answer = site.post("POST", PATH, [JSON], endless)
            if self.unmeasured == "read":
                self.refused(answer, 413, "body_too_large")
                assert endless.taken <= MAX_BODY + size
            else:
                self.refused(answer, 401, "webhook_invalid")
                assert endless.taken == 0
        short = Body(repeat(b"x" * 100))
        answer = site.post("POST", PATH, [JSON, ("Content-Length", "5")], short)
        # A WSGI server passes on no more than was announced, an ASGI server may.
        assert answer.status in (401, 413)
        assert short.taken <= MAX_BODY + 100
        for said in ("65537", "9" * 30, "9" * 5000):
            unread = Body(repeat(b"x"))
            answer = site.post("POST", PATH, [JSON, ("Content-Length", said)], unread)
            self.refused(answer, 413, "body_too_large")
            assert unread.taken == 0

    @pytest.mark.row("Q05")
    def test_nothing_but_the_receiver_is_open(self) -> None:
        """Its path by its exact spelling, by POST; nothing else opens for a delivery."""
        site = self.site()
        name = site.license()
        site.calls.clear()
        body = event(license_id=name)
        for path in (
            *("/me", f"{PATH}/../../me", f"{PATH}/..%2f..%2fme", f"{PATH};/me", f"{PATH}/me"),
            *(f"{PATH}/", f"/{PATH}", f"{PATH}//", f"/.{PATH}", PATH.upper(), f"{PATH}%00"),
            *(f"{PATH}%20", f"{PATH}.json", f"{PATH}%2f", "/licet", "/licet/webhook"),
        ):
            if path in self.same:
                continue
            for method in ("POST", "GET"):
                answer = site.post(method, path, lines(site.secret, body), body)
                assert answer.status in (301, 307, 308, 401, 404, 405), (method, path, answer)
                if answer.status == 401:
                    assert answer.json["code"] == "license_required", (path, answer)
        assert site.calls == []
        assert site.verdict(name) == "yes"
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
            answer = site.post(method, PATH, lines(site.secret, body), body)
            assert answer.status == 405, (method, answer)
            assert answer.header("Allow") == "POST"
        assert site.verdict(name) == "yes"
        # The query is no part of a path.
        assert site.post("POST", f"{PATH}?a=b", lines(site.secret, body), body).status == 204
        assert site.verdict(name) == "license_revoked"

    @pytest.mark.row("Q06")
    def test_no_event_tells_where_to_fetch_anything(self) -> None:
        """Addresses and keys in an event are ignored, whatever its type."""
        seen: list[Request] = []

        def evil(request: Request) -> bytes:
            seen.append(request)
            return reply(body=json.dumps(FORGER.jwks()).encode())

        with Loopback(evil) as server:
            site = self.site()
            name, before = site.license(), site.gate.settings
            url = f"{server.url}/keys"
            told: dict[str, Any] = {
                **dict.fromkeys(("url", "jwks_url", "jwks_uri", "validation_url", "uri"), url),
                "jwks": FORGER.jwks(),
                "keys": FORGER.jwks()["keys"],
                "settings": {"jwks_url": url},
                "webhook_receive_secret": new_secret(),
            }
            for kind in ("keys.rotated", "license.resumed", "settings.changed", "jwks.moved"):
                body = event(kind, license_id=name, **told)
                assert site.deliver(body).status == 204
            assert site.gate.settings is before
            assert site.verdict(name) == "yes"
            forged = site.post("GET", "/me", bearer(license_token(FORGER)))
            assert (forged.status, forged.json["code"]) == (401, "license_invalid")
            assert site.deliver(event(license_id=name, **told)).status == 204
            assert site.verdict(name) == "license_revoked"
        assert seen == []

    @pytest.mark.row("Q07")
    def test_events_have_their_order_and_give_nothing_back(self) -> None:
        """What is older by its sequence has no effect; no event restores a license."""
        site = self.site()
        name, other = site.license(), site.license()
        now = time.time()

        def deliver(kind: str, whose: str, sequence: int, at: float) -> None:
            body = event(f"license.{kind}", at, license_id=whose, sequence=sequence)
            assert site.deliver(body).status == 204

        deliver("revoked", name, 5, now - 60)
        for kind, sequence, at in (
            ("resumed", 4, now - 90),
            ("resumed", 5, now),
            ("suspended", 3, now),
            ("resumed", 6, now),
        ):
            deliver(kind, name, sequence, at)
            assert site.verdict(name) == "license_revoked"
        deliver("resumed", other, 9, now - 60)
        deliver("revoked", other, 8, now)
        assert site.verdict(other) == "yes"
        deliver("suspended", other, 10, now)
        assert site.verdict(other) == "license_suspended"
        assert site.told() == [("revoked", name), ("suspended", other)]

    @pytest.mark.row("E16")
    def test_a_license_is_revoked_by_the_bytes_of_its_id(self) -> None:
        """Another case or another normalisation of an id is another license."""
        site = self.site()
        composed, decomposed = "lic_\u00c9", "lic_E\u0301"
        others = [decomposed, composed.lower(), composed.upper(), "lic_E"]
        assert {site.verdict(name) for name in (composed, *others)} == {"yes"}
        assert site.deliver(event(license_id=composed)).status == 204
        assert site.verdict(composed) == "license_revoked"
        assert {site.verdict(name) for name in others} == {"yes"}
        assert site.deliver(event(license_id=decomposed)).status == 204
        assert site.verdict(decomposed) == "license_revoked"
        assert site.told() == [("revoked", composed), ("revoked", decomposed)]
