"""What a gate is made of, by its settings: one store of keys for each issuer, and so on."""

from licet.core.assembly.parts import Parts

__all__ = ["Parts"]
