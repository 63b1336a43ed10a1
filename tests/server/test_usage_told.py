"""An application's usage at the vendor's own server, `licet serve`: all of it, and each once."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from licet import Settings, bind, consume
from licet.core import flow
from licet.core.gate import Gate
from licet.core.transport import Request, Response, Transport, TransportError
from tests.core.hands import Hands
from tests.server.processes import Served, served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a server that ends by a signal")


class Deaf(Transport):
    """Sends, and does not hear what is answered to every second request."""

    sent = 0

    def send(self, request: Request, *, deadline: float, max_bytes: int) -> Response:
        """Send; the answer may be lost."""
        answer = super().send(request, deadline=deadline, max_bytes=max_bytes)
        self.sent += 1
        if self.sent % 2:
            raise TransportError("timeout")
        return answer


def test_what_is_used_is_counted_once_at_the_license_server(tmp_path: Path) -> None:
    """Though each report comes twice, because its answer was lost; refunds are not in it."""
    hands = Hands(wall=1_790_000_000.0)
    with served(tmp_path / "data", "--dev", "--json") as server, vendor(server) as own:
        limits = {"apiCalls": {"max": 50, "per": "day"}, "exports": "unlimited", "seats": 3}
        issued = [
            own.post("/v1/licenses", json={"limits": limits}).raise_for_status().json()
            for _ in range(2)
        ]
        told = server.told
        gate = Gate(
            Settings(
                issuer=told["issuer"],
                audience=told["audience"],
                jwks_url=f"{told['url']}/.well-known/jwks.json",
                usage_url=f"{told['url']}/v1/usage",
                validation_credentials=told["validation_key"],
                store=f"sqlite://{tmp_path}/store",
            )
        )
        meter = gate._standing.usage.meter  # type: ignore[union-attr]
        assert meter is not None
        # Nobody but the test works.
        meter._thread, meter.courier._monotonic = hands, hands.clock.monotonic
        meter.courier._transport = Deaf()
        for number, license_ in enumerate(issued):
            with bind(flow.run(gate.verify(license_["token"].encode()))):
                consume("apiCalls", 40 + number)
                consume("exports", 5).refund()
                consume("exports", 7)
                consume("seats", key="alice")
        meter.keep()
        for _ in range(6):
            meter.send()
            hands.advance(400)
        assert (meter.courier.sent, meter.courier.refused, meter.dropped) == (2, 0, 0)
        used = [_used(own, license_["id"]) for license_ in issued]
    assert used == [{"apiCalls": 40 + n, "exports": 7, "seats": 0} for n in range(2)]


def vendor(server: Served) -> httpx.Client:
    """Return the vendor, who issues licenses and looks at them."""
    headers = {"Authorization": f"Bearer {server.told['admin_key']}"}
    return httpx.Client(base_url=server.told["url"], headers=headers, trust_env=False, timeout=20)


def _used(own: httpx.Client, license_id: str) -> dict[str, int]:
    """Return what the server says was used of each limit."""
    described = own.get(f"/v1/licenses/{license_id}").raise_for_status().json()
    return {name: each["used"] for name, each in described["use"].items()}
