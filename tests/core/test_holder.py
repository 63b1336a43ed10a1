"""All that a binding demands, in one flow: what comes first, what last, what is used up."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest

from licet.core import flow
from licet.core.errors import (
    LicenseAmbiguous,
    LicenseError,
    LicenseUnavailable,
    PossessionInvalid,
    PossessionRequired,
)
from licet.core.possession.binding import Binding
from licet.core.possession.dpop import Dpop
from licet.core.possession.holder import Possession
from licet.core.possession.mtls import Certificates
from licet.core.request import Credential
from licet.core.request.proxies import Proxies
from licet.core.stores import Store, StoreUnavailable, key
from licet.core.stores.memory import MemoryStore
from licet.possession import ProofKey
from tests.core.hands import Hands
from tests.core.jwks import text
from tests.core.presented import Presented, Replays

NOW = 1_800_000_000
URL = "https://api.example/reports"
LICENSE = "eyJ0eXAi.eyJzdWIi.c2ln"
KEY, THIEF = ProofKey.generate(), ProofKey.generate()
DER = b"\x30\x03\x02\x01\x05"
CERTIFICATE = text(sha256(DER).digest())
BOUND = Binding(jkt=KEY.jkt)
SHOWN = {"client-cert": [f":{b64encode(DER).decode()}:"]}
OTHER = {"client-cert": [f":{b64encode(DER + DER).decode()}:"]}


class Gate:
    """What a gate would hold, with a clock and a store that a test may move."""

    def __init__(
        self, external_url: str | None = "https://api.example", replays: Store | None = None
    ) -> None:
        self.hands = Hands(wall=NOW)
        self.replays = Replays()
        self.possession = Possession(
            Dpop(self.hands.clock),
            Certificates("header:client-cert", Proxies(("server",))),
            replays or self.replays,
            external_url,
        )

    def flow(
        self,
        binding: Binding | None,
        *,
        proofs: Sequence[str] = (),
        scheme: str = "dpop",
        lines: dict[str, list[str]] | None = None,
        **facts: Any,
    ) -> flow.Flow[None]:
        source = "authorization" if scheme else "x-license-token"
        fields = {**(lines or {}), **({"dpop": list(proofs)} if proofs else {})}
        credential = Credential(LICENSE.encode(), source, scheme)
        return self.possession.prove(binding, Presented(lines=fields, **facts), credential)

    def prove(self, binding: Binding | None, **request: Any) -> None:
        flow.run(self.flow(binding, **request))

    def refused(self, kind: type[LicenseError], binding: Binding | None, **request: Any) -> str:
        with pytest.raises(kind) as refusal:
            self.prove(binding, **request)
        return refusal.value.reason


def proof(key: ProofKey = KEY, **changes: Any) -> str:
    return key.proof(**{"method": "GET", "url": URL, "token": LICENSE, "iat": NOW, **changes})


def test_a_license_that_is_not_bound_needs_nothing() -> None:
    """As Bearer, or in a field of its own; a proof that comes with it is not looked at."""
    gate = Gate()
    for scheme in ("bearer", ""):
        gate.prove(None, scheme=scheme)
        gate.prove(None, scheme=scheme, proofs=["x", "y"])
    assert gate.replays.seen == {}


@pytest.mark.parametrize("scheme", ["dpop", ""])
def test_a_bound_license_comes_with_its_proof(scheme: str) -> None:
    """Under the scheme DPoP, or in a field of its own beside the field `DPoP`."""
    gate = Gate()
    gate.prove(BOUND, scheme=scheme, proofs=[proof(jti="a")])
    assert gate.replays.seen == {key("dpop", KEY.jkt, "a"): 66}


@pytest.mark.row("N01")
@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"scheme": "bearer", "proofs": [proof()]}, "bearer"),
        ({"scheme": "bearer"}, "bearer"),
        ({"scheme": "dpop"}, "pop_missing"),
        ({"scheme": ""}, "pop_missing"),
    ],
    ids=["bearer-and-proof", "bearer", "no-proof", "no-proof-in-a-field"],
)
def test_without_a_proof_one_is_required(request_: dict[str, Any], reason: str) -> None:
    """A stolen license alone is of no use, and one sent as Bearer counts as sent without proof."""
    gate = Gate()
    assert gate.refused(PossessionRequired, BOUND, **request_) == reason
    assert gate.replays.seen == {}


@pytest.mark.row("N02")
@pytest.mark.parametrize("binding", [None, Binding(certificate=CERTIFICATE)], ids=["none", "cert"])
def test_the_scheme_says_that_the_license_is_bound(binding: Binding | None) -> None:
    """A license that names no key proves nothing by the scheme (RFC 9449, section 7.1)."""
    gate = Gate()
    assert gate.refused(PossessionInvalid, binding, proofs=[proof()], lines=SHOWN) == "not_bound"


@pytest.mark.row("O01")
def test_without_a_certificate_one_is_required() -> None:
    """The license names one, and nobody whose word counts says that the client has shown any."""
    gate, bound = Gate(), Binding(certificate=CERTIFICATE)
    assert gate.refused(PossessionRequired, bound, scheme="bearer") == "no_cert"
    gate.prove(bound, scheme="bearer", lines=SHOWN)


@pytest.mark.row("O05", "O06")
def test_another_certificate_does_not_hold() -> None:
    """Nor does the right one under another spelling of its digest."""
    gate = Gate()
    for digest, shown in [
        (CERTIFICATE, OTHER),
        (CERTIFICATE.upper(), SHOWN),
        (text(sha256(b"").digest()), SHOWN),
    ]:
        bound = Binding(certificate=digest)
        assert gate.refused(PossessionInvalid, bound, scheme="", lines=shown) == "cert_mismatch"


@pytest.mark.row("O03")
def test_two_certificates_are_ambiguous() -> None:
    """400, whatever the license names."""
    gate, two = Gate(), {"client-cert": SHOWN["client-cert"] * 2}
    gate.refused(LicenseAmbiguous, Binding(certificate=CERTIFICATE), scheme="", lines=two)


@pytest.mark.row("N03")
def test_both_must_hold_where_both_stand() -> None:
    """Neither replaces the other, and a proof is not used up while the certificate is wrong."""
    gate, both = Gate(), Binding(KEY.jkt, CERTIFICATE)
    made = proof()
    assert gate.refused(PossessionRequired, both, proofs=[made]) == "no_cert"
    assert gate.refused(PossessionInvalid, both, proofs=[made], lines=OTHER) == "cert_mismatch"
    assert gate.refused(PossessionRequired, both, lines=SHOWN) == "pop_missing"
    assert gate.refused(PossessionInvalid, both, proofs=[proof(THIEF)], lines=SHOWN) == "dpop_jkt"
    assert gate.replays.seen == {}
    gate.prove(both, proofs=[made], lines=SHOWN)


@pytest.mark.row("N14")
def test_a_proof_serves_once() -> None:
    """The same again is refused as long as it is young enough to be shown."""
    gate, made = Gate(), proof(iat=NOW + 5)
    gate.prove(BOUND, proofs=[made])
    for _ in range(65):
        assert gate.refused(PossessionInvalid, BOUND, proofs=[made]) == "dpop_replay"
        gate.hands.advance(1)
    gate.hands.advance(1)
    assert gate.refused(PossessionInvalid, BOUND, proofs=[made]) == "dpop_iat"


@pytest.mark.row("N14")
def test_of_a_hundred_at_once_one_is_the_first() -> None:
    """Every request asks the store, which alone decides."""
    gate, made = Gate(replays=MemoryStore(Hands(wall=NOW).clock)), proof()

    def reason(_: int) -> str:
        try:
            gate.prove(BOUND, proofs=[made])
        except PossessionInvalid as refusal:
            return refusal.reason
        return "first"

    with ThreadPoolExecutor(16) as pool:
        reasons = list(pool.map(reason, range(100)))
    assert sorted(reasons) == ["dpop_replay"] * 99 + ["first"]


@pytest.mark.row("N15")
def test_a_replay_cannot_be_dressed_up() -> None:
    """Another query, another method, another spelling, a new signature: the id counts."""
    gate = Gate()
    gate.prove(BOUND, proofs=[proof(jti="a")])
    for made, facts in [
        (proof(jti="a"), {}),
        (proof(jti="a", htu=URL + "?x=1"), {"query_string": "x=1"}),
        (proof(jti="a", method="POST"), {"method": "POST"}),
        (proof(jti="a", htu="HTTPS://API.example:443/reports"), {}),
    ]:
        assert gate.refused(PossessionInvalid, BOUND, proofs=[made], **facts) == "dpop_replay"
    assert len(gate.replays.seen) == 1


@pytest.mark.row("N17")
def test_ids_of_two_keys_are_two() -> None:
    """Nobody uses up what another client will send; and the id itself is kept nowhere."""
    gate = Gate()
    gate.prove(BOUND, proofs=[proof(jti="canary")])
    gate.prove(Binding(jkt=THIEF.jkt), proofs=[proof(THIEF, jti="canary")])
    assert len(gate.replays.seen) == 2
    assert "canary" not in repr(gate.replays.seen)


@pytest.mark.row("N17")
def test_only_a_good_proof_is_recorded() -> None:
    """Strangers fill no store: every other check comes before."""
    gate = Gate()
    for made in (
        proof(THIEF),
        proof(method="POST"),
        proof(url="https://api.example/"),
        proof(iat=NOW - 61),
        proof(token="other"),
        proof(jti="a" * 129),
        proof()[:-8] + "AAAAAAAA",
    ):
        gate.refused(PossessionInvalid, BOUND, proofs=[made])
    assert gate.replays.seen == {}


@pytest.mark.row("N18")
def test_a_store_that_is_down_refuses() -> None:
    """503: whether the proof was used cannot be told, so it is not taken for new."""
    gate = Gate()
    gate.replays.trouble = StoreUnavailable("timeout")
    reason = gate.refused(LicenseUnavailable, BOUND, proofs=[proof()])
    assert reason == "replay_store:timeout"


def test_what_is_wrong_in_the_code_is_not_taken_for_an_outage() -> None:
    """Another exception of the store comes through, to be logged with its traceback."""
    gate = Gate()
    gate.replays.trouble = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        gate.prove(BOUND, proofs=[proof()])


@pytest.mark.row("N12")
def test_without_a_host_anyone_vouches_for_nothing_can_be_told() -> None:
    """503 where neither a setting nor the framework names the host; the `Host` field never does."""
    gate = Gate(external_url=None)
    asked = {"proofs": [proof()], "lines": {"host": ["api.example"]}}
    assert gate.refused(LicenseUnavailable, BOUND, **asked) == "no_external_url"
    gate.prove(BOUND, **asked, host="api.example")


@pytest.mark.row("N10")
def test_the_method_is_the_requests_own() -> None:
    """What a client writes into an override field changes nothing."""
    gate, override = Gate(), {"x-http-method-override": ["GET"]}
    asked = {"proofs": [proof()], "lines": override, "method": "POST"}
    assert gate.refused(PossessionInvalid, BOUND, **asked) == "dpop_htm"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_task_is_refused_as_a_thread_is(anyio_backend: str) -> None:
    """One flow: the second of two equal proofs is a replay there too."""
    gate, made = Gate(), proof()
    await flow.arun(gate.flow(BOUND, proofs=[made]))
    with pytest.raises(PossessionInvalid):
        await flow.arun(gate.flow(BOUND, proofs=[made]))


def test_looking_ahead_uses_nothing_up() -> None:
    """An exempt request may be peeked at: without asking the store there is no answer."""
    gate = Gate()
    with pytest.raises(flow.WouldWait):
        flow.peek(gate.flow(BOUND, proofs=[proof()]))
    assert gate.replays.seen == {}
