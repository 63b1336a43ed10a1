"""A remote document kept fresh: when it is fetched, by whom, and what serves meanwhile."""
