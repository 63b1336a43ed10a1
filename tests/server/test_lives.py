"""The life of a license key, at an application that asks the server about it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from licet.core import flow
from licet.core.entitlements import Status
from licet.core.errors import LicenseExpired, LicenseRevoked
from licet.core.gate import Gate
from licet.core.settings import Settings
from licet.server import LicenseServer
from tests.core.hands import Hands
from tests.core.license_server import AUTHORITY
from tests.core.presented import Presented
from tests.server.conftest import AUDIENCE, ISSUER

pytest.importorskip("uvicorn")

from tests.server.running import serving

LEFT = {"plan": "free", "features": ["export"]}


def status(gate: Gate, key: str) -> Status:
    """Return where a license stands that a request brings by its key."""
    request = Presented(lines={"authorization": [f"Bearer {key}"], "host": ["a.example"]})
    return flow.run(gate.decide(request)).status


def test_a_key_goes_through_its_life(server: LicenseServer, hands: Hands) -> None:
    """Active, in grace, downgraded or expired, and withdrawn: as its server says, and no longer."""
    _, admin = server.api_keys.create("admin", "vendor")
    _, validation = server.api_keys.create("validation", "application")
    with (
        serving(server.app) as (host, port),
        httpx.Client(
            base_url=f"http://{host}:{port}/v1",
            headers={"Authorization": f"Bearer {admin}"},
            trust_env=False,
        ) as vendor,
    ):

        def application(**options: Any) -> Gate:
            settings = Settings(
                issuer=ISSUER,
                audience=AUDIENCE,
                jwks=server.signing_keys.issuer.jwks(),
                jwks_url=None,
                validation_url=f"http://{host}:{port}/v1/licenses/validate",
                validation_credentials=validation,
                license_key_pattern=r"lic_[\w-]+",
                tls_ca_file=str(AUTHORITY),
                **options,
            )
            return Gate(settings, clock=hands.clock)

        lenient, strict = application(downgrade_to=LEFT), application()
        order = {"key": True, "expires_in": 7_200, "grace": 3_600, "domains": ["a.example"]}
        given = vendor.post("/licenses", json=order).json()
        for seconds, stands in ((0, Status.ACTIVE), (7_230, Status.GRACE)):
            hands.advance(seconds)
            assert {status(gate, given["key"]) for gate in (lenient, strict)} == {stands}
        hands.advance(3_600)
        for gate in (lenient, application(downgrade_to=LEFT)):
            assert status(gate, given["key"]) is Status.DOWNGRADED
        with pytest.raises(LicenseExpired):
            status(strict, given["key"])
        assert vendor.post(f"/licenses/{given['id']}/revoke", json={}).status_code == 200
        hands.advance(61)
        with pytest.raises(LicenseRevoked):
            status(lenient, given["key"])
