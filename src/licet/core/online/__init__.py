"""Asking a license server: when, in which dialect, and what its answer is worth."""
