"""What a no, a status and a silence of a license server stand for; and what a yes entitles to."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import licet
from licet.core import flow, gates
from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import (
    ConstraintViolated,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseRejected,
    LicenseRevoked,
    LimitExceeded,
    PossessionRequired,
)
from licet.core.online.answers import NoAnswer, check_status, lost, refusal, unquoted
from licet.core.online.question import Denied
from licet.core.settings import Settings
from licet.core.transport import Response, TransportError
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer, asked
from tests.core.worlds import ask, gate_of, told, verdict
from tests.licenses import ISSUER

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("word", "kind", "status", "code"),
    [
        ("unknown", LicenseInvalid, 401, "license_invalid"),
        ("expired", LicenseExpired, 401, "license_expired"),
        ("revoked", LicenseRevoked, 403, "license_revoked"),
        ("cancelled", LicenseRevoked, 403, "license_revoked"),
        ("suspended", LicenseRevoked, 403, "license_suspended"),
        ("domain_mismatch", ConstraintViolated, 403, "license_domain"),
        ("over_limit", LimitExceeded, 429, "limit_exceeded"),
        ("Revoked", LicenseRejected, 403, "license_rejected"),
        ("", LicenseRejected, 403, "license_rejected"),
        ("x" * 1000 + "\n\x1b[31m", LicenseRejected, 403, "license_rejected"),
    ],
)
def test_a_word_is_one_refusal(word: str, kind: type[LicenseError], status: int, code: str) -> None:
    """As the protocol has it; a word that it does not have is a rejection, escaped and cut."""
    error = refusal(word)
    assert type(error) is kind
    assert (error.status, error.code) == (status, code)
    assert error.reason.isprintable()
    assert len(error.reason) < 100


@pytest.mark.parametrize(
    ("status", "reason", "retry", "harmless"),
    [
        (401, "credentials", False, False),
        (403, "credentials", False, False),
        (407, "credentials", False, False),
        (204, "status_204", False, False),
        (302, "status_302", False, False),
        (400, "status_400", False, True),
        (404, "status_404", False, True),
        (422, "status_422", False, True),
        (429, "status_429", False, False),
        (500, "status_500", True, False),
        (502, "status_502", True, False),
        (503, "status_503", True, False),
        (504, "status_504", True, False),
        (501, "status_501", False, False),
        (599, "status_599", False, False),
    ],
)
def test_a_status_decides_nothing_but_200(
    status: int, reason: str, retry: bool, harmless: bool
) -> None:
    """Any other is no answer; it says whether to try again, and whether the server is well."""
    check_status(Response(200, {}, b""), NOW)
    with pytest.raises(NoAnswer) as raised:
        check_status(Response(status, {}, b""), NOW)
    nothing = raised.value
    assert (nothing.reason, nothing.retry, nothing.harmless) == (reason, retry, harmless)
    assert nothing.asked
    assert nothing.retry_after is None


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 1), ("1", 1), ("17", 17), ("3600", 3600), ("999999", 3600)]
)
def test_a_server_may_say_when_to_come_again(status: int, text: str, seconds: float) -> None:
    """Between a second and an hour; and then nobody tries again at once."""
    with pytest.raises(NoAnswer) as raised:
        check_status(Response(status, {"retry-after": text}, b""), NOW)
    assert raised.value.retry_after == seconds
    assert not raised.value.retry


@pytest.mark.parametrize("text", ["", "soon", "-5", "1e3", "\u0663", "1" * 5000])
def test_what_is_no_time_is_none(text: str) -> None:
    """A `Retry-After` that cannot be read does not raise, and asks for nothing unbounded."""
    with pytest.raises(NoAnswer) as raised:
        check_status(Response(503, {"retry-after": text}, b""), NOW)
    assert raised.value.retry_after is None or 1 <= raised.value.retry_after <= 3600


@pytest.mark.parametrize(
    ("reason", "retry"),
    [
        ("connect", True),
        ("protocol", True),
        ("timeout", False),
        ("tls", False),
        ("encoding", False),
        ("too_large", False),
        ("url", False),
    ],
)
def test_what_may_pass_at_once_is_tried_again(reason: str, retry: bool) -> None:
    """A connection that failed; not what took its time, nor what is wrong for good."""
    cause = TransportError(reason)  # type: ignore[arg-type]
    nothing = lost(cause)
    assert (nothing.reason, nothing.retry, nothing.cause) == (reason, retry, cause)


def test_a_word_that_repeats_a_secret_is_not_kept() -> None:
    """A server may say back what it was sent; any other word stays as it is."""
    for word, kept in (("no lic_1 here", "rejected"), ("odd", "odd")):
        said = unquoted(Denied(word, signed=True, license_id="x"), "lic_1", None, "")
        assert said == Denied(kept, signed=True, license_id="x")


# -- what a yes entitles to ------------------------------------------------------------------------


def test_a_key_entitles_to_what_its_license_says(server: LicenseServer, hands: Hands) -> None:
    """Claims and features can be read, the first time and every other; who vouched is told."""
    key = server.add(customer="Example GmbH", features=["analytics", "export"], seat_map={"a": 1})
    gate = gate_of(server, hands)
    for _ in range(3):
        entitled = ask(gate, key)
        assert not isinstance(entitled, LicenseError)
        assert entitled.verified_by == "online"
        assert entitled.license_id == "sold_1"
        assert entitled.features == {"analytics", "export"}
        assert entitled.allows("export")
        assert entitled.limit("seats") == 10
        assert entitled.customer == "Example GmbH"
        assert entitled.claims["seat_map"] == {"a": 1}
        with pytest.raises(TypeError):
            entitled.claims["features"] = ()  # type: ignore[index]
    assert key not in repr(entitled)


@pytest.mark.parametrize(
    ("claim", "word"),
    [
        ({"ip_ranges": ["192.0.2.0/24"]}, "yes"),
        ({"ip_ranges": ["198.51.100.0/24"]}, "ip_ranges:192.0.2.7"),
        ({"domains": ["customer.example"]}, "yes"),
        ({"domain": "customer.example"}, "yes"),
        ({"domains": ["elsewhere.example"]}, "domains:customer.example"),
        ({"regions": ["DE"]}, "regions:None"),
        ({"domains": []}, "bad_claim:domains"),
        ({"domains": "customer.example"}, "bad_claim:domains"),
        ({"domain": "a.example", "domains": ["a.example"]}, "bad_claim:domains"),
        ({"features": "analytics"}, "bad_claim:features"),
        ({"must_understand": ["tenant"], "tenant": "x"}, "bad_claim:must_understand"),
    ],
)
def test_the_license_of_an_answer_is_held_to_its_claims(
    server: LicenseServer, hands: Hands, claim: dict[str, Any], word: str
) -> None:
    """As those of a token are, with each request; what cannot be read refuses all of it."""
    gate, key = gate_of(server, hands), server.add(**claim)
    for _ in range(3):
        seen = verdict(gate, key)
        assert seen == word or (word != "yes" and seen.split(":")[0] in word)


def test_a_license_that_is_bound_to_a_key_demands_its_proof(
    server: LicenseServer, hands: Hands
) -> None:
    """Also where the binding stands in an answer: a bearer gets nothing, in a request or not."""
    key = server.add(cnf={"jkt": "A" * 43})
    gate = gate_of(server, hands, external_url="https://customer.example")
    for _ in range(2):
        assert isinstance(ask(gate, key), PossessionRequired)
        with pytest.raises(PossessionRequired):
            flow.run(gate.verify(key.encode()))


@pytest.mark.parametrize("backend", [None, "asyncio", "trio"])
def test_outside_of_requests_the_host_is_the_domain_asked_about(backend: str | None) -> None:
    """`licet.verify(host=…)` asks about that domain, and without it about none."""
    with LicenseServer() as server:
        settings = Settings(**server.options(jwks=ISSUER.jwks(), jwks_url=None))
        key = server.add()

        async def task(host: str | None) -> object:
            return await licet.averify(key, settings, host=host)

        for host in (None, "customer.example", "Customer.Example:8443"):
            if backend is None:
                assert licet.verify(key, settings, host=host)
            else:
                assert anyio.run(task, host, backend=backend)
        assert [asked(one).get("domain") for one in server.questions] == [
            None,
            "customer.example",
        ]
        gate = gates.gate_for(settings)
        assert gate.clock is SYSTEM_CLOCK
        assert told(ask(gate, key)) == "yes"
        assert len(server.questions) == 2, "a request at that host is asked about no more"
