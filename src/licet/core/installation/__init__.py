"""An installation's license: where it stands, what is remembered of it, how it is renewed."""
