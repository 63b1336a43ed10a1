"""From the text of a license token to claims that a signature vouches for."""
