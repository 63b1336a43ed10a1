"""A license for a test, and what counts its use: signed and read by the same code as real ones."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from licet.core.clock import SYSTEM_CLOCK
from licet.core.gates import every_gate
from licet.core.stores import open_store
from licet.core.stores.memory import MemoryStore
from licet.issuer import Issuer

ISSUER = "https://licenses.test"
AUDIENCE = "licet-test"
HOUR = 3600.0


@functools.cache
def license_issuer() -> Issuer:
    """Return the issuer of this test run. To test rotation make one with `Issuer.generate`."""
    return Issuer.generate(ISSUER)


def license_settings(issuer: Issuer | None = None) -> dict[str, Any]:
    """Return the options with which any adapter accepts the licenses of `issuer`, offline.

    Args:
        issuer: whose; that of `license_issuer` where not given.
    """
    issuer = issuer or license_issuer()
    return {"issuer": issuer.name, "audience": AUDIENCE, "jwks": issuer.jwks(), "jwks_url": None}


def make_license(
    features: Iterable[str] = (),
    *,
    expires_in: float = HOUR,
    issuer: Issuer | None = None,
    **arguments: Any,
) -> str:
    """Sign a license for `license_settings`.

    Args:
        features: what it grants.
        expires_in: seconds from now; a negative number makes one that has ended. With `grace`
            it still serves for so many seconds after its end.
        issuer: who signs; that of `license_issuer` where not given.
        **arguments: as `Issuer.issue` takes them; by default for `AUDIENCE`, with the license
            id `lic_test`. `cnf={"jkt": key.jkt}` binds it to a `ProofKey`; `domains=["testserver"]`
            makes it hold for that host alone, which Django's test client names only if told to:
            `client.get(path, headers={"host": "testserver"})`. For `ip_ranges` Starlette's client
            needs an address: `TestClient(app, client=("127.0.0.1", 50000))`.

    Raises:
        ValueError: no gate would accept it. To sign that too there is `Issuer.sign`.
    """
    if expires_in <= 0:
        # Grace is never longer than what a license was issued for.
        whole = max(HOUR, arguments.get("grace") or 0)
        arguments.setdefault("issued_at", SYSTEM_CLOCK.wall() + expires_in - whole)
        expires_in = whole
    license_of = {"audience": AUDIENCE, "subject": "lic_test", **arguments}
    return (issuer or license_issuer()).issue(
        features=features, expires_in=expires_in, **license_of
    )


def forget_usage() -> None:
    """Begin to count anew what licenses use in this process (`store="memory://"`).

    With pytest it is done before each test; elsewhere call it there, as in `setUp`.
    """
    store = open_store("memory://")
    if isinstance(store, MemoryStore):
        store.forget_used()
    for gate in every_gate():
        ledger = gate._standing.usage
        if ledger is not None:
            ledger.latest.forget()
