"""What the dialects send: a POST to the server's endpoint, with what it knows us by."""

from __future__ import annotations

from licet.core.online.question import LicenseServer
from licet.core.transport import Request


def post(server: LicenseServer, body: str, *, content_type: str, accept: str) -> Request:
    """Return a request with `body`, in ASCII, and the server's credentials (RFC 6750)."""
    headers = {"content-type": content_type, "accept": accept}
    if server.credentials is not None:
        headers["authorization"] = f"Bearer {server.credentials}"
    return Request("POST", server.url, headers, body.encode("ascii"))
