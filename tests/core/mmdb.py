"""Makes small databases in MaxMind's format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def write(path: Path, records: Mapping[str, Any], *, version: int = 6) -> Path:
    """Write a database to `path` by renaming a finished file over it, as MaxMind's updater does.

    Args:
        path: where it stands afterwards.
        records: network to what the database knows of it.
        version: 6 for both kinds of addresses, 4 for IPv4 only.
    """
    writer = MMDBWriter(version, "Test-City", ["en"], "test", ipv4_compatible=version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    made = path.with_suffix(".made")
    writer.to_db_file(str(made))
    return made.replace(path)


def place(country: object, *parts: object) -> dict[str, Any]:
    """Return a record as city databases have them."""
    record: dict[str, Any] = {
        "continent": {"code": "XX"},
        "country": {"iso_code": country, "names": {"en": "Somewhere"}},
        "registered_country": {"iso_code": "ZZ"},
    }
    if parts:
        record["subdivisions"] = [{"iso_code": part} for part in parts]
    return record
