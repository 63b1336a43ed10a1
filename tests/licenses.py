"""One issuer for the whole suite, its licenses, and the ways in which a token can be bad."""

from __future__ import annotations

import time
from typing import Any

from licet.core.token import base64url
from licet.issuer import Issuer

ISSUER_NAME = "https://licenses.acme.example"
AUDIENCE = "acme-reports"

ISSUER = Issuer.generate(ISSUER_NAME)
#: Signs in the same name, with keys that nobody published.
FORGER = Issuer.generate(ISSUER_NAME)

#: Settings that find the issuer's keys without a network.
OPTIONS: dict[str, Any] = {
    "issuer": ISSUER_NAME,
    "audience": AUDIENCE,
    "jwks": ISSUER.jwks(),
    "jwks_url": None,
}


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good license; a change to None removes the claim."""
    now = int(time.time())
    whole = {
        "iss": ISSUER_NAME,
        "aud": AUDIENCE,
        "sub": "lic_1",
        "iat": now,
        "exp": now + 3600,
        "plan": "professional",
        "features": ["analytics"],
        "limits": {"seats": 10},
        "scope": "reports:read",
        "roles": ["admin"],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def license_token(issuer: Issuer = ISSUER, **changes: Any) -> str:
    """Return a license signed by `issuer`, good but for `changes`."""
    return issuer.sign(claims(**changes))


def expired(**changes: Any) -> str:
    """Return a license that ended a day ago."""
    now = int(time.time())
    return license_token(iat=now - 2 * 86_400, exp=now - 86_400, **changes)


def tampered(token: str) -> str:
    """Return `token` with one more feature in its payload, under the old signature."""
    head, payload, signature = token.split(".")
    changed = base64url.decode(payload.encode()).replace(b'"analytics"', b'"analytics","all"')
    return f"{head}.{base64url.encode(changed).decode()}.{signature}"


#: What each must be refused as `license_invalid`, to the byte alike.
INVALID = {
    "forged": lambda: license_token(FORGER),
    "tampered": lambda: tampered(license_token()),
    "wrong audience": lambda: license_token(aud="another-product"),
    "wrong issuer": lambda: license_token(iss="https://evil.example"),
    "wrong type": lambda: ISSUER.sign(claims(), header={"typ": "at+jwt"}),
    "opaque": lambda: "ABCD-EFGH-1234",
    "constraint not supported": lambda: ISSUER.sign(claims(status={"status_list": {"idx": 1}})),
    "constraint malformed": lambda: ISSUER.sign(claims(domains=[])),
    "without end": lambda: license_token(exp=None),
}
