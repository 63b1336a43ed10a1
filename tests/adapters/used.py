"""What all adapters promise of views that use their license."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests import licenses
from tests.licenses import license_token

if TYPE_CHECKING:
    from tests.adapters.contract import Answer, Serving

    _Base = Serving
else:
    _Base = object

_IDS = (f"lic_used_{number}" for number in itertools.count())


def line(**changes: Any) -> list[tuple[str, str]]:
    """Return the header line that presents a license of its own."""
    token = license_token(**{"sub": next(_IDS), **changes})
    return [("Authorization", f"Bearer {token}")]


class UseContract(_Base):
    """The part of the suite that is about limits."""

    def test_a_limit_is_used_up_to_the_last(self) -> None:
        """Then it is 429, with how long to wait, and the view is not called; others are served."""
        client = self.licensed(rate_limit_headers=True)
        mine = line(limits={"apiCalls": {"max": 2, "per": "day"}})
        for left in (1, 0):
            answer = self.get(client, "/used", mine)
            assert answer.status == 200
            assert answer.header("RateLimit-Policy") == '"apiCalls";q=2;w=86400'
            assert self._rate(answer).startswith(f'"apiCalls";r={left};t=')
        client.calls.clear()
        answer = self.get(client, "/used", mine)
        assert (answer.status, answer.json["code"]) == (429, "limit_exceeded")
        wait = int(answer.header("Retry-After") or "")
        assert 0 < wait <= 86_400
        assert self._rate(answer) == f'"apiCalls";r=0;t={wait}'
        assert client.calls == []
        answer = self.get(client, "/me", mine)
        assert (answer.status, answer.header("RateLimit")) == (200, None)

    def test_every_method_is_charged(self) -> None:
        """HEAD as GET: both do the work."""
        client = self.licensed()
        mine = line(limits={"apiCalls": 2})
        answers = [client.request(method, "/used", mine) for method in ("HEAD", "GET", "HEAD")]
        assert [answer.status for answer in answers] == [200, 200, 429]

    @pytest.mark.row("P02")
    def test_what_a_request_says_finds_no_other_counter(self) -> None:
        """Not the token that is issued anew, nor the field it comes in, nor the query."""
        client = self.licensed()
        mine = line(limits={"apiCalls": 2}, sub="lic_used_again")
        anew = line(limits={"apiCalls": 2}, sub="lic_used_again", jti="another", features=["x"])
        elsewhere = [("X-License-Token", anew[0][1].removeprefix("Bearer "))]
        assert self.get(client, "/used", mine).status == 200
        assert self.get(client, "/used?license_id=lic_other", anew).status == 200
        assert self.get(client, "/used", elsewhere).status == 429

    def test_a_limit_that_the_license_does_not_name_is_refused(self) -> None:
        """It is 403; one of zero is 429, and one without limit is neither."""
        client = self.licensed(rate_limit_headers=True)
        expected = {403: {}, 429: {"apiCalls": 0}, 200: {"apiCalls": "unlimited"}}
        for status, limits in expected.items():
            answer = self.get(client, "/used", line(limits=limits))
            assert answer.status == status
            assert (answer.header("RateLimit") is not None) == (status == 429)

    def test_a_view_without_a_license_uses_none(self) -> None:
        """Where none is required it is refused as it consumes; where nothing is judged it runs."""
        for options, status in (
            ({"required": False}, 401),
            ({"exempt_paths": ["/used"]}, 401),
            ({"mode": "off"}, 200),
        ):
            client = self.licensed(**options)
            assert self.get(client, "/used").status == status
            assert bool(client.calls) == (status == 200)

    def test_an_expired_license_has_the_limits_that_are_left_of_it(self) -> None:
        """`downgrade_to` names them, and what is not there is 403."""
        left = {"plan": "free", "features": [], "limits": {"apiCalls": 1}}
        client = self.licensed(downgrade_to=left)
        token = licenses.expired(sub=next(_IDS), limits={"apiCalls": 9, "seats": 9})
        mine = [("Authorization", f"Bearer {token}")]
        assert [self.get(client, "/used", mine).status for _ in range(2)] == [200, 429]
        assert self.get(client, "/seated", mine).status == 403

    def _rate(self, answer: Answer) -> str:
        return answer.header("RateLimit") or ""
