"""Settings as users write them: a framework's configuration, the environment, or keywords.

One table, several spellings; sources are never merged, and a name nobody knows is an error,
because a misspelt restriction would restrict nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from licet.core.errors import ConfigError
from licet.core.settings.options import unknown
from licet.core.settings.settings import Settings

PREFIX = "LICET_"
_FIELDS = {each.name: each for each in fields(Settings)}
#: Variables that are no settings: commands read them (`licet serve`, `licet licenses`).
_OF_COMMANDS = frozenset(("server", "admin_key", "server_passphrase"))

logger = logging.getLogger("licet")


def from_options(settings: Settings | None, options: Mapping[str, Any]) -> Settings:
    """Return the settings of a middleware: a `Settings`, or its fields as keywords.

    Raises:
        ConfigError: both, or an unknown name.
    """
    if settings is None:
        return Settings(**options)
    if not isinstance(settings, Settings):
        raise ConfigError("settings", "is no licet.Settings", "pass Settings(…), or keywords")
    if options:
        raise ConfigError("settings", "is given together with options", "give one of the two")
    return settings


def from_mapping(mapping: Mapping[str, Any]) -> Settings:
    """Return the settings among the `LICET_…` entries of a framework's configuration.

    `LICET_SETTINGS`, the dotted path of a `Settings` built in code, stands alone: what a vendor
    built there is not overridden by what the operator of an installation writes beside it.

    Raises:
        ConfigError: an unknown name, or a value that cannot work.
    """
    options = _by_field(mapping)
    built = _built(options)
    return Settings(**options) if built is None else built


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings among the `LICET_…` environment variables.

    Tuples are comma-separated, mappings are JSON, booleans are `true`, `false`, `1` or `0`.

    Args:
        environ: instead of the process's own environment.

    Raises:
        ConfigError: a value that cannot be read or cannot work, or a name within two edits of a
            known one. Names further off are somebody else's and only warned about.
    """
    environ = os.environ if environ is None else environ
    texts = _by_field(environ)
    built = _built(texts)
    if built is not None:
        return built
    for name in texts.keys() - _FIELDS.keys() - _OF_COMMANDS:
        near = next((known for known in _FIELDS if _within_two_edits(name, known)), None)
        if near is not None:
            raise unknown(name, [near], likeness=0)
        logger.warning("the environment variable %s%s is no setting", PREFIX, name.upper()[:64])
    return Settings(**{name: _read(name, texts[name]) for name in texts.keys() & _FIELDS.keys()})


def _by_field(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `LICET_…` entries by the field they spell."""
    options = {}
    for name, value in mapping.items():
        if isinstance(name, str) and name.startswith(PREFIX):
            field = name.removeprefix(PREFIX).lower()
            if name != PREFIX + field.upper() and field in (*_FIELDS, "settings"):
                # Two spellings of one field could say two things.
                raise unknown(name.removeprefix(PREFIX), [field])
            options[field] = value
    return options


def _read(name: str, text: str) -> Any:
    # `audience` is one text or several; the file of `jwks` is named, never written out.
    kind = _FIELDS[name].metadata["kind"]
    try:
        return kind.read(text)
    except (ValueError, KeyError):
        raise ConfigError(name, "cannot be read", f"write {kind.example}") from None


def _built(options: Mapping[str, Any]) -> Settings | None:
    """Return the settings that `LICET_SETTINGS` names, if it is there."""
    path = options.get("settings")
    if path is None:
        return None
    if len(options) > 1:
        logger.warning("LICET_SETTINGS stands alone; other LICET_ settings beside it are ignored")
    if isinstance(path, Settings):
        return path
    module, _, name = str(path).rpartition(".")
    try:
        built = getattr(import_module(module), name)
    except ConfigError:
        raise  # What is wrong with the settings that stand there.
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            "settings", f"cannot be imported ({error})", "write the dotted path of a licet.Settings"
        ) from error
    if not isinstance(built, Settings):
        raise ConfigError("settings", "names no licet.Settings", "build one with Settings(…)")
    return built


def _within_two_edits(one: str, other: str) -> bool:
    """Whether two insertions, deletions or replacements at most lead from `one` to `other`."""
    if abs(len(one) - len(other)) > 2:
        return False
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (left != right))
    return row[-1] <= 2
