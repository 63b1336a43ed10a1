"""By which settings a command judges: those of the environment, or those that its options spell.

Never by both: what an option does not say would else be what somebody once exported.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from licet.cli.output import Failed

if TYPE_CHECKING:
    from licet.core.settings import Settings


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options for settings to those of a command."""
    group = parser.add_argument_group("settings, in the place of those in the environment")
    group.add_argument("--issuer", metavar="URL", help="who has to have issued it")
    group.add_argument(
        "--audience", metavar="PRODUCT", help="what it has to be for; commas separate several"
    )
    group.add_argument(
        "--jwks", metavar="FILE", help="the issuer's public key set; without --jwks-url no other"
    )
    group.add_argument(
        "--jwks-url",
        metavar="URL",
        help="where the key set is; the issuer with /.well-known/jwks.json where not given",
    )
    group.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="any other setting, as the environment spells its value: leeway=0; no secrets, which "
        "belong into the environment",
    )
    group.add_argument(
        "--settings", metavar="PATH", help="instead: the dotted path of a licet.Settings"
    )


def read(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the options, or else of the environment.

    Raises:
        ConfigError: they cannot work.
        Failed: options contradict each other.
    """
    from licet.core.settings import Settings

    return Settings.from_env(variables(arguments))


def variables(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the variables that the options spell, or else those of the environment.

    Raises:
        ConfigError: an option names a setting that there is not.
        Failed: options contradict each other.
    """
    options = _options(arguments)
    if arguments.settings is not None:
        if options:
            raise Failed(
                "--settings stands alone", "give it without --issuer, --audience, --jwks and --set"
            )
        options = {"LICET_SETTINGS": arguments.settings}
    environ = options or dict(os.environ)
    if "LICET_SETTINGS" in environ and "" not in sys.path:
        # As `python -m licet` has it: settings in code are found where the command is typed.
        sys.path.insert(0, "")
    return environ


def _options(arguments: argparse.Namespace) -> dict[str, str]:
    """Return what the options say, as the environment would."""
    from licet.core.settings import Settings
    from licet.core.settings.options import unknown

    given = {name: getattr(arguments, name) for name in ("issuer", "audience", "jwks", "jwks_url")}
    if given["jwks"] is not None and given["jwks_url"] is None:
        given["jwks_url"] = ""
    options = {name: value for name, value in given.items() if value is not None}
    known = Settings.__dataclass_fields__.keys()
    for entry in arguments.set:
        name, sign, value = entry.partition("=")
        name = name.strip().lower().removeprefix("licet_")
        if name not in known:
            # The environment may have names of others; these options have none.
            raise unknown(name, known)
        if not sign or name in options:
            raise Failed(
                f"--set {name} says nothing, or something else than another option",
                f"write --set {name}=VALUE, once",
            )
        options[name] = value
    return {f"LICET_{name.upper()}": value for name, value in options.items()}
