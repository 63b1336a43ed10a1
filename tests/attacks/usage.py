"""Rows P of the attack table: what a request uses of its license, through every adapter.

An adapter's class says how to serve these routes, each noted in `calls` when its view runs:

    /use     consumes one of `apiCalls`
    /rows    consumes as many as the query `n=…` says
    /seat    consumes a seat, by the header `X-User`
    /boom    consumes one and raises ZeroDivisionError
    /down    consumes one and answers 503
    /free    consumes nothing
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from licet.core.problem import MEDIA_TYPE
from licet.core.stores import StoreUnavailable
from licet.core.stores.memory import MemoryStore
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.adapters.contract import Answer, Serving, bearer
from tests.core.loopback import until
from tests.licenses import license_token

#: Licenses that nobody else uses: all gates of this process count in one store.
_IDS = (f"lic_used_{number}" for number in itertools.count())
#: Requests at once.
CROWD = 100


class UsageContract(Serving):
    """The suite."""

    def served(self, **options: Any) -> AsgiClient | WsgiClient:
        """Serve the routes with these settings."""
        client = self.licensed(**options)
        assert isinstance(client, AsgiClient | WsgiClient)
        return client

    def token(self, limits: dict[str, Any], **claims: Any) -> str:
        """Return a license of its own."""
        return license_token(**{"limits": limits, "sub": next(_IDS), **claims})

    @pytest.mark.row("P01")
    def test_of_a_hundred_at_the_limit_but_one_passes_one(self) -> None:
        """The others are refused, and their view does not run."""
        client = self.served()
        token = self.token({"apiCalls": CROWD})
        with client.staying():
            line = bearer(token)
            assert client.request("GET", f"/rows?n={CROWD - 1}", line).status == 200
        client.calls.clear()
        answers = client.at_once([("GET", "/use", line)] * CROWD)
        assert Counter(answer.status for answer in answers) == {200: 1, 429: CROWD - 1}
        assert client.calls == ["/use"]

    @pytest.mark.row("P01")
    def test_a_refusal_tells_when_to_come_again_and_no_more(self) -> None:
        """It is 429 with `Retry-After`, and without the option says no word of rates."""
        client = self.served()
        line = bearer(self.token({"apiCalls": {"max": 1, "per": "day"}, "seats": 1}))
        first = client.request("GET", "/use", line)
        assert (first.status, first.header("RateLimit")) == (200, None)
        answer = client.request("GET", "/use", line)
        self.refused(answer, "limit_exceeded", {"limit": "apiCalls"})
        assert 1 <= int(answer.header("Retry-After") or 0) <= 86_400
        for user, status in (("alice", 200), ("alice", 200), ("bob", 429)):
            answer = client.request("GET", "/seat", [*line, ("X-User", user)])
            assert answer.status == status
        self.refused(answer, "seat_limit_exceeded", {"limit": "seats"})
        assert 86_400 <= int(answer.header("Retry-After") or 0) <= 30 * 86_400
        assert client.request("GET", "/free", line).status == 200

    def refused(self, answer: Answer, code: str, members: dict[str, str]) -> None:
        """See that it is the problem document of a 429, and says nothing of rates."""
        assert (answer.status, answer.header("Content-Type")) == (429, MEDIA_TYPE)
        assert answer.json["code"] == code
        assert {name: answer.json[name] for name in members} == members
        assert answer.header("RateLimit") is None

    def test_rates_are_told_where_that_is_wanted(self) -> None:
        """On charged answers and on 429, once, and on no other."""
        client = self.served(rate_limit_headers=True)
        line = bearer(self.token({"apiCalls": {"max": 2, "per": "day"}, "seats": 5}))
        for status, left in ((200, 1), (200, 0), (429, 0)):
            answer = client.request("GET", "/use", line)
            assert answer.status == status
            assert answer.header("RateLimit-Policy") == '"apiCalls";q=2;w=86400'
            name, remaining, resets = (answer.header("RateLimit") or "").split(";")
            assert (name, remaining) == ('"apiCalls"', f"r={left}")
            assert 1 <= int(resets.removeprefix("t=")) <= 86_400
        seated = client.request("GET", "/seat", [*line, ("X-User", "alice")])
        assert seated.header("RateLimit-Policy") == '"seats";q=5;w=2592000'
        assert (seated.header("RateLimit") or "").startswith('"seats";r=4;')
        assert client.request("GET", "/free", line).header("RateLimit") is None
        unlimited = bearer(self.token({"apiCalls": "unlimited"}))
        assert client.request("GET", "/use", unlimited).header("RateLimit") is None

    def test_what_the_license_does_not_name_is_403(self) -> None:
        """And none at all is 429; nothing of the view runs."""
        client = self.served()
        for limits, status in (({}, 403), ({"apiCalls": 0}, 429)):
            answer = client.request("GET", "/use", bearer(self.token(limits)))
            assert answer.status == status
        assert client.calls == []

    @pytest.mark.row("P02")
    def test_nobody_uses_another_s_or_twice_their_own(self) -> None:
        """Each license counts by itself, however it is spelled in the request."""
        client = self.served()
        token = self.token({"apiCalls": 1, "seats": 1})
        for spelled, status in (("Bearer", 200), ("bearer", 429), ("BEARER", 429)):
            line = [("Authorization", f"{spelled} {token}")]
            assert client.request("GET", "/use", line).status == status
        assert client.request("GET", "/use", [("X-License-Token", token)]).status == 429
        other = bearer(self.token({"apiCalls": 1, "seats": 1}))
        assert client.request("GET", "/use", other).status == 200
        # A user of one license has no seat of another, and case makes another user.
        for line, user, status in (
            (bearer(token), "alice", 200),
            (other, "bob", 200),
            (bearer(token), "Alice", 429),
            (bearer(token), "bob", 429),
            (other, "bob", 200),
        ):
            answer = client.request("GET", "/seat", [*line, ("X-User", user)])
            assert answer.status == status

    @pytest.mark.row("P03")
    def test_a_license_that_is_issued_anew_begins_nothing_anew(self) -> None:
        """Its counters are found by its issuer and id."""
        client = self.served()
        name = next(_IDS)
        for number, status in ((1, 200), (2, 429), (3, 429)):
            token = self.token({"apiCalls": 1}, sub=name, jti=f"token {number}")
            assert client.request("GET", "/use", bearer(token)).status == status

    @pytest.mark.row("P04")
    def test_while_the_store_is_down_nothing_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Views that consume are 503, all others are served; afterwards it is counted on."""
        client = self.served()
        line = bearer(self.token({"apiCalls": 2, "seats": 1}))
        assert client.request("GET", "/use", line).status == 200

        def down(*_: object) -> Any:
            raise StoreUnavailable("timeout")

        with monkeypatch.context() as patch:
            patch.setattr(MemoryStore, "_increment", down)
            patch.setattr(MemoryStore, "_admit", down)
            client.calls.clear()
            for path in ("/use", "/seat"):
                answer = client.request("GET", path, [*line, ("X-User", "alice")])
                assert (answer.status, answer.json["code"]) == (503, "license_unavailable")
                assert answer.header("Retry-After")
            assert client.calls == []
            assert client.request("GET", "/free", line).status == 200
        assert [client.request("GET", "/use", line).status for _ in range(2)] == [200, 429]

    @pytest.mark.row("P04")
    def test_what_is_counted_locally_is_limited_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With `on_store_outage` this process counts to the limit by itself."""
        client = self.served(on_store_outage="count_locally")
        line = bearer(self.token({"apiCalls": 2}))
        counts = MemoryStore._increment

        def down(store: MemoryStore, *arguments: Any) -> Any:
            if store._room == 100_000:
                raise StoreUnavailable("timeout")
            return counts(store, *arguments)

        monkeypatch.setattr(MemoryStore, "_increment", down)
        assert [client.request("GET", "/use", line).status for _ in range(3)] == [200, 200, 429]

    @pytest.mark.row("P07")
    def test_what_fails_is_given_back(self) -> None:
        """A view that raises, and one that answers 5xx, have used nothing."""
        client = self.served(rate_limit_headers=True)
        token = self.token({"apiCalls": 1})
        line = bearer(token)
        for _ in range(3):
            answer = client.request("GET", "/down", line)
            assert (answer.status, answer.header("RateLimit")) == (503, None)
            self.boom(client, line)
        assert client.request("GET", "/use", line).status == 200
        assert client.request("GET", "/down", line).status == 429

    def boom(self, client: AsgiClient | WsgiClient, line: list[tuple[str, str]]) -> None:
        """Send a request whose view raises."""
        try:
            answer = client.request("GET", "/boom", line)
        except ZeroDivisionError:
            return
        assert answer.status == 500


class CancelledContract(UsageContract):
    """What a client does that goes away. There is a further route:

    /hang    consumes one, and answers when it is cancelled
    """

    @pytest.mark.row("P07")
    def test_a_request_that_is_given_up_is_given_back(self) -> None:
        """Cancelled while its view runs, it has used nothing."""
        import anyio

        from tests.adapters.clients import call

        client = self.served()
        assert isinstance(client, AsgiClient)
        line = bearer(self.token({"apiCalls": 1}))

        async def given_up() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(call, client.app, client.made("GET", "/hang", line))
                with anyio.fail_after(10):
                    while "/hang" not in client.calls:  # noqa: ASYNC110 - the view is not ours
                        await anyio.sleep(0.001)
                group.cancel_scope.cancel()

        anyio.run(given_up, backend=client.backend)
        until(lambda: client.request("GET", "/use", line).status == 200)
        assert client.request("GET", "/use", line).status == 429
