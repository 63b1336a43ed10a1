"""What a gate is made of, by its settings: one store of keys for each issuer, and so on."""

from licet.core.assembly.installed import installation, refresher
from licet.core.assembly.online import arbiter
from licet.core.assembly.surroundings import Surroundings
from licet.core.assembly.trust import key_stores, possession, profiles
from licet.core.assembly.withdrawals import boards, pushed, standing, state

__all__ = [
    "Surroundings",
    "arbiter",
    "boards",
    "installation",
    "key_stores",
    "possession",
    "profiles",
    "pushed",
    "refresher",
    "standing",
    "state",
]
