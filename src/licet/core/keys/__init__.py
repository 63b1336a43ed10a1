"""An issuer's public keys: which of them may be used, and how they are kept."""
