"""What the environment says and Licet does not heed, where that may be why something failed.

Names of variables are shown and never their values: a proxy's may hold a password.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from licet.cli.doctor import connection, tls
from licet.cli.doctor.finding import Finding, Kind

PROXY = Kind(
    "environment_proxy",
    "warning",
    "have this machine reach the server directly: Licet uses no proxy",
)
AUTHORITIES = Kind(
    "environment_authorities",
    "warning",
    "name the file of your own authority in LICET_TLS_CA_FILE: Licet heeds nothing else",
)

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_UNCONNECTED = frozenset(
    {
        connection.NO_SUCH_HOST,
        connection.NO_RESOLVER,
        connection.SLOW_RESOLVER,
        connection.REFUSED,
        connection.TIMEOUT,
        connection.UNREACHABLE,
    }
)
_DISTRUSTED = frozenset({tls.SELF_SIGNED, tls.INCOMPLETE, tls.UNTRUSTED})


def examine(found: Collection[Kind]) -> Iterator[Finding]:
    """Find what the environment promises in vain.

    Args:
        found: what was found at the servers.
    """
    proxies = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    if proxies and not _UNCONNECTED.isdisjoint(found):
        yield PROXY(f"the environment names a proxy ({', '.join(proxies)}) to no effect")
    trusted = [name for name in _AUTHORITIES if os.environ.get(name)]
    if trusted and not _DISTRUSTED.isdisjoint(found):
        yield AUTHORITIES(f"the environment names authorities ({', '.join(trusted)}) to no effect")
