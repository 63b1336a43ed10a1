"""`licet doctor URL`: what it says and does not say, and what it leaves alone."""

from __future__ import annotations

import json

from tests.commands import licet
from tests.core.jwks import ed25519
from tests.core.loopback import Request, reply
from tests.doctor.ward import APPLICATION, JWKS, Ward, good, served
from tests.licenses import AUDIENCE, ISSUER_NAME, license_token


def test_what_is_well(ward: Ward) -> None:
    """With nothing wrong the status is 0, and what was looked at is said."""
    said = licet("doctor", ward.serve(good), *APPLICATION)
    assert said.status == 0
    assert said.out.endswith("\nnothing wrong was found\n")
    assert "its clock and this machine's agree" in said.out
    assert "looking at http://127.0.0.1" in said.err


def test_what_was_found_until_ctrl_c(ward: Ward) -> None:
    """Each thing is shown as it is found, so that whoever waits no longer has what there is."""

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    ward.patch.setattr("licet.cli.doctor.examination.tell", interrupted)
    said = licet("doctor", ward.serve(good), *APPLICATION)
    assert said.status == 130
    assert "the settings can be used" in said.out


def test_what_is_not(ward: Ward) -> None:
    """Each thing that is wrong stands on a line with `!` and its code, its remedy below it."""
    said = licet("doctor", ward.serve(served(ETag=None, content_type="text/html")))
    assert said.status == 1
    lines = said.out.splitlines()
    for start in ("! FAULT keys_content_type: ", "! caching_no_etag: ", "? not checked: settings_"):
        [line] = [number for number, line in enumerate(lines) if line.startswith(start)]
        assert lines[line + 1].startswith("    remedy: ")
    assert lines[-1] == "1 fault, 1 warning, 1 thing not checked"


def test_a_stranger_does_not_steer_the_terminal(ward: Ward) -> None:
    """Key ids, addresses and claims come out as escapes where they are not printable."""
    evil = "\x1b[2J\u202e\nevil"
    keys = {"keys": [ed25519("k") | {"kid": evil}]}
    token = license_token(iss=evil, aud=evil).encode()
    url = ward.serve(served(json.dumps(keys).encode(), content_type="text/\x1b[2J"))
    said = licet("doctor", url, *APPLICATION, "--jwks-url", url, "--token", "-", stdin=token)
    assert said.status == 1
    assert said.out.replace("\n", "").isprintable()
    assert said.err.replace("\n", "").isprintable()
    assert not any(line.startswith("evil") for line in said.out.splitlines())


def test_a_stranger_does_not_fill_the_terminal(ward: Ward) -> None:
    """Whatever is found, a line of it has an end."""
    token = license_token(aud="a" * 3000)
    url = ward.serve(good)
    said = licet("doctor", url, *APPLICATION, "--token", "-", stdin=token.encode())
    assert max(map(len, said.out.splitlines())) < 800


def test_a_secret_in_an_address_is_not_shown(ward: Ward) -> None:
    """What stands behind `?` is left out."""
    url = ward.serve(good, f"{JWKS}?key=CANARY")
    for options in ((), ("--json",)):
        said = licet("doctor", url, *options)
        assert "keys_ok" in said.out or "can be used" in said.out
        assert "CANARY" not in said.out + said.err


def test_nothing_is_sent_that_is_acted_on(ward: Ward) -> None:
    """Only GET, the license to nobody, and our key to the endpoint that it is for alone."""
    log: list[Request] = []

    def answer(request: Request) -> bytes:
        log.append(request)
        return served() if request.target == JWKS else reply(401)

    origin, token = ward.own(answer), license_token()
    ward.by_environment(
        origin + JWKS,
        {
            "issuer": ISSUER_NAME,
            "audience": AUDIENCE,
            "jwks_url": origin + JWKS,
            "validation_url": origin + "/validate",
            "validation_credentials": "lvk_CANARY",
        },
        "--token",
        "-",
        stdin=token.encode(),
    )
    licet("doctor", "--json", "--token", "-", stdin=token.encode())
    assert {request.method for request in log} == {"GET"}
    assert {one.target for one in log if "authorization" in one.headers} == {"/validate"}
    sent = "".join(f"{one.target} {one.headers} {one.body!r}" for one in log)
    assert token not in sent
    assert token.rpartition(".")[2] not in sent
