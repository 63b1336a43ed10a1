"""Everything about one license: in itself, by the settings, by the keys served, and as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from licet.cli.doctor import fit, judgement, needs
from licet.cli.doctor import license as licenses
from licet.cli.doctor.chosen import Chosen
from licet.cli.doctor.finding import OUT_OF_TIME, UNREACHED, Finding, Kind
from licet.cli.doctor.patience import OutOfTime, Patience
from licet.cli.findings import Reading
from licet.cli.output import tell
from licet.core.clock import SYSTEM_CLOCK
from licet.core.installation.source import LicenseSource
from licet.core.keys.jwk import KeySet
from licet.core.settings import Settings

OPAQUE = Kind(
    "license_opaque",
    "unchecked",
    "set LICET_VALIDATION_URL, or --set validation_url=…: only the license server knows of it",
)
MISSING = Kind("license_missing", "fault", "put the license there, or correct LICET_LICENSE")
PATH = Kind("license_is_a_path", "fault", "write LICET_LICENSE=file:PATH")
#: Seconds that the core may take for a judgement.
JUDGED_WITHIN = 10.0


def installed(settings: Settings) -> bytes | Finding | None:
    """Return the license of the installation, None where its settings name none."""
    if settings.license is None:
        return None
    if os.path.isfile(settings.license.removeprefix("@")):
        return PATH("what the settings give as the license is the path of a file")
    source = LicenseSource(settings.license, SYSTEM_CLOCK)
    found = source.read()
    if found is None:
        why = f" ({source.trouble})" if source.trouble else ""
        return MISSING(f"there is no license where the settings say{why}")
    return found


class Served(NamedTuple):
    """What came of the servers.

    Attributes:
        keys: the sets they serve, by issuer.
        failed: whether there was a fault at one.
    """

    keys: Mapping[str, KeySet]
    failed: bool


def examine(
    credential: bytes,
    reading: Reading | None,
    chosen: Chosen,
    served: Served,
    patience: Patience,
    now: float,
) -> Iterator[Finding]:
    """Find what is wrong with a license.

    Args:
        credential: the license.
        reading: what it says; None where it is no token.
        chosen: the settings.
        served: what came of the servers.
        patience: how long it may take.
        now: wall time, seconds since the epoch.
    """
    found = []
    if reading is not None:
        found = list(_token(credential, reading, chosen, served, now))
    elif not any(one.validation_url for one in chosen.settings.by_issuer.values()):
        yield OPAQUE("it is no token, and nobody is set who could be asked")
        return
    yield from found
    if chosen.given and not any(finding.severity == "fault" for finding in found):
        yield _judged(credential, chosen, served, patience)


def _token(
    credential: bytes, reading: Reading, chosen: Chosen, served: Served, now: float
) -> Iterator[Finding]:
    settings, claims = chosen.settings, reading.claims
    yield from licenses.itself(reading)
    yield from licenses.size(reading, settings)
    if claims is None:
        return
    yield from licenses.times(claims, now, settings)
    if chosen.given:
        yield from fit.by_settings(reading, settings)
        yield from needs.examine(claims, settings)
    # Without settings whatever was looked at is taken for its issuer's.
    issuer = claims.get("iss") if chosen.given else next(iter(settings.by_issuer))
    keys = served.keys.get(issuer) if isinstance(issuer, str) else None
    if keys is not None:
        yield from fit.by_keys(credential, keys)


def _judged(credential: bytes, chosen: Chosen, served: Served, patience: Patience) -> Finding:
    if served.failed:
        return UNREACHED("whether it holds, for want of what was to be had above")
    try:
        enough = patience.left(JUDGED_WITHIN) >= JUDGED_WITHIN
    except OutOfTime:
        enough = False
    if not enough:
        return OUT_OF_TIME("the time is over; the license was not judged as a whole")
    tell("judging the license as a whole")
    return judgement.judge(credential, chosen.settings)
