"""The keys that sign: which there are, and where their private halves are kept."""
