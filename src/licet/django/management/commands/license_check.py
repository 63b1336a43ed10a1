"""`manage.py license_check`: does the license hold, by the settings of this project?

    manage.py license_check                  the installation's license
    manage.py license_check --token -        a license from standard input
    manage.py license_check --json           the same, for programs

Exit status: 0 the license holds, or the settings do and there is no installation license to
judge; 1 the license does not hold; 2 that cannot be told: the settings cannot work, the keys
cannot be had, or the arguments are wrong. `only_for` says for which requests it holds, where these
are not all. With `LICET_MODE = "report"` it is also told how often what would have been refused,
by this project's processes where `LICET_STORE` is shared.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from licet.core import verdict
from licet.core.errors import ConfigError
from licet.django.conf import licensing


class Command(BaseCommand):
    """Judges a license and says what it entitles to."""

    help = (
        "Check the license of this installation, or a given one. "
        "Exit status: 0 it holds, 1 it does not, 2 that cannot be told."
    )
    requires_system_checks = ()  # settings that cannot work are an answer of this command

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare `--token` and `--json`."""
        parser.add_argument("--token", help="judge this license; - reads it from standard input")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Judge, print, and end with the exit status."""
        try:
            found = verdict.judge(licensing().gate, options["token"])
        except ConfigError as error:
            members = {"code": "config_error", "detail": str(error)}
            found = verdict.Verdict(None, 2, members)
        if options["json"]:
            self.stdout.write(json.dumps(found.document))
        elif not found.status:
            self.stdout.write("\n".join(found.lines))
        if found.status:
            if not options["json"]:
                self.stdout.write("\n".join(found.summary))
            reason = f": {found.members['reason']}" if "reason" in found.members else ""
            raise CommandError(
                f"{found.members.get('detail', 'The license does not hold.')}"
                f" ({found.members.get('code', 'license_expired')}{reason})",
                returncode=found.status,
            )
