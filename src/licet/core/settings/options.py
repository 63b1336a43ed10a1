"""What kind of value a setting takes: how it is checked, and how the environment spells it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from licet.core.errors import ConfigError
from licet.core.token import strictjson

# Lone surrogates as well: they stand for bytes of the environment that are no text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
#: Members of a JSON document in the settings: a key set may be among them.
MAX_MEMBERS = 5_000


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    Args:
        check: `(name, value)` to the value as it is kept; raises `ConfigError`.
        read: what an environment variable's text means, before `check`; raises ValueError.
        example: what to write, for the remedy of an unreadable text.
    """

    check: Callable[[str, Any], Any]
    read: Callable[[str], Any] = str
    example: str = "text"


class Options:
    """A dataclass of settings: a keyword nobody knows is a `ConfigError` that names the nearest.

    Raises:
        ConfigError: an unknown keyword.
    """

    if not TYPE_CHECKING:  # pragma: no branch - type checkers read the signature of `__init__`

        def __new__(cls, *arguments: Any, **options: Any) -> Any:
            known = [each.name for each in fields(cls)]
            for name in options:
                if name not in known:
                    raise unknown(name, known)
            return super().__new__(cls)


def unknown(name: str, known: Collection[str], *, likeness: float = 0.6) -> ConfigError:
    """Return the error for a `name` that is none of the `known` ones; it names the nearest.

    Args:
        name: what was written.
        known: what could have been written.
        likeness: how near that must be to be named, 0…1.
    """
    near = get_close_matches(name.lower(), known, n=1, cutoff=likeness)
    remedy = f"did you mean {near[0]} (LICET_{near[0].upper()})?" if near else "see the README"
    return ConfigError(name, "is no setting", remedy)


def option(default: Any, kind: Kind, *, secret: bool = False) -> Any:
    """Return a dataclass field with a default and a kind; a secret stays out of `repr`."""
    return field(default=default, repr=not secret, metadata={"kind": kind})


def optional(kind: Kind) -> Kind:
    """Return `kind` with None beside it; an empty environment variable means None."""
    return Kind(
        lambda name, value: None if value is None else kind.check(name, value),
        lambda text: kind.read(text) if text else None,
        kind.example,
    )


def text(*, check: Callable[[str, str], str] | None = None, strip: bool = False) -> Kind:
    """Return the kind of non-empty text without control characters; `strip` trims it first."""

    def checked(name: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(name, "is empty or no text", "write a non-empty string")
        value = value.strip() if strip else value
        if _CONTROL.search(value):
            raise ConfigError(name, "contains a control character", "remove CR, LF and the like")
        return check(name, value) if check else value

    return Kind(checked)


def texts(*, check: Callable[[str, str], str] | None = None, empty: bool = False) -> Kind:
    """Return the kind of several texts, without repetition; `empty` allows none at all."""
    one = text(check=check)

    def checked(name: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)):
            raise ConfigError(name, "is not a list", "write a list or tuple of strings")
        values = tuple(one.check(name, entry) for entry in value)
        if not values and not empty:
            raise ConfigError(
                name, "is an empty list, which is not 'no restriction'", "name at least one"
            )
        if len(set(values)) != len(values):
            raise ConfigError(name, "repeats an entry", "name each once")
        return values

    def read(value: str) -> tuple[str, ...]:
        return tuple(entry.strip() for entry in value.split(",")) if value.strip() else ()

    return Kind(checked, read, "comma-separated texts")


def number(low: float, high: float, *, whole: bool = False, unit: str = "seconds") -> Kind:
    """Return the kind of finite numbers from `low` to `high`; bool is none of them."""
    types = (int,) if whole else (int, float)

    def checked(name: str, value: Any) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, types)
            or (isinstance(value, float) and not math.isfinite(value))
        ):
            what = "a whole number" if whole else "a finite number"
            raise ConfigError(name, f"is not {what}", f"write {what} of {unit}")
        if not low <= value <= high:
            # Without the value: it may have more digits than can be shown.
            raise ConfigError(
                name, "is out of range", f"write a number of {unit} from {low:.12g} to {high:.12g}"
            )
        return value

    return Kind(checked, int if whole else _number, "a number")


def _number(value: str) -> float:
    return int(value) if value.strip().lstrip("-").isdecimal() else float(value)


def _flag(value: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[value.strip().lower()]


def _checked_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(name, "is not a boolean", "write True or False")
    return value


FLAG = Kind(_checked_flag, _flag, "true, false, 1 or 0")


def choice(*values: str) -> Kind:
    """Return the kind of one out of `values`."""

    def checked(name: str, value: Any) -> str:
        if value not in values:
            raise ConfigError(name, "is unknown", f"write one of {', '.join(values)}")
        return str(value)

    return Kind(checked)


def mapping(*, check: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] | None = None) -> Kind:
    """Return the kind of mappings; JSON in the environment."""

    def checked(name: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise ConfigError(name, "is not a mapping", "write a dict")
        return check(name, value) if check else value

    return Kind(checked, json_object, "a JSON object")


def json_object(value: str) -> dict[str, Any]:
    """Return the JSON object that `value` spells; ValueError where it has not one reading."""
    return strictjson.loads(value.encode(), max_members=MAX_MEMBERS)


def host(name: str, value: str) -> str:
    """Return `value` in lower case if it is a host alone: a name or an address.

    Raises:
        ConfigError: it is something else, a URL or a host with a port for instance.
    """
    try:
        # `ip_address` takes any text for the zone of an address.
        alone = bool(re.fullmatch(r"[\w.-]+", value, re.ASCII)) or bool(
            ip_address(value).version == 6 and re.fullmatch(r"[\w.:%-]+", value, re.ASCII)
        )
    except ValueError:
        alone = False
    if not alone:
        raise ConfigError(name, f"holds {value!r}", "write a host without scheme, port and path")
    return value.lower()


def url(name: str, value: str, *, http_hosts: tuple[str, ...] = (), setting: str = "") -> str:
    """Return `value` if it is an absolute https URL that names nothing but a place.

    Args:
        name: the setting at fault if it is not.
        value: the URL.
        http_hosts: hosts allowed to be reached over plain http; loopback always is.
        setting: the setting that lists such hosts, for the remedy.

    Raises:
        ConfigError: another scheme, user information, a fragment, no host, or odd characters.
    """
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(name, "is not a URL", "write https://host/path") from None
    # Visible ASCII only: `urlsplit` looks past some control characters and keeps the others.
    if not re.fullmatch(r"[!-~]+", value) or "\\" in value or not host:
        raise ConfigError(name, "is not a URL", "write https://host/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ConfigError(name, "has user information or a fragment", "remove it")
    if parts.scheme == "https" or (parts.scheme == "http" and (host in http_hosts or _local(host))):
        return value
    remedy = f", or list the host in {setting}" if setting else ""
    raise ConfigError(name, "is not https", f"use https (http only for loopback){remedy}")


def _local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
