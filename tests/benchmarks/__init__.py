"""What a licensed request costs, beside its peers: `tox -e bench`, or `python -m tests.benchmarks`.

A benchmark and never a timed test: pytest collects nothing here.
"""
