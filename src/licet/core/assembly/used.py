"""What counts what licenses use."""

from __future__ import annotations

from collections.abc import Callable

from licet.core.assembly.surroundings import Surroundings
from licet.core.errors import LicenseError
from licet.core.stores import open_store
from licet.core.transport import Transport
from licet.core.usage.counting import Counting
from licet.core.usage.ledger import Ledger
from licet.core.usage.metering.courier import Courier
from licet.core.usage.metering.meter import Meter
from licet.core.usage.metering.spool import MemorySpool, Spool

#: Sums that wait to be reported, each of a license, a name and an hour.
SPOOLED = 100_000


def ledger(
    around: Surroundings,
    refuse: Callable[[LicenseError], None],
    as_refusal: Callable[[Exception], LicenseError],
) -> Ledger:
    """Return what counts for the licenses of a gate.

    Args:
        around: where is counted, over which period, and where it is told that a limit is used up.
        refuse: what becomes of a limit that is used up, where nothing is enforced.
        as_refusal: from whatever went wrong to the refusal that it is.

    Raises:
        ConfigError: the store cannot be used.
    """
    settings, clock = around.settings, around.clock
    return Ledger(
        Counting(
            open_store(around.store, clock),
            clock,
            locally=settings.on_store_outage == "count_locally",
        ),
        clock,
        around.bus,
        period=settings.limit_period,
        refuse=refuse,
        is_enforced=settings.mode == "enforce",
        as_refusal=as_refusal,
        meter=_meter(around),
    )


def _meter(around: Surroundings) -> Meter | None:
    """Return what tells the vendor what is used; None where nobody is to be told."""
    settings, clock = around.settings, around.clock
    if settings.usage_url is None or settings.mode == "off":
        return None
    store = open_store(settings.store, clock)
    spool: Spool = MemorySpool(SPOOLED)
    # Here, because most stores need no SQLite.
    if settings.store.startswith("sqlite:"):
        from licet.core.stores.sqlite import SQLiteStore
        from licet.core.usage.metering.filed import SQLiteSpool

        if isinstance(store, SQLiteStore):
            spool = SQLiteSpool(store, SPOOLED)
    credentials = {name: one.validation_credentials for name, one in settings.by_issuer.items()}
    transport = Transport(around.tls, keep_alive=1)
    return Meter(spool, Courier(settings.usage_url, credentials, spool, transport, clock), clock)
