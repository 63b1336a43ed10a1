"""How TLS is spoken with servers: versions, suites, authorities, pinned keys, our certificate.

`context` makes what connections are made with, `contexts` keeps it in step with files, `pins`,
`suites` and `files` check settings, `failure` names what went wrong.
"""

from __future__ import annotations

from licet.core.tls.context import TlsOptions, client_context
from licet.core.tls.contexts import Contexts
from licet.core.tls.failure import TlsError, TlsFailure, classify
from licet.core.tls.files import client_certificate
from licet.core.tls.pins import pin_of, pins_of
from licet.core.tls.suites import ciphers

__all__ = [
    "Contexts",
    "TlsError",
    "TlsFailure",
    "TlsOptions",
    "ciphers",
    "classify",
    "client_certificate",
    "client_context",
    "pin_of",
    "pins_of",
]
