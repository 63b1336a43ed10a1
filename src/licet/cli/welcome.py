"""What `licet serve --dev` tells people: a first license, and the settings of an application."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

#: What the license keys of the server look like.
KEYS = "lic_[A-Za-z0-9_-]{43}"
_LICENSE = {"customer": "Example GmbH", "features": ["analytics"], "limits": {"apiCalls": 1000}}


def text(told: Mapping[str, str], data: Path) -> str:
    """Return it.

    Args:
        told: `url`, `issuer`, `audience`, `admin_key` and `validation_key`.
        data: the directory of the server.
    """
    url = told["url"]
    settings = {"LICET_ISSUER": told["issuer"], "LICET_AUDIENCE": told["audience"]}
    if told["issuer"].rstrip("/") != url.rstrip("/"):
        # The issuer is from the first start; this one is elsewhere.
        settings["LICET_JWKS_URL"] = f"{url}/.well-known/jwks.json"
        settings["LICET_STATUS_ORIGINS"] = url
    asking = {
        "LICET_VALIDATION_URL": f"{url}/v1/licenses/validate",
        "LICET_VALIDATION_CREDENTIALS": told["validation_key"],
        "LICET_LICENSE_KEY_PATTERN": KEYS,
    }
    return f"""\
The license server is at {url}, on this machine alone. Ctrl-C ends it; everything
is kept in {data}.

A first license:

  curl {url}/v1/licenses -H "Authorization: Bearer {told["admin_key"]}" \\
    -H "Content-Type: application/json" -d {shlex.quote(json.dumps(_LICENSE))}

or licet licenses issue --data {shlex.quote(str(data))} --feature analytics

For an application, which then takes the licenses of this server:

{_exports(settings)}

and for it to ask this server about license keys, and whether a license still holds:

{_exports(asking)}
"""


def _exports(settings: Mapping[str, str]) -> str:
    return "\n".join(f"  export {name}={shlex.quote(each)}" for name, each in settings.items())
