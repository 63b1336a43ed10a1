"""Whether the settings pin the key that a server has, and how that key would be pinned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography.exceptions import UnsupportedAlgorithm

from licet.cli.doctor.finding import Finding, Kind
from licet.core.tls import pin_of, pins_of
from licet.core.tls.pins import matches

PINNED = Kind("tls_pin_ok", "ok")
NOT_PINNED = Kind("tls_pin_none", "ok")
MISMATCH = Kind(
    "tls_pin_mismatch",
    "fault",
    "if this is your server and its key was changed on purpose, put that pin into LICET_TLS_PINS; "
    "else somebody stands in between",
)


def examine(certificate: bytes, pins: Sequence[str]) -> Iterator[Finding]:
    """Hold a server's key against the pinned ones.

    Args:
        certificate: the server's, in DER.
        pins: of the settings; none where nothing is pinned.
    """
    try:
        pin = pin_of(certificate)
    except (ValueError, UnsupportedAlgorithm):
        pin = "of a kind that cannot be pinned"
    if not pins:
        yield NOT_PINNED(f"no key is pinned; the pin of this server's is {pin}")
    elif matches(certificate, pins_of(pins, single=True)):
        yield PINNED("its key is one of those pinned")
    else:
        yield MISMATCH(f"its key is none of those pinned; its pin is {pin}")
