"""Proof that a caller holds the key of its license: DPoP (RFC 9449), certificates (RFC 8705)."""
