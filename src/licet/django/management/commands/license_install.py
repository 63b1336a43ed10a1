"""`manage.py license_install`: puts a license into the file that `LICET_LICENSE` names.

    manage.py license_install license.jwt
    manage.py license_install -                  from standard input
    manage.py license_install --force FILE       also where the license in place is better

The license is judged first, by the settings of this project; what does not hold changes nothing.
The file is replaced whole, and readable by its owner alone (0600).

Exit status: 0 it is in place; 1 it is refused; 2 that cannot be told or done: the settings cannot
work or name no file, the keys cannot be had, the file cannot be written.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from licet.core.errors import ConfigError
from licet.core.installation.install import install
from licet.django.conf import licensing


class Command(BaseCommand):
    """Verifies a license and puts it into place."""

    help = (
        "Verify a license and put it into the file that LICET_LICENSE names. "
        "Exit status: 0 it is in place, 1 it is refused, 2 that cannot be told or done."
    )
    requires_system_checks = ()  # a project without a license must be able to get one

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the file and `--force`."""
        parser.add_argument("file", help="the license; - reads it from standard input")
        parser.add_argument(
            "--force", action="store_true", help="also where the license in place is better"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Install, say what came of it, and end with the exit status."""
        try:
            gate = licensing().gate
        except ConfigError as error:
            raise CommandError(str(error), returncode=2) from None
        found = install(gate, options["file"], force=options["force"])
        if found.status:
            raise CommandError(found.told, returncode=found.status)
        self.stdout.write(found.told)
