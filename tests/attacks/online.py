"""Rows I, and what a license server's answers become, on real servers through every adapter.

An adapter's test file subclasses `OnlineRequestContract` beside its own way of serving.
"""

from __future__ import annotations

from tests.attacks.online_answers import Answers
from tests.attacks.online_outages import Outages
from tests.attacks.online_places import Places
from tests.attacks.online_revocations import Revocations
from tests.attacks.online_verdicts import Verdicts


class OnlineContract(Verdicts, Answers, Outages, Revocations):
    """The suite."""


class OnlineRequestContract(Places, OnlineContract):
    """The suite, with what only requests have: a host, and an installation that covers them."""
