"""By which settings the doctor looks, and what is wrong with them.

Where no issuer is named there are no settings to speak of, and what is looked at is judged by the
usual ones. Of values nothing is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509

from licet.cli import settings
from licet.cli.doctor.certificate import DAY, RENEWED
from licet.cli.doctor.finding import Finding, Kind
from licet.cli.moments import told
from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import ConfigError
from licet.core.settings import Settings

UNUSABLE = Kind("settings_unusable", "fault")
USABLE = Kind("settings_ok", "ok")
NOT_GIVEN = Kind(
    "settings_not_given",
    "unchecked",
    "set LICET_ISSUER and LICET_AUDIENCE, or give --issuer and --audience, as the application has",
)
NO_CREDENTIALS = Kind(
    "settings_no_credentials",
    "warning",
    "set LICET_VALIDATION_CREDENTIALS to the key that the vendor gave to this application",
)
PLAIN_HTTP = Kind(
    "settings_plain_http",
    "warning",
    "use https there: whoever stands in between can say what the keys are",
)

CLIENT_CERTIFICATE = Kind(
    "settings_client_certificate_ends",
    "warning",
    "put the next certificate in its place; it is loaded within a second",
)
REPORTING = Kind(
    "settings_mode_report",
    "warning",
    "see what `manage.py license_check` or `flask license check` counts, then remove LICET_MODE",
)
OFF = Kind("settings_mode_off", "warning", "remove LICET_MODE")

#: Stands for whoever issues and buys, where nobody said who that is.
_NOBODY = {"LICET_ISSUER": "https://issuer.invalid", "LICET_AUDIENCE": "anything"}
_WHOSE = ("LICET_ISSUER", "LICET_ISSUERS", "LICET_SETTINGS")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is looked by.

    Args:
        settings: those given, or the usual ones.
        given: whether they are those of the application, its issuer and product among them.
        findings: what is wrong with them.
    """

    settings: Settings
    given: bool
    findings: list[Finding]


def read(arguments: argparse.Namespace) -> Chosen:
    """Return the settings of the options, else of the environment, else the usual ones.

    Raises:
        ConfigError: an option names a setting that there is not.
        Failed: options contradict each other.
    """
    variables = settings.variables(arguments)
    ours = {name: value for name, value in variables.items() if name.startswith("LICET_")}
    given = any(name in ours for name in _WHOSE)
    try:
        made = Settings.from_env(ours if given else {**ours, **_NOBODY})
    except ConfigError as error:
        found = [UNUSABLE(f"{error.setting} {error.problem}", error.remedy)]
        # The rest is still worth a look.
        return Chosen(Settings.from_env(_NOBODY), False, found)
    if not given:
        found = [NOT_GIVEN("no issuer is named, so what is found is judged by the usual settings")]
        return Chosen(made, False, found)
    return Chosen(made, True, [USABLE("the settings can be used"), *_unwise(made)])


def _unwise(made: Settings) -> Iterator[Finding]:
    if made.mode == "report":
        yield REPORTING("mode is report: licenses are judged, and everything passes")
    elif made.mode == "off":
        yield OFF("mode is off: no license is looked at, and everything passes")
    for issuer, one in made.by_issuer.items():
        if one.validation_url is not None and one.validation_credentials is None:
            yield NO_CREDENTIALS(
                f"validation_url of {issuer} is set without validation_credentials"
            )
    if made.tls_client_cert is not None:
        with open(made.tls_client_cert, "rb") as file:
            own = x509.load_pem_x509_certificates(file.read())[0]
        end, now = own.not_valid_after_utc.timestamp(), SYSTEM_CLOCK.wall()
        if end - now < RENEWED * DAY:
            yield CLIENT_CERTIFICATE(f"the certificate in tls_client_cert ends {told(end, now)}")
    if made.insecure_http_hosts:
        hosts = ", ".join(made.insecure_http_hosts)
        yield PLAIN_HTTP(f"insecure_http_hosts lets plain http be spoken with {hosts}")
