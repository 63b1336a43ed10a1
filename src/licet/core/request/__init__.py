"""What a request says of itself, and how much of that is believed.

Nothing of a request is trusted by itself: `credential` finds the license that is presented,
`proxies`, `hosts` and `regions` decide whose word counts for where it comes from and what it asked
for, and `circumstances` is what the conditions of a license are held against.
"""

from licet.core.request.credential import Credential, Sources, find_credential
from licet.core.request.facts import RequestFacts

__all__ = ["Credential", "RequestFacts", "Sources", "find_credential"]
