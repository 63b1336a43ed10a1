"""The vendor's commands for a license server: each speaks with it over HTTP, as anybody could.

`options` says where it is and what opens it, `connection` asks, `answers` reads what comes back;
the others are one command each, or one group of them.
"""

from __future__ import annotations

from licet.cli.admin import audit, keys, licenses, validation_keys, webhooks

#: In the order in which help lists them.
COMMANDS = (licenses, keys, validation_keys, webhooks, audit)
