"""What a gate is made of, by its settings: one store of keys for each issuer, and so on."""

from licet.core.assembly.events import bus, observations, tell
from licet.core.assembly.installed import installation, refresher, sighted
from licet.core.assembly.online import arbiter
from licet.core.assembly.surroundings import Surroundings
from licet.core.assembly.trust import course, key_stores, possession, profiles
from licet.core.assembly.used import ledger
from licet.core.assembly.withdrawals import boards, follow_hints, pushed, standing, state, tally

__all__ = [
    "Surroundings",
    "arbiter",
    "boards",
    "bus",
    "course",
    "follow_hints",
    "installation",
    "key_stores",
    "ledger",
    "observations",
    "possession",
    "profiles",
    "pushed",
    "refresher",
    "sighted",
    "standing",
    "state",
    "tally",
    "tell",
]
