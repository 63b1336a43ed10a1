"""Whether a license that holds still stands: by its status list, and by what was said of it."""

from __future__ import annotations

from typing import Any

import pytest

from licet.core import flow
from licet.core.entitlements import Entitlements, Status
from licet.core.entitlements.context import bind, current_entitlements
from licet.core.entitlements.requirements import requires_feature
from licet.core.errors import (
    ConfigError,
    InstallationUnlicensed,
    LicenseExpired,
    LicenseInvalid,
    LicenseRevoked,
    LicenseUnavailable,
)
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.revocation.statements import Hint, Subject, Withdrawal
from licet.core.revocation.statuslist import StatusReference
from licet.core.settings import Settings
from tests.core.loopback import until
from tests.core.presented import Presented
from tests.core.withdrawing import Withdrawing, verdict

DAY = 86_400


def entitled(gate: Gate, credential: str) -> Entitlements:
    """Return what a request is given that stays open."""
    return flow.run(gate.decide(Presented(lines={"authorization": [f"Bearer {credential}"]})))


def say(gate: Gate, vendor: Withdrawing, word: Any, at: float | None = None) -> None:
    """Have the issuer say something of `lic_1`, by default now."""
    said = Withdrawal(word, vendor.hands.wall if at is None else at)
    flow.run(gate.withdrawals.record(said, Subject("license", vendor.name, "lic_1")))


def fetched(vendor: Withdrawing, count: int) -> None:
    """Wait until the list was asked for so often, and came into force."""
    until(lambda: vendor.fetches >= count)


# -- the list ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("valid", "yes"),
        ("revoked", "status:revoked"),
        ("suspended", "status:suspended"),
        (3, "status_unknown"),
    ],
)
def test_the_list_says_whether_a_license_stands(
    vendor: Withdrawing, status: Any, told: str
) -> None:
    """At its index, and whatever others say."""
    vendor.statuses = {6: "revoked", 7: status, 8: "revoked"}
    gate = vendor.gate()
    token = vendor.license()
    assert verdict(gate, token) == told
    # And the same for the next, from what is known.
    vendor.away = True
    assert verdict(gate, token).rpartition(":")[2] == told.rpartition(":")[2]
    assert vendor.fetches == 1


def test_an_index_outside_the_list_refuses(vendor: Withdrawing) -> None:
    """Nothing is said of such a license."""
    gate = vendor.gate()
    assert verdict(gate, vendor.license(63)) == "yes"
    assert verdict(gate, vendor.license(64)) == "status_index"


def test_requests_ask_for_no_list(vendor: Withdrawing) -> None:
    """Once it is there, it is looked at in memory, until its time to live is over."""
    gate = vendor.gate()
    tokens = [vendor.license(idx, subject=f"lic_{idx}") for idx in range(5)]
    for _ in range(3):
        for token in tokens:
            assert verdict(gate, token) == "yes"
            assert gate.recall(token.encode()) is not None
    assert vendor.fetches == 1


def test_a_withdrawal_is_heard_when_the_list_is_renewed(vendor: Withdrawing) -> None:
    """By a license that is in memory: the request that finds it due is served, the next is not."""
    gate, token = vendor.gate(), vendor.license()
    assert verdict(gate, token) == "yes"
    vendor.statuses[7] = "revoked"
    vendor.hands.advance(61)
    assert verdict(gate, token) == "yes"
    until(lambda: verdict(gate, token) == "status:revoked")
    assert vendor.fetches == 2
    assert gate.recall(token.encode()) is None


def test_what_is_given_back_is_served_again(vendor: Withdrawing) -> None:
    """A later list is a later statement."""
    gate, token = vendor.gate(), vendor.license()
    vendor.statuses[7] = "suspended"
    assert verdict(gate, token) == "status:suspended"
    del vendor.statuses[7]
    vendor.hands.advance(61)
    until(lambda: verdict(gate, token) == "yes")
    assert gate.recall(token.encode()) is not None


def test_a_list_in_an_outage_serves_so_long(vendor: Withdrawing) -> None:
    """Three days past its time to live, and then it cannot be told."""
    gate, token = vendor.gate(jwks_max_stale=30 * DAY), vendor.license()
    assert verdict(gate, token) == "yes"
    vendor.away = True
    vendor.hands.advance(3 * DAY)
    assert verdict(gate, token) == "yes"
    vendor.hands.advance(61)
    assert verdict(gate, token).startswith("status_unavailable:")
    with pytest.raises(LicenseUnavailable) as refused:
        entitled(gate, token)
    assert refused.value.retry_after >= 1


@pytest.mark.parametrize("changes", [{"jwks_url": None}], ids=["never fetches"])
def test_where_no_list_can_be_fetched_such_licenses_are_refused(
    vendor: Withdrawing, changes: dict[str, Any]
) -> None:
    """With the reason why, for the log; others are served."""
    gate = vendor.gate(**changes)
    assert verdict(gate, vendor.license()) == "constraint_not_supported:status"
    assert verdict(gate, vendor.license(None)) == "yes"
    assert vendor.fetches == 0


def test_a_list_of_another_origin_is_not_fetched(vendor: Withdrawing) -> None:
    """Unless the settings name it."""
    with Withdrawing(vendor.hands) as other:
        other.issuer = vendor.issuer
        token = vendor.license(status={"status_list": {"idx": 1, "uri": other.uri}}, idx=None)
        assert verdict(vendor.gate(), token) == "status_origin"
        assert other.fetches == 0
        assert verdict(vendor.gate(status_origins=(other.name,)), token) == "yes"
        assert other.fetches == 1


def test_plain_http_is_for_the_hosts_that_are_named(vendor: Withdrawing) -> None:
    """For lists as for keys: of the issuer itself, and of others."""
    name = "http://licenses.test:8000"
    gate = Gate(
        Settings(issuer=name, audience="acme-reports", insecure_http_hosts=("licenses.test",))
    )
    (lists,) = gate._standing.lists.values()
    assert lists.of(StatusReference(f"{name}/status/1", 1))
    with pytest.raises(LicenseInvalid):
        lists.of(StatusReference("http://other.test/status/1", 1))
    here = {"status_origins": ("http://other.test",)}
    with pytest.raises(ConfigError, match=r"status_origins .* not https"):
        vendor.gate(**here)
    gate = vendor.gate(**here, insecure_http_hosts=("other.test",))
    (lists,) = gate._standing.lists.values()
    assert lists.of(StatusReference("http://other.test/status/1", 1))


def test_a_claim_that_is_no_reference_refuses(vendor: Withdrawing) -> None:
    """Also of a license whose terms are known, which were read without it."""
    gate = vendor.gate()
    assert verdict(gate, vendor.license()) == "yes"
    for status in ({}, None, {"status_list": {"idx": True, "uri": vendor.uri}}, [vendor.uri]):
        signed = vendor.issuer.sign(
            {
                "iss": vendor.name,
                "aud": "acme-reports",
                "sub": "lic_1",
                "iat": int(vendor.hands.wall),
                "exp": int(vendor.hands.wall) + 3600,
                "features": ["analytics"],
                "status": status,
            }
        )
        assert verdict(gate, signed) == "bad_claim:status"


def test_a_license_may_insist_on_its_list(vendor: Withdrawing) -> None:
    """`must_understand` may name it, where it is there."""
    gate = vendor.gate()
    assert verdict(gate, vendor.license(must_understand=["status"])) == "yes"
    bare = vendor.issuer.sign(
        {
            "iss": vendor.name,
            "aud": "acme-reports",
            "sub": "lic_1",
            "iat": int(vendor.hands.wall),
            "exp": int(vendor.hands.wall) + 365 * DAY,
            "features": ["analytics"],
            "must_understand": ["status"],
        }
    )
    assert verdict(gate, bare) == "must_understand"


def test_licenses_of_one_plan_share_their_terms_whatever_their_index(vendor: Withdrawing) -> None:
    """The place in the list is a license's own, and no part of what it grants."""
    gate = vendor.gate()
    first, second = (vendor.license(idx, subject=f"lic_{idx}") for idx in (1, 2))
    assert verdict(gate, first) == verdict(gate, second) == "yes"
    one, other = gate.recall(first.encode()), gate.recall(second.encode())
    assert one is not None
    assert other is not None
    assert one.terms is other.terms


# -- two voices ----------------------------------------------------------------------------------


def test_the_later_of_two_voices_counts(vendor: Withdrawing) -> None:
    """The list, and what the issuer says elsewhere: whoever spoke last."""
    gate, token = vendor.gate(), vendor.license()
    assert verdict(gate, token) == "yes"
    vendor.hands.advance(1)
    say(gate, vendor, "revoked")
    assert gate.recall(token.encode()) is None
    assert verdict(gate, token) == "online:revoked"
    # The list was read before that, and is silent about it.
    vendor.hands.advance(61)
    until(lambda: verdict(gate, token) == "yes")
    vendor.statuses[7] = "revoked"
    vendor.hands.advance(61)
    until(lambda: verdict(gate, token) == "status:revoked")
    vendor.hands.advance(1)
    say(gate, vendor, "valid")
    assert verdict(gate, token) == "yes"


def test_an_older_voice_changes_nothing(vendor: Withdrawing) -> None:
    """A word that comes late, of before the list was made."""
    gate, token = vendor.gate(), vendor.license()
    assert verdict(gate, token) == "yes"
    say(gate, vendor, "revoked", vendor.hands.wall - 10)
    assert verdict(gate, token) == "yes"


def test_what_a_list_says_is_told_once(vendor: Withdrawing) -> None:
    """An event, however often the license is refused."""
    gate, token = vendor.gate(), vendor.license()
    events: list[Event] = []
    gate.events.subscribe(events.append)
    vendor.statuses[7] = "revoked"
    for _ in range(5):
        assert verdict(gate, token).endswith("revoked")
    told = [event for event in events if event.name == "license.revoked"]
    assert [one.data["license_id"] for one in told] == ["lic_1"]


def test_what_a_list_said_outlives_it(vendor: Withdrawing, tmp_path: Any) -> None:
    """In the shared store: a list that is served again from before does not give it back."""
    store = f"sqlite:///{tmp_path}/licet.db"
    token = vendor.license()
    old = vendor.list()
    vendor.hands.advance(10)
    vendor.statuses[7] = "revoked"
    assert verdict(vendor.gate(store=store), token) == "status:revoked"
    vendor.served = old
    assert verdict(vendor.gate(store=store), token) == "online:revoked"


# -- who holds entitlements ----------------------------------------------------------------------


@pytest.mark.parametrize("by", ["the list", "a word"])
@pytest.mark.parametrize("word", ["revoked", "suspended"])
def test_who_still_holds_entitlements_hears_of_a_withdrawal(
    vendor: Withdrawing, by: str, word: str
) -> None:
    """At the next question, without a request in between; and of its end."""
    gate = vendor.gate()
    held = entitled(gate, vendor.license(7 if by == "the list" else None))
    assert held
    assert held.allows("analytics")
    if by == "a word":
        say(gate, vendor, word)
    else:
        vendor.statuses[7] = word
        vendor.hands.advance(61)
        until(lambda: not held.allows("analytics"))
    assert not held
    assert not held.allows("analytics")
    assert held.status is Status.UNLICENSED

    @requires_feature("analytics")
    def view() -> str:
        return "served"

    with bind(held), pytest.raises(LicenseRevoked) as refused:
        view()
    assert refused.value.code == f"license_{word}"
    with bind(held), pytest.raises(LicenseRevoked):
        current_entitlements().require("analytics")
    vendor.hands.advance(1)
    say(gate, vendor, "valid")
    if by == "a word":
        with bind(held):
            assert view() == "served"
    vendor.hands.advance(366 * DAY)
    with bind(held), pytest.raises(LicenseExpired):
        view()


def test_an_installation_whose_license_is_withdrawn_is_unlicensed(vendor: Withdrawing) -> None:
    """402, for the next request and for who still holds entitlements."""
    gate = vendor.gate(license=vendor.license(None))
    held = flow.run(gate.decide(Presented()))
    say(gate, vendor, "suspended")
    for ask in (lambda: flow.run(gate.decide(Presented())), held.require_license):
        with pytest.raises(InstallationUnlicensed) as refused:
            ask()
        assert refused.value.members["error"] == "suspended"


def test_what_is_judged_by_another_time_is_withdrawn_all_the_same(vendor: Withdrawing) -> None:
    """As keys are those of now, so are withdrawals; and the view stands still after that."""
    gate, token = vendor.gate(), vendor.license().encode()
    held = flow.run(gate.verify(token, vendor.hands.wall + 60))
    say(gate, vendor, "revoked")
    assert held
    with pytest.raises(LicenseRevoked):
        flow.run(gate.verify(token, vendor.hands.wall + 60))


# -- an open connection --------------------------------------------------------------------------


def test_an_open_connection_looks_again(vendor: Withdrawing) -> None:
    """What a request would be refused for by now ends it."""
    gate, token = vendor.gate(), vendor.license()
    request = Presented(lines={"authorization": [f"Bearer {token}"]})
    held = flow.run(gate.decide(request))
    flow.run(gate.recheck(held, request))
    vendor.hands.advance(301)
    flow.run(gate.recheck(held, request))
    say(gate, vendor, "revoked")
    with pytest.raises(LicenseRevoked):
        flow.run(gate.recheck(held, request))
    held.release()
    with pytest.raises(LicenseInvalid):
        flow.run(gate.recheck(held, request))


def test_what_has_no_license_has_nothing_to_look_at(vendor: Withdrawing) -> None:
    """Where none is required."""
    gate = vendor.gate(required=False)
    request = Presented()
    flow.run(gate.recheck(flow.run(gate.decide(request)), request))


# -- hints ---------------------------------------------------------------------------------------


def hint(gate: Gate, vendor: Withdrawing, kind: Any, name: str = "") -> None:
    """Have everybody told of a reason to ask."""
    flow.run(gate.withdrawals.hint(Hint(kind, vendor.name, name, vendor.hands.wall)))


@pytest.mark.row("C14")
def test_keys_that_are_said_to_have_rotated_are_fetched_at_once(vendor: Withdrawing) -> None:
    """What the retired key signed is refused within one fetch, and not at the end of a cache."""
    gate = vendor.gate()
    token = vendor.license(None)
    assert verdict(gate, token) == "yes"
    (kid,) = vendor.issuer.kids
    vendor.issuer.rotate()
    vendor.issuer.retire(kid)
    hint(gate, vendor, "rotated")
    until(lambda: verdict(gate, token) == f"unknown_kid:{kid}")
    assert verdict(gate, vendor.license(None)) == "yes"


@pytest.mark.row("C14")
def test_a_key_that_is_published_as_revoked_verifies_nothing(vendor: Withdrawing) -> None:
    """Though it is in the set."""
    gate, token = vendor.gate(), vendor.license(None)
    assert verdict(gate, token) == "yes"
    good = vendor.issuer.jwks()
    (kid,) = vendor.issuer.kids
    vendor.issuer.rotate()
    revoked = {"revoked_at": int(vendor.hands.wall)}
    vendor.published = {
        "keys": [
            *vendor.issuer.jwks()["keys"][1:],
            *({**one, "revoked": revoked} for one in good["keys"]),
        ]
    }
    hint(gate, vendor, "rotated")
    until(lambda: verdict(gate, token) == f"unknown_kid:{kid}")


def test_a_license_that_is_said_to_be_resumed_is_looked_up_at_once(vendor: Withdrawing) -> None:
    """In the status list, which decides; the hint restores nothing."""
    gate, token = vendor.gate(), vendor.license()
    vendor.statuses[7] = "suspended"
    assert verdict(gate, token) == "status:suspended"
    hint(gate, vendor, "resumed", "lic_1")
    assert verdict(gate, token) == "status:suspended"
    until(lambda: vendor.fetches == 2)
    vendor.hands.advance(2)
    del vendor.statuses[7]
    hint(gate, vendor, "resumed", "lic_1")
    until(lambda: verdict(gate, token) == "yes")


def test_a_hint_of_another_issuer_asks_nobody(vendor: Withdrawing) -> None:
    """Nor does one about a license that nobody here has seen."""
    gate = vendor.gate()
    assert verdict(gate, vendor.license(None)) == "yes"
    flow.run(gate.withdrawals.hint(Hint("rotated", "https://other.example", "", 1.0)))
    flow.run(gate.withdrawals.hint(Hint("resumed", "https://other.example", "lic_1", 1.0)))
    hint(gate, vendor, "resumed", "lic_9")
    assert vendor.fetches == 0
