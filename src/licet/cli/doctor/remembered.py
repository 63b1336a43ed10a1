"""Whether this machine's clock is one by which an installation's license can hold.

What the state has seen of the time is read as the application reads it, and left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from licet.cli.doctor.finding import Finding, Kind
from licet.cli.moments import span
from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import ConfigError
from licet.core.installation.mark import BEHIND, last_seen
from licet.core.installation.state import FILE, State
from licet.core.settings import Settings
from licet.core.stores import StoreUnavailable

CLOCK_BEHIND = Kind(
    "clock_behind_state",
    "fault",
    f"set this machine's clock by NTP; if it is right, remove {FILE} from license_state, which"
    " forgets what was withdrawn as well",
)
UNREADABLE = Kind(
    "state_unreadable",
    "unchecked",
    "run it as the user that the application runs as, and see that license_state is theirs alone",
)


def examine(settings: Settings, now: float) -> Iterator[Finding]:
    """Hold the clock against what was seen of the time.

    Args:
        settings: where it is kept.
        now: wall time, seconds since the epoch.
    """
    directory = settings.license_state
    # Nothing is made here that is not there.
    if settings.license is None or directory is None or not (Path(directory) / FILE).exists():
        return
    try:
        seen = flow.run(last_seen(State(str(directory), SYSTEM_CLOCK, lambda kind: None)))
    except (ConfigError, StoreUnavailable, OSError) as error:
        yield UNREADABLE(f"license_state cannot be read ({type(error).__name__})")
        return
    if seen is not None and seen.doubt(now) in BEHIND:
        behind = span(seen.seen - now)
        yield CLOCK_BEHIND(f"the clock is {behind} behind the latest time that license_state saw")
