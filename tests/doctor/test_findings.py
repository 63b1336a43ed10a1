"""Each finding of the doctor on a server that has that fault, from the URL of that server."""

from __future__ import annotations

import importlib

import pytest

from licet.cli.doctor import environment, examination  # noqa: F401 - with them come all kinds
from licet.cli.doctor.finding import KINDS
from tests.doctor.table import CASES
from tests.doctor.ward import Ward, found

for cases in ("connections", "handshakes", "documents", "servers", "licenses"):
    importlib.import_module(f"tests.doctor.{cases}")


def test_every_finding_is_shown() -> None:
    """There is no code that the doctor can say and no server here brings about."""
    assert CASES.keys() == KINDS.keys()


@pytest.mark.parametrize("code", sorted(CASES))
def test_a_finding(code: str, ward: Ward) -> None:
    """It is found with its remedy, and no fault beside it; the exit status says if there is any."""
    said = CASES[code](ward)
    finding = found(said, code)
    kind = KINDS[code]
    assert finding["severity"] == kind.severity
    assert bool(finding["remedy"]) is (kind.severity != "ok")
    assert finding["detail"]
    faults = [each for each in said.document["findings"] if each["severity"] == "fault"]
    assert said.status == (1 if faults else 3 if code in UNDECIDED else 0)
    assert said.document["healthy"] is {0: True, 1: False, 3: None}[said.status]
    assert {each["code"] for each in faults} - {code} == BESIDE.get(code, set())
    # What no terminal and no log may see.
    assert "CANARY" not in said.out + said.err


UNDECIDED = ("out_of_time", "license_opaque", "license_undecided")
#: The faults that have to be there as well; beside all others there are none.
BESIDE = {
    "environment_authorities": {"tls_certificate_self_signed"},
    "environment_proxy": {"connect_refused"},
    "license_algorithm": {"keys_none_usable", "license_key_unknown"},
    # What `openssl s_server` serves is a page.
    "tls_certificate_revoked": {"keys_content_type", "keys_unreadable"},
    "tls_stapling_ok": {"keys_content_type", "keys_unreadable"},
    "unreached": {"connect_refused"},
}
