"""The license of an installation: found, kept, and replaced by nothing that does not hold."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from licet.core import flow
from licet.core.entitlements import Entitlements, Status
from licet.core.errors import (
    FeatureNotLicensed,
    InstallationUnlicensed,
    KeysUnavailable,
    LicenseAmbiguous,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseNotActive,
    LicenseRejected,
    LicenseRevoked,
    LicenseUnavailable,
    LimitExceeded,
)
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.installation import source as module
from licet.core.installation.license import unlicensed
from licet.core.installation.source import LicenseSource
from licet.core.settings import Settings
from licet.issuer import Issuer
from tests.core.hands import Hands
from tests.core.test_gate import NOW, REMOTE, Facts, Served, token
from tests.licenses import FORGER, ISSUER, ISSUER_NAME, OPTIONS


class Counted:
    """The file system calls of the module under test, counted."""

    def __init__(self) -> None:
        self.stats = 0
        self.environ = os.environ
        self.fsencode = os.fsencode

    def stat(self, path: str) -> os.stat_result:
        self.stats += 1
        return os.stat(path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """How often the module asked the file system."""
    counted = Counted()
    monkeypatch.setattr(module, "os", counted)
    return counted


@pytest.fixture
def hands() -> Hands:
    """A clock to move."""
    return Hands(wall=NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the license file is to be."""
    return tmp_path / "license.jwt"


class Deployment:
    """One process with an installation license."""

    def __init__(
        self, hands: Hands, place: str | Path, served: Served | None = None, **options: Any
    ) -> None:
        setting = f"file:{place}" if isinstance(place, Path) else place
        self.gate = Gate(
            # Grace is claimed where lives are; here an end is an end.
            Settings(**{**OPTIONS, "grace_period": 0, **options, "license": setting}),
            clock=hands.clock,
            transport=served or Served(),
        )
        self.denied: list[str | None] = []
        self.gate.events.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        if event.name == "license.denied":
            self.denied.append(str(event.data["reason"]))

    def ask(self) -> Entitlements:
        """Return the entitlements of a request, from memory where that will do, as adapters do."""
        assert self.gate.installation is not None
        held = self.gate.installation.recall()
        if held is not None:
            entitlements = self.gate.admit(*held, "", lambda facts: facts, Facts())
            assert entitlements is not None
            return entitlements
        return flow.run(self.gate.decide(Facts()))

    def id(self) -> str:
        """Return the license a request is served under."""
        return self.ask().license_id

    def error(self) -> object:
        """Return why a request is refused."""
        with pytest.raises(InstallationUnlicensed) as caught:
            self.ask()
        assert list(caught.value.members) == ["error"]
        return caught.value.members["error"]


def write(path: Path, credential: bytes, *, mtime: int | None = None) -> None:
    """Replace the file as careful programs do, by renaming."""
    beside = path.with_suffix(".new")
    beside.write_bytes(credential)
    if mtime is not None:
        os.utime(beside, ns=(mtime, mtime))
    beside.rename(path)


# -- where it stands -----------------------------------------------------------------------------


@pytest.mark.parametrize("around", [b"%b", b"\n  %b\r\n\n", b"%b\n"], ids=ascii)
def test_a_file_holds_it(hands: Hands, path: Path, around: bytes) -> None:
    """White space around it does not count."""
    path.write_bytes(around % token(sub="lic_file"))
    entitlements = Deployment(hands, path).ask()
    assert (entitlements.license_id, entitlements.source) == ("lic_file", "")
    assert entitlements.claims["plan"] == "professional"


def test_the_setting_itself_holds_it(hands: Hands, calls: Counted) -> None:
    """As text it is never looked for anywhere."""
    deployment = Deployment(hands, f" {token(sub='lic_text').decode()} ")
    for _ in range(3):
        assert deployment.id() == "lic_text"
        hands.advance(100)
    assert calls.stats == 0


def test_the_environment_holds_it(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is read when it is needed, and again at most once a second."""
    deployment = Deployment(hands, "env:ACME_LICENSE")
    assert deployment.error() == "missing"
    monkeypatch.setenv("ACME_LICENSE", f"{token(sub='lic_env').decode()}\n")
    assert deployment.error() == "missing"
    hands.advance(1)
    assert deployment.id() == "lic_env"


@pytest.mark.parametrize("setting", ["rubbish", "a.b.c", "\N{SNOWMAN}", "http://x"])
def test_text_that_is_no_license(hands: Hands, setting: str) -> None:
    """Any other text is a license, if only an invalid one."""
    assert Deployment(hands, setting).error() == "invalid"


@pytest.mark.parametrize("setting", ["file:/nowhere/at/all", "env:ACME=LICENSE"])
def test_places_where_nothing_is(hands: Hands, setting: str) -> None:
    """A place that cannot exist is one where nothing is."""
    assert Deployment(hands, setting).error() == "missing"


@pytest.mark.parametrize("content", [b"", b" \n", None, b"directory"], ids=str)
def test_a_file_without_a_license_is_missing(
    hands: Hands, path: Path, content: bytes | None
) -> None:
    """No file, an empty one, one that cannot be read: the log says which, the answer does not."""
    if content == b"directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    deployment = Deployment(hands, path)
    assert deployment.error() == "missing"
    reason = {None: "missing:FileNotFoundError", b"directory": "missing:IsADirectoryError"}
    assert deployment.denied == [reason.get(content, "missing")]


def test_a_huge_file_is_not_read_whole(hands: Hands, path: Path) -> None:
    """A wrong path costs bounded memory and is no license."""
    with path.open("wb") as file:
        file.truncate(1 << 40)
    source = LicenseSource(f"file:{path}", hands.clock)
    assert len(source.read() or b"") == module.MAX_FILE
    assert Deployment(hands, path).error() == "invalid"


# -- looking again -------------------------------------------------------------------------------


def test_a_file_is_looked_at_once_a_second(hands: Hands, path: Path, calls: Counted) -> None:
    """However many requests come, there is one `stat` a second, and none in between."""
    write(path, token())
    deployment = Deployment(hands, path)
    for second in range(1, 4):
        for _ in range(10):
            assert deployment.id() == "lic_1"
            hands.advance(0.05)
        assert calls.stats == second
        hands.advance(0.5)


def test_a_missing_file_is_looked_for_once_a_second(
    hands: Hands, path: Path, calls: Counted
) -> None:
    """Nothing there is an answer that holds for a second too."""
    deployment = Deployment(hands, path)
    for _ in range(5):
        assert deployment.error() == "missing"
    assert calls.stats == 1
    write(path, token())
    assert deployment.error() == "missing"
    hands.advance(1)
    assert deployment.id() == "lic_1"
    assert calls.stats == 2


def test_a_new_license_is_taken_without_a_restart(hands: Hands, path: Path) -> None:
    """Within a second of the replacement, in every process on its own."""
    write(path, token(sub="lic_old"))
    workers = [Deployment(hands, path), Deployment(hands, path)]
    assert [worker.id() for worker in workers] == ["lic_old", "lic_old"]
    write(path, token(sub="lic_new"))
    hands.advance(0.9)
    assert [worker.id() for worker in workers] == ["lic_old", "lic_old"]
    hands.advance(0.1)
    for worker in workers:
        entitlements = worker.ask()
        assert (entitlements.license_id, entitlements.claims["sub"]) == ("lic_new", "lic_new")
        assert worker.denied == []


def test_a_mounted_secret_is_swapped_by_its_link(hands: Hands, tmp_path: Path) -> None:
    """Kubernetes replaces a link to a directory: same name, same size, same time of writing."""
    for name in ("lic_a", "lic_b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "license", token(sub=name), mtime=10**18)
    data = tmp_path / "..data"
    data.symlink_to("lic_a")
    path = tmp_path / "license"
    path.symlink_to("..data/license")
    deployment = Deployment(hands, path)
    assert deployment.id() == "lic_a"
    beside = tmp_path / "..data_tmp"
    beside.symlink_to("lic_b")
    beside.rename(data)
    hands.advance(1)
    assert deployment.id() == "lic_b"


def test_a_file_written_in_place_is_seen(hands: Hands, path: Path) -> None:
    """The same file with other content is a change by its size or its time."""
    path.write_bytes(token(sub="lic_a"))
    deployment = Deployment(hands, path)
    assert deployment.id() == "lic_a"
    path.write_bytes(token(sub="lic_b"))
    os.utime(path, ns=(10**18, 10**18))
    hands.advance(1)
    assert deployment.id() == "lic_b"


def test_an_unchanged_file_is_not_read_again(
    hands: Hands, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `stat` that says what the last one said spares the reading."""
    write(path, token())
    deployment = Deployment(hands, path)
    assert deployment.id() == "lic_1"

    def no_reading(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(module, "open", no_reading, raising=False)
    hands.advance(1)
    assert deployment.id() == "lic_1"


def test_requests_that_come_first_wait_for_the_file(
    hands: Hands, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread reads it for the first time, no other is told that it is missing."""
    write(path, token())
    deployment = Deployment(hands, path)
    reading, go_on = threading.Event(), threading.Event()

    class Slow(Counted):
        def stat(self, path: str) -> os.stat_result:
            if not reading.is_set():
                reading.set()
                assert go_on.wait(10)
            return super().stat(path)

    monkeypatch.setattr(module, "os", Slow())
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(deployment.id()))
    thread.start()
    assert reading.wait(10)
    assert deployment.id() == "lic_1"
    go_on.set()
    thread.join(10)
    assert seen == ["lic_1"]


def test_a_slow_look_holds_up_only_its_own_request(
    hands: Hands, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once something is known, one thread looks and the others go on with what is known."""
    write(path, token(sub="lic_old"))
    deployment = Deployment(hands, path)
    assert deployment.id() == "lic_old"
    write(path, token(sub="lic_new"))
    hands.advance(1)
    reading, go_on = threading.Event(), threading.Event()

    class Slow(Counted):
        def stat(self, path: str) -> os.stat_result:
            reading.set()
            assert go_on.wait(10)
            return super().stat(path)

    monkeypatch.setattr(module, "os", Slow())
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(deployment.id()))
    thread.start()
    assert reading.wait(10)
    assert deployment.id() == "lic_old"
    go_on.set()
    thread.join(10)
    assert seen == ["lic_new"]


def test_the_slower_of_two_looks_does_not_stick(
    hands: Hands, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read and the state of the file it was read in belong together: all is seen again."""
    write(path, token(sub="lic_old"))
    source = LicenseSource(f"file:{path}", hands.clock)
    arrived, go_on = threading.Event(), threading.Event()

    class Slow(Counted):
        def stat(self, path: str) -> os.stat_result:
            status = super().stat(path)
            if not arrived.is_set():
                arrived.set()
                assert go_on.wait(10)
            return status

    monkeypatch.setattr(module, "os", Slow())
    thread = threading.Thread(target=source.read)
    thread.start()
    assert arrived.wait(10)
    new = token(sub="lic_new")
    write(path, new)
    assert source.read() == new
    go_on.set()
    thread.join(10)
    hands.advance(1)
    assert source.read() == new


# -- what replaces it, and what does not ---------------------------------------------------------

BAD: dict[str, tuple[bytes | None, str]] = {
    "removed": (None, ""),
    "empty": (b"", ""),
    "rubbish": (b"rubbish", "not_a_jws"),
    "half a license": (token()[:-46], "bad_signature"),
    "forged": (token(FORGER), "unknown_kid:"),
    "of another product": (token(aud="other"), "bad_audience"),
    "of another issuer": (token(iss="https://evil.example"), "bad_issuer"),
    "expired": (token(iat=NOW - 7200, exp=NOW - 3600), "expired"),
    "not active": (token(nbf=NOW + 600), "not_yet_valid"),
    "bound to a holder": (token(cnf={"jkt": "A" * 43}), "bound"),
}


@pytest.mark.parametrize("name", BAD)
def test_nothing_bad_displaces_a_good_one(hands: Hands, path: Path, name: str) -> None:
    """The good one serves on, and the log learns once a second what is wrong with the other."""
    content, reason = BAD[name]
    write(path, token(sub="lic_good"))
    deployment = Deployment(hands, path)
    assert deployment.id() == "lic_good"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for second in range(1, 4):
        hands.advance(1)
        for _ in range(3):
            assert deployment.id() == "lic_good"
        told = second if reason else 0
        assert len(deployment.denied) == told
        assert all(str(each).startswith(reason) for each in deployment.denied)
    write(path, token(sub="lic_better"))
    hands.advance(1)
    assert deployment.id() == "lic_better"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("rubbish", "invalid"),
        ("expired", "expired"),
        ("not active", "not_active"),
        ("bound to a holder", "invalid"),
    ],
)
def test_a_fresh_process_says_what_is_wrong(
    hands: Hands, path: Path, name: str, error: str
) -> None:
    """Where no good one was ever seen there is only the bad one to speak of."""
    path.write_bytes(BAD[name][0] or b"")
    deployment = Deployment(hands, path)
    assert [deployment.error() for _ in range(3)] == [error] * 3


def test_an_expired_license_is_renewed_in_place(hands: Hands, path: Path) -> None:
    """When the end comes requests are refused, and served again once the file is renewed."""
    write(path, token(sub="lic_old"))
    deployment = Deployment(hands, path)
    assert deployment.id() == "lic_old"
    hands.advance(3630)
    assert [deployment.error(), deployment.error()] == ["expired", "expired"]
    write(path, token(sub="lic_new", iat=NOW + 3600, exp=NOW + 7200))
    hands.advance(1)
    assert deployment.id() == "lic_new"


def test_the_answer_does_not_waver(hands: Hands, path: Path) -> None:
    """With the good one ended and a bad one in its place, each request is told of the bad one."""
    write(path, token())
    deployment = Deployment(hands, path)
    assert deployment.id() == "lic_1"
    path.write_bytes(b"rubbish")
    hands.advance(3630)
    seen = set()
    for _ in range(8):
        seen.add(deployment.error())
        hands.advance(0.3)
    assert seen == {"invalid"}


def test_a_license_not_active_yet_takes_over_when_it_is(hands: Hands, path: Path) -> None:
    """A replacement is tried again each second, although its file does not change."""
    write(path, token(sub="lic_now"))
    deployment = Deployment(hands, path)
    assert deployment.id() == "lic_now"
    write(path, token(sub="lic_next", nbf=NOW + 600))
    hands.advance(1)
    assert deployment.id() == "lic_now"
    hands.wall = NOW + 570
    assert deployment.id() == "lic_now", "tried within this second"
    hands.advance(1)
    assert deployment.id() == "lic_next"


# -- undecided -----------------------------------------------------------------------------------


def test_keys_out_of_reach_are_undecided(hands: Hands) -> None:
    """Neither yes nor no is 503 and not 402, for as long as it lasts."""
    served = Served()
    deployment = Deployment(hands, token().decode(), served, **REMOTE)
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            deployment.ask()
    served.jwks = ISSUER.jwks
    hands.advance(2)
    assert deployment.id() == "lic_1"


def test_an_undecided_replacement_displaces_nothing(hands: Hands, path: Path) -> None:
    """While nobody can tell whether it is good, the good one serves."""
    served, later = Served(ISSUER.jwks), Issuer.generate(ISSUER_NAME)
    write(path, token(sub="lic_good"))
    deployment = Deployment(hands, path, served, **REMOTE)
    assert deployment.id() == "lic_good"
    served.jwks = None
    write(path, token(later, sub="lic_later"))
    for _ in range(3):
        hands.advance(1)
        assert deployment.id() == "lic_good"
    served.jwks = later.jwks
    hands.advance(40)
    assert deployment.id() == "lic_later"


def test_undecided_is_no_no(hands: Hands, path: Path) -> None:
    """A good one that cannot be judged at the moment is not given up for a bad replacement."""
    served = Served(ISSUER.jwks)
    write(path, token())
    deployment = Deployment(hands, path, served, **REMOTE, jwks_max_stale=0)
    assert deployment.id() == "lic_1"
    served.jwks = None
    path.write_bytes(b"rubbish")
    hands.advance(101)
    for _ in range(3):
        with pytest.raises(LicenseUnavailable):
            deployment.ask()


# -- what requests see ---------------------------------------------------------------------------


def test_a_request_can_present_nothing(hands: Hands) -> None:
    """No source is looked at: what a request carries neither helps nor harms."""
    deployment = Deployment(hands, token(sub="lic_installed").decode())
    text = token(sub="lic_presented").decode()
    for facts in (Facts(authorization=f"Bearer {text}"), Facts(authorization="Bearer a, Bearer b")):
        assert flow.run(deployment.gate.decide(facts)).license_id == "lic_installed"


def test_features_keep_their_own_answer(hands: Hands) -> None:
    """What the installation's license does not name is 403, as anywhere."""
    with pytest.raises(FeatureNotLicensed):
        Deployment(hands, token().decode()).ask().require("sso")


def test_the_end_during_a_request_is_402_too(hands: Hands) -> None:
    """Nobody at the client can present something better, so it is not told to (401)."""
    entitlements = Deployment(hands, token().decode()).ask()
    entitlements.require("analytics")
    hands.advance(3630)
    with pytest.raises(InstallationUnlicensed) as caught:
        entitlements.require("analytics")
    assert caught.value.members == {"error": "expired"}


def test_where_no_license_is_required_none_is_missed(hands: Hands, path: Path) -> None:
    """`required=False`: without a license it runs unlicensed, with a bad one it does not run."""
    deployment = Deployment(hands, path, required=False)
    entitlements = deployment.ask()
    assert entitlements.status is Status.UNLICENSED
    with pytest.raises(InstallationUnlicensed) as caught:
        entitlements.require("analytics")
    assert caught.value.members == {"error": "missing"}
    assert deployment.denied == []
    path.write_bytes(b"rubbish")
    hands.advance(1)
    assert deployment.error() == "invalid"
    write(path, token())
    hands.advance(1)
    assert deployment.id() == "lic_1"


def test_exempt_requests_know_why(hands: Hands, path: Path) -> None:
    """The page that mends the license can be reached, and can say what is wrong."""
    gate = Deployment(hands, path).gate
    with pytest.raises(InstallationUnlicensed):
        gate.peek(Facts()).require()
    write(path, token())
    hands.advance(1)
    assert gate.peek(Facts()).license_id == "lic_1"


def test_it_works_without_a_cache(hands: Hands) -> None:
    """Every request is judged, and served."""
    gate = Deployment(hands, token().decode(), grant_cache_size=0).gate
    assert gate.installation is not None
    for _ in range(2):
        assert gate.installation.recall() is None
        assert flow.run(gate.decide(Facts())).license_id == "lic_1"


# -- the words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (LicenseInvalid("bad_signature"), "invalid"),
        (LicenseExpired("bad_signature"), "expired"),
        (LicenseNotActive("bad_signature"), "not_active"),
        (LicenseRevoked("bad_signature"), "revoked"),
        (LicenseRevoked("bad_signature", code="license_suspended"), "suspended"),
        (LicenseRejected("bad_signature"), "rejected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_no_is_402_and_says_why(error: LicenseError, word: str) -> None:
    """The words are those of the specification; the reason goes on to the log."""
    answer = unlicensed(error)
    assert isinstance(answer, InstallationUnlicensed)
    assert (answer.members, answer.reason) == ({"error": word}, "bad_signature")


@pytest.mark.parametrize(
    "error",
    [LicenseUnavailable(retry_after=9), KeysUnavailable(), LimitExceeded(), LicenseAmbiguous()],
    ids=lambda error: type(error).__name__,
)
def test_other_answers_stay_what_they_are(error: LicenseError) -> None:
    """Undecided, used up and malformed keep status and members, as new errors without a trace."""
    answer = unlicensed(error)
    assert answer is not error
    assert (type(answer), answer.__dict__) == (type(error), error.__dict__)
