"""Cases: license servers and what they say to an application, and its settings."""

from __future__ import annotations

from typing import Any

from tests.commands import Said
from tests.core.loopback import Request, reply
from tests.doctor.table import shows
from tests.doctor.ward import APPLICATION, KEY_SET, Ward, confirming, served
from tests.licenses import AUDIENCE, ISSUER_NAME, license_token

KEY = "lvk_CANARY"


# -- license servers -------------------------------------------------------------------------------


@shows("server_ok")
def healthy(ward: Ward) -> Said:
    return ward.visit(ward.own(lambda request: health(request, 200)))


@shows("server_unhealthy")
def unhealthy(ward: Ward) -> Said:
    return ward.visit(ward.own(lambda request: health(request, 503)))


def health(request: Request, status: int) -> bytes:
    """Serve the issuer's keys, and how the server is."""
    if request.target == "/healthz":
        return reply(status, b"{}", "application/json")
    return confirming(request, served())


def named(ward: Ward, url: str, **settings: object) -> Said:
    """Have an address looked at by the settings of an application that names it."""
    application = {"issuer": ISSUER_NAME, "audience": AUDIENCE, "jwks_url": ward.serve(served())}
    return ward.by_environment(url, {**application, **settings})


def asked(ward: Ward, url: str) -> Said:
    """Have the endpoint of questions looked at."""
    return named(ward, url, validation_url=url, validation_credentials=KEY)


def guarded(known: str) -> Any:
    """Return an endpoint that takes this key, and no GET."""

    def answer(request: Request) -> bytes:
        return reply(405 if request.headers.get("authorization") == f"Bearer {known}" else 401)

    return answer


@shows("credentials_ok")
def known_here(ward: Ward) -> Said:
    return asked(ward, ward.serve(guarded(KEY), "/validate"))


@shows("credentials_refused")
def unknown_here(ward: Ward) -> Said:
    return asked(ward, ward.serve(guarded("another"), "/validate"))


@shows("credentials_unchecked")
def indifferent(ward: Ward) -> Said:
    return asked(ward, ward.serve(reply(405), "/validate"))


@shows("endpoint_not_found")
def no_endpoint(ward: Ward) -> Said:
    return asked(ward, ward.serve(reply(404), "/validate"))


@shows("webhook_not_found")
def nobody_to_tell(ward: Ward) -> Said:
    return telling(ward, 404)


def telling(ward: Ward, status: int) -> Said:
    """Have the address looked at that events go to."""
    url = ward.serve(reply(status), "/CANARY")
    return named(ward, url, webhook_url=url, webhook_secret="whsec_" + "A" * 32)


# -- settings --------------------------------------------------------------------------------------


@shows("settings_ok")
def sensible(ward: Ward) -> Said:
    url = ward.serve(served())
    return ward.visit(url, *APPLICATION, "--jwks-url", url)


@shows("settings_unusable")
def senseless(ward: Ward) -> Said:
    return ward.visit(ward.serve(served()), *APPLICATION, "--set", "leeway=CANARY")


@shows("settings_not_given")
def silent_about_it(ward: Ward) -> Said:
    return ward.visit(ward.serve(served()))


@shows("settings_no_credentials")
def anonymous(ward: Ward) -> Said:
    url = ward.serve(reply(401), "/validate")
    return ward.visit(url, *APPLICATION, "--set", f"validation_url={url}")


@shows("settings_plain_http")
def exposed(ward: Ward) -> Said:
    url = ward.serve(served())
    insecure = "insecure_http_hosts=licenses.internal"
    return ward.visit(url, *APPLICATION, "--jwks-url", url, "--set", insecure)


@shows("settings_mode_report")
def only_looking(ward: Ward) -> Said:
    url = ward.serve(served())
    return ward.visit(url, *APPLICATION, "--jwks-url", url, "--set", "mode=report")


@shows("settings_mode_off")
def looking_away(ward: Ward) -> Said:
    url = ward.serve(served())
    return ward.visit(url, *APPLICATION, "--jwks-url", url, "--set", "mode=off")


@shows("settings_no_gate")
def no_regions(ward: Ward) -> Said:
    return ward.checked(
        ward.serve(served()), license_token(), "--set", "region_database=/none/such.mmdb"
    )


@shows("license_undecided")
def nobody_answers(ward: Ward) -> Said:
    url = ward.serve(reply(405), "/validate")
    return ward.by_environment(
        url,
        {
            "issuer": ISSUER_NAME,
            "audience": AUDIENCE,
            "jwks_url": "http://127.0.0.1:1/jwks.json",
            "validation_url": url,
            "validation_jwks": _file(ward),
            "license_key_pattern": "lic_[A-Z0-9]+",
        },
        "--token",
        "-",
        stdin=b"lic_CANARY",
    )


def _file(ward: Ward) -> str:
    path = ward.directory / "jwks.json"
    path.write_bytes(KEY_SET)
    return str(path)
