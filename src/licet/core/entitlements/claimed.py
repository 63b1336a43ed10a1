"""The claims of a license as a view may read them: all that was signed, and read-only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from licet.core.token import base64url, strictjson

#: The claims of no license.
NO_CLAIMS: Mapping[str, object] = MappingProxyType({})


def frozen(value: Any) -> Any:
    """Return a JSON value that cannot be changed."""
    if isinstance(value, dict):
        return MappingProxyType({name: frozen(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(map(frozen, value))
    return value


def claims_of(credential: bytes) -> Mapping[str, object]:
    """Return the claims of a license token that was verified."""
    claims: Mapping[str, object] = frozen(
        strictjson.loads(base64url.decode(credential.split(b".")[1]))
    )
    return claims
