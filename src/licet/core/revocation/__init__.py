"""Licenses that were withdrawn: by status list or pushed event, and until when that counts."""
