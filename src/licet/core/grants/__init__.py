"""Grants: licenses whose verification held, what they say may be used, and where they are kept."""

from licet.core.grants.cache import GrantCache, GrantStats
from licet.core.grants.grant import Fixed, Grant, enforced, nothing
from licet.core.grants.terms import UNLIMITED, Terms

__all__ = [
    "UNLIMITED",
    "Fixed",
    "Grant",
    "GrantCache",
    "GrantStats",
    "Terms",
    "enforced",
    "nothing",
]
