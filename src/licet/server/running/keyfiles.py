"""API keys that a start makes, and where it listens, in files that only their owner may use.

A key is shown once, to who makes it. Here that is the server itself, so that it leaves the key
where whoever started it finds it: next to the private keys, and to nobody who has not got those.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from licet.core import files
from licet.issuer.signing import ExposedError, contents
from licet.server.access.apikeys import ApiKeys, Kind
from licet.server.errors import ServerError

#: In the data directory.
ADMIN, DEV, ADDRESS = "admin-key", "dev-keys.json", "address"
_DEV_KINDS: tuple[Kind, ...] = ("admin", "validation")


def admin_key(api_keys: ApiKeys, data: Path, *, renew: bool = False) -> Path | None:
    """Make an admin key where nobody has one, in the file `admin-key`, which holds it alone.

    Args:
        api_keys: of the server.
        data: its directory.
        renew: make one in any case, and revoke all others once it is in the file.

    Returns:
        the file, None where no key was made.

    Raises:
        ServerError: it cannot be written.
        StorageError: the database took no key.
    """
    path = data / ADMIN
    earlier = _live(api_keys, "admin")
    # A start that ended before it left the key in the file has made one that nobody has.
    is_held = path.exists() or any(each["used_at"] for each in api_keys.listing("admin"))
    if earlier and is_held and not renew:
        return None
    made = api_keys.create("admin", "licet serve")
    try:
        _write(path, f"{made.key}\n")
    except ServerError:
        # Nobody has it, and the next start shall make one that somebody has.
        api_keys.revoke(made.id)
        raise
    for key_id in earlier:
        api_keys.revoke(key_id)
    return path


def leave_address(data: Path, url: str) -> None:
    """Say in the file `address` where the server is, so that no key is shown to another one.

    Raises:
        ServerError: it cannot be written.
    """
    _write(data / ADDRESS, f"{url}\n")


def dev_keys(api_keys: ApiKeys, data: Path, *, renew: bool = False) -> dict[str, str]:
    """Return the two keys of `--dev`, the same at every start, from `dev-keys.json`.

    Args:
        api_keys: of the server.
        data: its directory.
        renew: make another admin key in any case, and revoke all others.

    Returns:
        `admin_key` and `validation_key`.

    Raises:
        ServerError: the file can be used by others, is damaged, or cannot be written.
        StorageError: the database took no key.
    """
    path = data / DEV
    kept = _read(path)
    earlier = _live(api_keys, "admin")
    keys: dict[str, str] = {}
    for kind in _DEV_KINDS:
        key = kept.get(f"{kind}_key")
        again = renew and kind == "admin"
        if again or not _is_live(api_keys, kind, key):
            key = api_keys.create(kind, "licet serve --dev").key
        keys[f"{kind}_key"] = str(key)
    if keys != kept:
        _write(path, json.dumps(keys, indent=1) + "\n")
    if renew:
        for key_id in earlier:
            api_keys.revoke(key_id)
    return keys


def _live(api_keys: ApiKeys, kind: Kind) -> list[str]:
    return [str(each["id"]) for each in api_keys.listing(kind) if each["revoked_at"] is None]


def _is_live(api_keys: ApiKeys, kind: Kind, key: object) -> bool:
    # By its id, which it begins with: to look it up as a caller's would record a use.
    return isinstance(key, str) and any(
        key.startswith(f"{key_id}_") for key_id in _live(api_keys, kind)
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = contents(path, 64 * 1024)
    except FileNotFoundError:
        return {}
    except ExposedError as error:
        problem = f"{path} holds keys, and {error}"
        remedy = f"run chmod 600 {path}, or remove it: it is made anew"
        raise ServerError(problem, remedy) from None
    except OSError as error:
        raise ServerError(f"{path} cannot be read ({error.strerror})", "make it yours") from None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ServerError(f"{path} holds no keys", "remove it: it is made anew")
    return document


def _write(path: Path, text: str) -> None:
    try:
        files.replace(path, text.encode("ascii"))
    except OSError as error:
        raise ServerError(
            f"{path} cannot be written ({error.strerror})", "let this user write there"
        ) from None
