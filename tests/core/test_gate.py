"""The gate: the straight line from a request to its entitlements, and every way off it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import anyio
import pytest

from licet.core import flow
from licet.core.admissions import SAMPLE
from licet.core.entitlements import Entitlements, Status
from licet.core.errors import (
    ConfigError,
    KeysUnavailable,
    LicenseAmbiguous,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseNotActive,
    LicenseRequired,
    LicenseUnavailable,
    PossessionInvalid,
)
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.gates import gate_for
from licet.core.settings import IssuerSettings, Settings
from licet.core.transport import Response, Transport, TransportError
from licet.issuer import Issuer
from tests import licenses
from tests.core.hands import Hands
from tests.core.loopback import until
from tests.licenses import AUDIENCE, FORGER, INVALID, ISSUER, ISSUER_NAME, OPTIONS

NOW = 1_800_000_000
#: Settings that fetch keys, with a lifetime that ends before the grant cache's.
REMOTE: dict[str, Any] = {"jwks": None, "jwks_url": "https://keys.test/jwks", "jwks_max_age": 100}


def token(issuer: Issuer = ISSUER, **changes: Any) -> bytes:
    """Return a license from now on for an hour, good but for `changes`."""
    changes = {"iat": NOW, "exp": NOW + 3600, **changes}
    return licenses.license_token(issuer, **changes).encode()


class Facts:
    """A request with the header fields given."""

    method, query_string, is_handshake = "GET", "", False

    def __init__(self, **fields: str) -> None:
        self._fields = {name.replace("_", "-"): [value] for name, value in fields.items()}

    def fields(self, name: str) -> Sequence[str]:
        return self._fields.get(name, [])

    def origin(self) -> str | None:
        return None


def bearer(credential: bytes, scheme: str = "Bearer") -> Facts:
    return Facts(authorization=f"{scheme} {credential.decode()}")


class Served(Transport):
    """Stands where the network would: hands out whatever set is published at the moment."""

    def __init__(self, jwks: Callable[[], object] | None = None) -> None:
        self.jwks = jwks
        self.fetches = 0

    def fetch(
        self, url: str, *, headers: Mapping[str, str], deadline: float, max_bytes: int
    ) -> Response:
        self.fetches += 1
        if self.jwks is None:
            raise TransportError("connect")
        body = json.dumps(self.jwks()).encode()
        return Response(200, {"content-type": "application/json"}, body)


def gate_with(hands: Hands, served: Served | None = None, **options: Any) -> Gate:
    settings = Settings(**{**OPTIONS, **options})
    return Gate(settings, clock=hands.clock, transport=served or Served())


def decide(gate: Gate, facts: Facts) -> Entitlements:
    return flow.run(gate.decide(facts))


def refused(gate: Gate, facts: Facts, kind: type[LicenseError]) -> LicenseError:
    """Return the refusal of a request, which is of exactly this kind and told as an event."""
    told: list[Event] = []
    gate.events.subscribe(told.append)
    with pytest.raises(kind) as caught:
        decide(gate, facts)
    error = caught.value
    assert type(error) is kind
    denied = [event for event in told if event.name == "license.denied"]
    tied = {name: error.members[name] for name in ("correlation_id",) if name in error.members}
    assert denied == [Event("license.denied", {"code": error.code, "reason": error.reason, **tied})]
    return error


@pytest.fixture
def hands() -> Hands:
    """A clock to move."""
    return Hands(wall=NOW)


@pytest.fixture
def gate(hands: Hands) -> Gate:
    """A gate with literal keys."""
    return gate_with(hands)


# -- the straight line ---------------------------------------------------------------------------


def test_a_good_license_entitles(gate: Gate) -> None:
    """Credential and facts in, entitlements out; the second time from memory."""
    credential = token()
    for source, facts in (
        ("authorization", bearer(credential)),
        ("x-license-token", Facts(x_license_token=credential.decode())),
    ):
        assert (gate.recall(credential) is None) == (source == "authorization")
        entitlements = decide(gate, facts)
        assert (entitlements.license_id, entitlements.status) == ("lic_1", Status.ACTIVE)
        assert (entitlements.source, entitlements.features) == (source, {"analytics"})
        assert entitlements.claims["plan"] == "professional"


@pytest.mark.anyio
async def test_tasks_get_the_same_answers() -> None:
    """Under asyncio and trio the same decision comes to the same ends."""
    gate = gate_with(Hands(wall=NOW), Served(ISSUER.jwks), **REMOTE)
    entitlements = await flow.arun(gate.decide(bearer(token())))
    assert entitlements.license_id == "lic_1"
    with pytest.raises(LicenseInvalid):
        await flow.arun(gate.decide(bearer(token(aud="other"))))


def test_memory_spares_the_verification(gate: Gate) -> None:
    """What is remembered is not judged again, and is the same grant for every request."""
    credential = token()
    decide(gate, bearer(credential))
    grant = gate.recall(credential)

    def judge(credential: bytes) -> Any:
        raise AssertionError("judged again")

    gate._judgements.judge = judge  # type: ignore[method-assign,assignment]
    assert decide(gate, bearer(credential)).license_id == "lic_1"
    assert gate.recall(credential) is grant


def test_nothing_presented(gate: Gate, hands: Hands) -> None:
    """Absence is refused, or passes unlicensed where a license is not required."""
    assert refused(gate, Facts(), LicenseRequired).reason == "license_required"
    entitlements = decide(gate_with(hands, required=False), Facts())
    assert entitlements.status is Status.UNLICENSED
    with pytest.raises(LicenseRequired):
        entitlements.require("analytics")


def test_two_presented(gate: Gate) -> None:
    """Two credentials are none, also where one is known to be good."""
    credential = token()
    decide(gate, bearer(credential))
    text = credential.decode()
    facts = Facts(authorization=f"Bearer {text}", x_license_token=text)
    refused(gate, facts, LicenseAmbiguous)


def test_a_bad_license_is_refused_where_none_is_required(hands: Hands) -> None:
    """`required=False` is about absence only."""
    refused(gate_with(hands, required=False), bearer(token(FORGER)), LicenseInvalid)


@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_license_of_ours(gate: Gate, name: str) -> None:
    """Whatever is wrong before and at the signature is one refusal, and is not remembered."""
    credential = INVALID[name]().encode()
    for _ in range(2):
        refused(gate, bearer(credential), LicenseInvalid)
        assert gate.recall(credential) is None
    assert len(gate._judgements.grants) == 0


def test_a_refused_license_leaves_nothing_behind(gate: Gate) -> None:
    """Neither terms nor headers of what did not verify are kept: strangers fill no table."""
    for make in INVALID.values():
        refused(gate, bearer(make().encode()), LicenseInvalid)
    rejected = [name for name in INVALID if "audience" not in name and "constraint" not in name]
    fresh = gate_with(Hands(wall=NOW))
    for name in rejected:
        refused(fresh, bearer(INVALID[name]().encode()), LicenseInvalid)
    assert (len(fresh._judge._headers), len(fresh._judge._terms._terms)) == (0, 0)


def test_issuers_do_not_vouch_for_each_other(hands: Hands) -> None:
    """A key of one issuer signs in no other's name, whatever kid the header names."""
    other = Issuer.generate("https://other.example")
    gate = gate_with(
        hands,
        issuer=None,
        audience=None,
        jwks=None,
        jwks_url=Settings.jwks_url,
        issuers={
            ISSUER_NAME: IssuerSettings(AUDIENCE, jwks=ISSUER.jwks(), jwks_url=None),
            other.name: IssuerSettings("theirs", jwks=other.jwks(), jwks_url=None),
        },
    )
    assert decide(gate, bearer(token())).license_id == "lic_1"
    assert decide(gate, bearer(token(other, iss=other.name, aud="theirs"))).license_id == "lic_1"
    for credential in (
        token(other),
        token(ISSUER, iss=other.name, aud="theirs"),
        token(other, iss=other.name),
        token(iss="https://third.example"),
    ):
        refused(gate, bearer(credential), LicenseInvalid)
    assert set(gate.health()) == {ISSUER_NAME, other.name}


@pytest.mark.parametrize(
    ("token_type", "typ", "accepted"),
    [
        ("license+jwt", "license+jwt", True),
        ("license+jwt", "application/License+JWT", True),
        ("license+jwt", "JWT", False),
        ("license+jwt", None, False),
        (None, "license+jwt", True),
        (None, "JWT", True),
        (None, None, True),
        (None, "at+jwt", False),
    ],
)
def test_types(hands: Hands, token_type: str | None, typ: str | None, accepted: bool) -> None:
    """`typ` is the configured one; without one, a plain JWT or none at all will do as well."""
    gate = gate_with(hands, token_type=token_type)
    claims = licenses.claims(iat=NOW, exp=NOW + 3600)
    facts = bearer(ISSUER.sign(claims, header={"typ": typ}).encode())
    if accepted:
        assert decide(gate, facts)
    else:
        assert refused(gate, facts, LicenseInvalid).reason == "wrong_type"


def test_a_proof_that_nothing_is_bound_to(gate: Gate) -> None:
    """The scheme DPoP claims a proof of possession, and no license here can have one."""
    credential = token()
    for _ in range(2):
        assert refused(gate, bearer(credential, "DPoP"), PossessionInvalid).reason == "not_bound"
    assert decide(gate, bearer(credential))
    refused(gate, bearer(token(FORGER), "DPoP"), LicenseInvalid)


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [
        (-31, LicenseInvalid),
        (-30, None),
        (0, None),
        (3629, None),
        (3629.99, None),
        (3630, LicenseExpired),
    ],
)
def test_times_hold_to_the_second(
    hands: Hands, seconds: float, kind: type[LicenseError] | None
) -> None:
    """From `iat` less the leeway until just before `exp` and the leeway, judged or remembered."""
    gate, warm, credential = gate_with(hands), gate_with(hands, grant_max_age=86_400), token()
    decide(warm, bearer(credential))
    hands.wall = NOW + seconds
    for each in (gate, warm):
        if kind is None:
            assert decide(each, bearer(credential))
        else:
            refused(each, bearer(credential), kind)


def test_a_license_begins(gate: Gate, hands: Hands) -> None:
    """`nbf` less the leeway is when it begins; before it is told apart from an invalid one."""
    credential = token(nbf=NOW + 100)
    hands.wall = NOW + 69.9
    assert refused(gate, bearer(credential), LicenseNotActive).reason == "not_yet_valid"
    hands.wall = NOW + 70
    assert decide(gate, bearer(credential))


def test_bad_times_under_a_bad_signature_are_invalid(gate: Gate) -> None:
    """Expiry is said of licenses of ours only."""
    refused(gate, bearer(token(FORGER, iat=NOW - 7200, exp=NOW - 3600)), LicenseInvalid)
    refused(gate, bearer(token(iat=NOW - 7200, exp=NOW - 3600)), LicenseExpired)


# -- recall --------------------------------------------------------------------------------------


def remembered(gate: Gate, credential: bytes) -> bool:
    return gate.recall(credential) is not None


def test_a_verdict_holds_for_a_while(gate: Gate, hands: Hands) -> None:
    """From the moment of the verdict for `grant_max_age` seconds, then it is made anew."""
    credential = token()
    decide(gate, bearer(credential))
    hands.advance(299.9)
    assert remembered(gate, credential)
    hands.advance(0.1)
    assert not remembered(gate, credential)
    decide(gate, bearer(credential))
    assert remembered(gate, credential)


def test_a_clock_set_back_asks_again(gate: Gate, hands: Hands) -> None:
    """Before the moment of the verdict nothing is known, and the license is judged anew."""
    credential = token()
    decide(gate, bearer(credential))
    hands.wall -= 0.1
    assert not remembered(gate, credential)
    assert decide(gate, bearer(credential))
    assert remembered(gate, credential)
    hands.wall -= 3600
    refused(gate, bearer(credential), LicenseInvalid)


def test_a_verdict_ends_with_the_license(hands: Hands) -> None:
    """However long verdicts hold, none holds past the license."""
    gate, credential = gate_with(hands, grant_max_age=86_400), token()
    decide(gate, bearer(credential))
    hands.advance(3629.9)
    assert remembered(gate, credential)
    hands.advance(0.1)
    assert not remembered(gate, credential)


def test_a_verdict_ends_with_its_keys(hands: Hands) -> None:
    """However long verdicts hold, none outlives the last moment at which its keys may serve."""
    served = Served(ISSUER.jwks)
    gate, credential = gate_with(hands, served, **REMOTE, jwks_max_stale=50), token()
    decide(gate, bearer(credential))
    served.jwks = None
    hands.suspend(149.9)
    assert remembered(gate, credential)
    hands.suspend(0.1)
    assert not remembered(gate, credential)


@pytest.mark.parametrize("options", [{"grant_cache_size": 0}, {"grant_max_age": 0}], ids=str)
def test_the_cache_can_be_off(hands: Hands, options: dict[str, Any]) -> None:
    """Then every request is judged, and nothing is kept."""
    gate, credential = gate_with(hands, **options), token()
    for _ in range(2):
        assert decide(gate, bearer(credential))
        assert not remembered(gate, credential)
    assert len(gate._judgements.grants) == 0


def test_the_cache_is_bounded(hands: Hands) -> None:
    """The oldest verdict gives way."""
    gate = gate_with(hands, grant_cache_size=2)
    credentials = [token(sub=f"lic_{number}") for number in range(3)]
    for credential in credentials:
        decide(gate, bearer(credential))
    assert [remembered(gate, credential) for credential in credentials] == [False, True, True]


def test_hits_and_misses_are_counted(hands: Hands) -> None:
    """A hit is an answer from memory, a miss a credential judged in full, whatever came of it."""
    gate = gate_with(hands, grant_cache_size=2)
    assert gate.grant_stats() == (0, 0, 0, 0, 2)
    for _ in range(4):
        decide(gate, bearer(token()))
    assert gate.grant_stats() == (3, 1, 0, 1, 2)
    refused(gate, bearer(b"nonsense"), LicenseInvalid)
    refused(gate, Facts(), LicenseRequired)
    assert gate.grant_stats() == (3, 2, 0, 1, 2)
    for number in range(3):
        decide(gate, bearer(token(sub=f"other_{number}")))
    assert gate.grant_stats() == (3, 5, 2, 2, 2)
    assert flow.run(gate.verify(token(), at=NOW + 5))
    hands.advance(301)
    decide(gate, bearer(token(sub="other_2")))
    assert gate.grant_stats() == (3, 6, 2, 2, 2), "a verdict that has ended is no hit"


def test_what_is_too_long_is_not_looked_up(hands: Hands) -> None:
    """Beyond `max_token_size` nothing is hashed and nothing found, were it in the cache."""
    gate, credential = gate_with(hands), token(padding="x" * 3_500)
    assert len(credential) > 4096
    assert refused(gate, bearer(credential), LicenseInvalid).reason == "token_too_large"
    wide = gate_with(hands, max_token_size=65_536)
    decide(wide, bearer(credential))
    gate._judgements.grants.put(sha256(credential).digest(), wide.recall(credential))  # type: ignore[arg-type]
    assert not remembered(gate, credential)


def test_no_raw_token_stays_in_memory(gate: Gate) -> None:
    """The cache is keyed by SHA-256, and what it holds has no part of the credential."""
    credential = token()
    decide(gate, bearer(credential)).release()
    [(key, grant)] = gate._judgements.grants._grants.items()
    assert key == sha256(credential).digest()
    held = repr([getattr(grant, name) for name in grant.__slots__])
    assert not any(part in held for part in credential.decode().split("."))


def rotated(hands: Hands, issuer: Issuer, published: Issuer) -> tuple[Gate, bytes, Any]:
    """Return a gate that judged a license of `issuer` and has since fetched `published`'s keys."""
    served = Served(issuer.jwks)
    gate, credential = gate_with(hands, served, **REMOTE), token(issuer)
    decide(gate, bearer(credential))
    grant = gate.recall(credential)
    served.jwks = published.jwks
    hands.advance(96)
    # By hand and not by `recall`: whether the new set is there when that returns is chance.
    gate.keys[ISSUER_NAME].look()
    keys = gate.keys[ISSUER_NAME]
    until(lambda: served.fetches == 2 and keys.look_at > hands.monotonic)
    return gate, credential, grant


def test_a_withdrawn_key_ends_its_verdicts(hands: Hands) -> None:
    """With the first set without the key, what was verified under it is known no more."""
    issuer = Issuer.generate(ISSUER_NAME)
    gate, credential, grant = rotated(hands, issuer, FORGER)
    assert grant.generation == 1
    assert not remembered(gate, credential)
    refused(gate, bearer(credential), LicenseInvalid)


def test_a_kept_key_keeps_its_verdicts(hands: Hands) -> None:
    """A new set with the old key in it ends nothing, and is compared only once."""
    issuer = Issuer.generate(ISSUER_NAME)
    published = Issuer.generate(ISSUER_NAME)
    both = {"keys": [*issuer.jwks()["keys"], *published.jwks()["keys"]]}
    published.jwks = lambda: both  # type: ignore[method-assign]
    gate, credential, grant = rotated(hands, issuer, published)
    assert grant.generation == 1
    assert gate.recall(credential) is grant
    assert grant.generation == 2


def test_the_set_that_judged_is_the_set_that_is_remembered(hands: Hands) -> None:
    """A rotation while a license is verified does not pass its verdict off as a newer one."""
    issuer, served = Issuer.generate(ISSUER_NAME), Served(ISSUER.jwks)
    served.jwks = issuer.jwks
    gate, credential = gate_with(hands, served, **REMOTE), token(issuer)
    decide(gate, bearer(token(issuer, sub="first")))
    keys = gate.keys[ISSUER_NAME]
    at_hand, before = keys.at_hand, keys.snapshot

    def finding(kid: str, alg: str) -> Any:
        found = at_hand(kid, alg)
        served.jwks = FORGER.jwks
        hands.advance(96)
        keys.look()
        until(lambda: keys.snapshot is not before)
        return found

    keys.at_hand = finding  # type: ignore[method-assign]
    assert decide(gate, bearer(credential)), "the set was current when it was asked for"
    assert not remembered(gate, credential)


def test_dead_keys_are_not_served_from(hands: Hands) -> None:
    """Past their last moment keys vouch for nothing in memory, whatever the wall clock says."""
    served = Served(ISSUER.jwks)
    gate, credential = gate_with(hands, served, **REMOTE, jwks_max_stale=0), token()
    decide(gate, bearer(credential))
    served.jwks = None
    hands.monotonic += 100
    assert not remembered(gate, credential)
    error = refused(gate, bearer(credential), KeysUnavailable)
    assert error.reason == "keys_unavailable:connect"


def test_most_hits_look_at_nothing(hands: Hands) -> None:
    """What is owed is seen 20 ms after the last look, also beside an issuer without any keys."""
    issuers = {
        ISSUER_NAME: IssuerSettings(AUDIENCE, jwks=ISSUER.jwks(), jwks_url=None),
        "https://away.example": IssuerSettings(AUDIENCE, jwks_url="https://keys.test/jwks"),
    }
    gate, credential = (
        Gate(Settings(issuers=issuers), clock=hands.clock, transport=Served()),
        token(),
    )
    decide(gate, bearer(credential))
    assert remembered(gate, credential)
    keys, looks = gate.keys[ISSUER_NAME], []
    keys.look = lambda: bool(looks.append(keys)) or True  # type: ignore[method-assign]
    keys.look_at = hands.monotonic
    assert remembered(gate, credential)
    assert not looks
    hands.advance(SAMPLE)
    assert remembered(gate, credential)
    assert looks == [keys]


def test_without_a_set_nothing_is_known(gate: Gate) -> None:
    """A verdict whose keys are gone is none."""
    credential = token()
    decide(gate, bearer(credential))
    gate.keys[ISSUER_NAME].snapshot = None
    assert not remembered(gate, credential)


def test_a_verdict_without_keys_needs_none(gate: Gate) -> None:
    """What somebody else vouched for does not end with the keys, only with its time."""
    credential = token()
    decide(gate, bearer(credential))
    grant = gate.recall(credential)
    assert grant is not None
    grant.keys = None
    gate.keys[ISSUER_NAME].snapshot = None
    assert gate.recall(credential) is grant


# -- undecided -----------------------------------------------------------------------------------


def test_keys_out_of_reach_are_undecided(hands: Hands) -> None:
    """Neither yes nor no, with the seconds until the next attempt; the next one may succeed."""
    served = Served()
    gate, credential = gate_with(hands, served, **REMOTE), token()
    error = refused(gate, bearer(credential), KeysUnavailable)
    assert isinstance(error, KeysUnavailable)
    assert error.retry_after >= 1
    served.jwks = ISSUER.jwks
    hands.advance(error.retry_after)
    assert decide(gate, bearer(credential))


def test_what_cannot_be_a_license_asks_nobody(hands: Hands) -> None:
    """Every cheap check comes before the network."""
    served = Served()
    gate = gate_with(hands, served, **REMOTE)
    for name in ("wrong issuer", "wrong type", "opaque", "without end"):
        refused(gate, bearer(INVALID[name]().encode()), LicenseInvalid)
    assert served.fetches == 0


@pytest.mark.parametrize(
    "error",
    [RuntimeError("x"), RecursionError(), MemoryError(), ConfigError("a", "b", "c")],
    ids=repr,
)
@pytest.mark.parametrize("step", ["recall", "judge", "granted"])
def test_what_goes_wrong_inside_is_undecided(
    gate: Gate, caplog: pytest.LogCaptureFixture, error: Exception, step: str
) -> None:
    """Nothing unexpected passes, nothing unexpected comes out: 503, and the log has the trace."""

    def fail(*_: object) -> Any:
        raise error

    setattr(gate._judgements, step, fail)
    for attempt in (partial(decide, gate, bearer(token())), lambda: flow.run(gate.verify(token()))):
        with pytest.raises(LicenseUnavailable) as caught:
            attempt()
        assert caught.value.reason == f"internal_error:{type(error).__name__}"
        assert caught.value.__suppress_context__
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info and record.exc_info[1] for record in records] == [error, error]


def test_what_is_no_exception_is_none_of_ours(gate: Gate) -> None:
    """A worker that is told to stop stops."""

    def fail(*_: object) -> Any:
        raise KeyboardInterrupt

    gate._judgements.recall = fail  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        decide(gate, bearer(token()))


def test_a_subscriber_that_fails_changes_no_answer(gate: Gate) -> None:
    """Who listens cannot break what is decided."""

    def fail(event: Event) -> None:
        raise RuntimeError(event.name)

    gate.events.subscribe(fail)
    refused(gate, Facts(), LicenseRequired)


def test_refusals_are_logged_without_the_credential(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """One line with code and reason; of the token not even a part."""
    caplog.set_level(logging.DEBUG, "licet")
    credentials = [make() for make in INVALID.values()]
    for credential in credentials:
        refused(gate, bearer(credential.encode()), LicenseInvalid)
    assert "license.denied code=license_invalid reason=bad_audience" in caplog.messages
    segments = {part for credential in credentials for part in credential.split(".")[1:]}
    assert not any(segment in caplog.text for segment in segments)


# -- exempt requests -----------------------------------------------------------------------------


def test_a_peek_tells_what_is_known(gate: Gate) -> None:
    """With the keys in memory an exempt request is entitled like any other."""
    for _ in range(2):
        assert gate.peek(bearer(token())).license_id == "lic_1"


def test_a_peek_waits_for_nothing(hands: Hands) -> None:
    """Where somebody would have to be asked, nobody is, and the license is unknown."""
    served = Served(ISSUER.jwks)
    gate, facts = gate_with(hands, served, **REMOTE), bearer(token())
    entitlements = gate.peek(facts)
    assert (entitlements.status, served.fetches) == (Status.UNLICENSED, 0)
    with pytest.raises(LicenseUnavailable) as caught:
        entitlements.require()
    assert caught.value.reason == "not_known_yet"
    assert decide(gate, facts), "who comes after may ask all the same"
    assert gate.peek(facts)


def test_a_peek_refuses_nothing(gate: Gate) -> None:
    """Whatever is wrong, an exempt request passes, knows why, and is no denial."""
    told: list[Event] = []
    gate.events.subscribe(told.append)
    for facts, kind in (
        (Facts(), LicenseRequired),
        (Facts(authorization="Bearer a, Bearer b"), LicenseAmbiguous),
        (bearer(token(FORGER)), LicenseInvalid),
        (bearer(token(iat=NOW - 7200, exp=NOW - 3600)), LicenseExpired),
    ):
        entitlements = gate.peek(facts)
        assert entitlements.status is Status.UNLICENSED
        with pytest.raises(kind):
            entitlements.require()
    assert told == []


def test_a_peek_survives_what_goes_wrong_inside(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """An internal error makes an exempt request unlicensed and is logged."""

    def fail(*_: object) -> Any:
        raise ZeroDivisionError

    gate._judgements.recall = fail  # type: ignore[method-assign]
    with pytest.raises(LicenseUnavailable):
        gate.peek(bearer(token())).require()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


# -- verify --------------------------------------------------------------------------------------


def test_verify_needs_no_request(gate: Gate) -> None:
    """A credential alone is judged, remembered and refused as in a request."""
    credential = token()
    entitlements = flow.run(gate.verify(credential))
    assert (entitlements.license_id, entitlements.source) == ("lic_1", "")
    assert entitlements.claims["plan"] == "professional"
    assert remembered(gate, credential)
    assert flow.run(gate.verify(credential)).license_id == "lic_1"
    with pytest.raises(LicenseInvalid):
        flow.run(gate.verify(token(FORGER)))


def test_verify_at_another_moment_touches_no_memory(gate: Gate, hands: Hands) -> None:
    """What holds at another moment is neither taken from the cache nor put there."""
    credential = token()
    early = flow.run(gate.verify(credential, NOW + 10))
    assert len(gate._judgements.grants) == 0
    decide(gate, bearer(credential))
    with pytest.raises(LicenseExpired):
        flow.run(gate.verify(credential, NOW + 3630))
    assert remembered(gate, credential)
    hands.advance(10_000)
    assert early.status is Status.ACTIVE, "its clock stands still"
    early.require("analytics")
    refused(gate, bearer(credential), LicenseExpired)


# -- around it -----------------------------------------------------------------------------------


def test_a_gate_can_be_warmed(hands: Hands) -> None:
    """Keys are fetched in the background, so that the first request waits for nothing."""
    served = Served(ISSUER.jwks)
    gate = gate_with(hands, served, **REMOTE)
    assert gate.health()[ISSUER_NAME].state.value == "empty"
    gate.warm()
    until(lambda: gate.health()[ISSUER_NAME].state.value == "fresh")
    assert gate.peek(bearer(token()))
    assert served.fetches == 1


def test_a_gate_without_a_transport_has_one() -> None:
    """By default it speaks TLS as the settings say."""
    gate = Gate(Settings(**OPTIONS))
    assert flow.run(gate.verify(licenses.license_token().encode()))


def test_equal_settings_share_a_gate() -> None:
    """One per process and settings, however many instances of either there are."""
    one = gate_for(Settings(**OPTIONS))
    assert gate_for(Settings(**OPTIONS)) is one
    assert gate_for(Settings(**OPTIONS, leeway=7)) is not one


def test_threads_share_a_gate() -> None:
    """Those that ask at the same moment get the same."""
    gates, barrier = list[Gate](), threading.Barrier(8)

    def ask() -> None:
        barrier.wait(10)
        gates.append(gate_for(Settings(**OPTIONS, leeway=11)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(gates) == 8
    assert len(set(map(id, gates))) == 1


def test_many_tasks_see_each_its_own(hands: Hands) -> None:
    """Decisions side by side, all cold, ask for the keys once and mix nothing up."""
    served = Served(ISSUER.jwks)
    gate, seen = gate_with(hands, served, **REMOTE), dict[int, str]()

    async def one(number: int) -> None:
        entitlements = await flow.arun(gate.decide(bearer(token(sub=f"lic_{number}"))))
        seen[number] = entitlements.license_id

    async def all_of_them() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(one, number)

    anyio.run(all_of_them)
    assert seen == {number: f"lic_{number}" for number in range(100)}
    assert served.fetches == 1
