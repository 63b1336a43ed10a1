"""A license file is put into place only by what holds here, whole or not at all."""

from __future__ import annotations

import io
import stat
from pathlib import Path
from typing import Any

import pytest

from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseUnavailable
from licet.core.gate import Gate
from licet.core.installation.install import install
from licet.core.settings import Settings
from tests.core.hands import Hands
from tests.core.presented import Presented
from tests.core.test_gate import NOW, REMOTE, Served
from tests.licenses import FORGER, OPTIONS, license_token

HOUR, DAY = 3_600, 86_400


def token(**changes: Any) -> str:
    """Return a license from now on for an hour, good but for `changes`."""
    return license_token(**{"iat": NOW, "exp": NOW + HOUR, **changes})


class Site:
    """An installation, and a license that was brought to it."""

    def __init__(self, tmp_path: Path, **options: Any) -> None:
        self.hands = Hands(wall=NOW)
        self.place = tmp_path / "license.jwt"
        self.brought = tmp_path / "brought.jwt"
        given = {**OPTIONS, "license": f"file:{self.place}", **options}
        self.gate = Gate(Settings(**given), clock=self.hands.clock, transport=Served())

    def install(self, credential: str, *, force: bool = False) -> tuple[int, str]:
        """Return the exit status of installing a license, and what was told."""
        # What is in place is looked at once a second.
        self.hands.advance(2)
        self.brought.write_text(credential + "\r\n")
        return install(self.gate, str(self.brought), force=force)

    def held(self) -> Entitlements:
        """Return the entitlements of a request to a process that runs."""
        self.hands.advance(2)
        return flow.run(self.gate.decide(Presented()))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An installation without a license."""
    return Site(tmp_path)


def test_what_holds_is_put_into_place(site: Site) -> None:
    """For its owner alone, and in force in processes that run already."""
    status, told = site.install(token(sub="lic_new"))
    assert (status, "in place" in told) == (0, True)
    assert site.place.read_text() == token(sub="lic_new") + "\n"
    assert stat.S_IMODE(site.place.stat().st_mode) == 0o600
    assert site.held().license_id == "lic_new"
    assert sorted(each.name for each in site.place.parent.iterdir()) == [
        "brought.jwt",
        "license.jwt",
    ]


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        ("rubbish", "license_invalid"),
        ("", "license_invalid"),
        (license_token(FORGER, iat=NOW, exp=NOW + HOUR), "license_invalid"),
        (token(aud="another-product"), "bad_audience"),
        (token(iat=NOW - 9 * DAY, exp=NOW - 8 * DAY), "license_expired"),
        (token(nbf=NOW + 600), "license_not_active"),
        (token(cnf={"jkt": "A" * 43}), "bound"),
    ],
    ids=["rubbish", "empty", "forged", "another product", "expired", "not active", "bound"],
)
def test_what_does_not_hold_changes_nothing(site: Site, credential: str, reason: str) -> None:
    """Neither where nothing is nor where a license is in place, also not by force."""
    status, told = site.install(credential, force=True)
    assert (status, reason in told) == (1, True), told
    assert not site.place.exists()
    site.install(token())
    before = site.place.read_bytes()
    assert site.install(credential, force=True)[0] == 1
    assert site.place.read_bytes() == before
    assert credential == "" or credential not in told


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": NOW + HOUR - 60}, "ends earlier"),
        ({"features": []}, "names fewer features"),
        ({"features": ["other"]}, "names fewer features"),
        ({"limits": {}}, "has lower limits"),
        ({"limits": {"seats": 9}}, "has lower limits"),
        ({"iat": NOW - 2 * HOUR, "exp": NOW - 60}, "has ended"),
    ],
    ids=str,
)
def test_a_worse_license_takes_force(site: Site, changes: dict[str, Any], why: str) -> None:
    """What is lost by it is told; what is no worse is put into place."""
    site.install(token(sub="lic_old"))
    status, told = site.install(token(sub="lic_worse", **changes))
    assert (status, why in told, "--force" in told) == (1, True, True)
    assert site.held().license_id == "lic_old"
    same = {"exp": NOW + 2 * HOUR, "limits": {"seats": "unlimited"}, "features": ["analytics", "x"]}
    assert site.install(token(sub="lic_better", **same))[0] == 0
    assert site.install(token(sub="lic_worse", **changes), force=True)[0] == 0
    assert site.place.read_text() == token(sub="lic_worse", **changes) + "\n"


def test_an_older_one_of_the_same_license_takes_force(site: Site) -> None:
    """Its issuer has said something else since; what another license was issued for is no older."""
    site.install(token())
    status, told = site.install(token(iat=NOW - 60))
    assert (status, "was issued earlier" in told) == (1, True)
    assert site.install(token(iat=NOW - 60, sub="lic_another"))[0] == 0


def test_anything_is_better_than_what_has_ended(site: Site) -> None:
    """A license in grace is displaced by any that has not ended."""
    site.install(token(sub="lic_old"))
    site.hands.advance(HOUR + 60)
    assert site.held().status.name == "GRACE"
    small = token(sub="lic_small", iat=NOW + HOUR, exp=NOW + 2 * HOUR, features=[], limits={})
    assert site.install(small)[0] == 0
    assert site.held().license_id == "lic_small"


def test_without_keys_nothing_is_decided(tmp_path: Path) -> None:
    """Exit status 2, and nothing is changed."""
    site = Site(tmp_path, **REMOTE)
    assert site.install(token())[0] == 2
    assert not site.place.exists()


def test_what_is_in_place_may_be_undecided(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put in the place of what may be better; exit status 2."""

    def undecided() -> Any:
        raise LicenseUnavailable("status:unreachable")
        yield

    site.install(token())
    assert site.gate.installation is not None
    with monkeypatch.context() as patch:
        patch.setattr(site.gate.installation, "held", undecided)
        assert site.install(token(sub="lic_new"))[0] == 2
        assert site.install(token(sub="lic_forced"), force=True)[0] == 0
    assert site.held().license_id == "lic_forced"


def test_what_cannot_be_done_is_told(tmp_path: Path) -> None:
    """No file to write to, none to read from, no directory; exit status 2 each."""
    assert Site(tmp_path, license="env:ACME_LICENSE").install(token())[0] == 2
    missing = Site(tmp_path, license=f"file:{tmp_path}/nowhere/license.jwt")
    assert missing.install(token()) == (
        2,
        "The license file cannot be written (FileNotFoundError).",
    )
    assert install(missing.gate, str(tmp_path / "none")).status == 2


def test_a_link_is_replaced_and_not_followed(site: Site, tmp_path: Path) -> None:
    """What it led to stays as it was."""
    other = tmp_path / "other"
    other.write_text("precious")
    site.place.symlink_to(other)
    assert site.install(token())[0] == 0
    assert not site.place.is_symlink()
    assert other.read_text() == "precious"


def test_who_else_must_read_it_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one user puts into the place of another's file only that user can read."""
    assert "nobody else can" not in site.install(token())[1]
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    status, told = site.install(token())
    assert (status, "nobody else can" in told) == (0, True)
    site.place.unlink()
    assert "nobody else can" in site.install(token())[1]


def test_what_is_no_text_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """From standard input as from a file: exit status 2 or 1, and never a trace."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8"))
    assert install(site.gate, "-") == (2, "The license cannot be read (UnicodeDecodeError).")
    site.brought.write_bytes(b"\xff\xfe")
    assert install(site.gate, str(site.brought)).status == 1


@pytest.mark.parametrize("mode", ["report", "off"])
def test_nothing_bad_is_put_into_place_in_any_mode(tmp_path: Path, mode: str) -> None:
    """What is not enforced yet will be; a good license is installed."""
    site = Site(tmp_path, mode=mode)
    assert site.install("rubbish")[0] == 1
    assert not site.place.exists()
    assert site.install(token())[0] == 0


def test_a_license_may_be_typed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(token(sub="lic_typed") + "\n"))
    assert install(site.gate, "-").status == 0
    assert site.held().license_id == "lic_typed"
