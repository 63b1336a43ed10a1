"""What a license demands of each request: one module for each claim, `registry` for all of them."""
