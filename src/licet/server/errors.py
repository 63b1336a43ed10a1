"""Why the license server does not start."""

from __future__ import annotations

from licet.core.errors import LicetError


class ServerError(LicetError):
    """The license server cannot run as it is set up.

    Args:
        problem: what is wrong, without a full stop.
        remedy: what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem
        self.remedy = remedy
