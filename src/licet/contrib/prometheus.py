"""Licet for Prometheus: what the official client shows of this process.

    from prometheus_client import REGISTRY
    from licet.contrib.prometheus import LicetCollector

    REGISTRY.register(LicetCollector())

It shows `licet_decisions_total{outcome, code}`, `licet_events_total{event, kind}` and
`licet_keys_age_seconds{issuer}`. All labels but the issuer come from closed lists.

Each process shows its own. Workers that share a port have to be scraped one by one, by a port of
their own each: a scrape of the shared one meets any of them. The client's multi-process mode
(`PROMETHEUS_MULTIPROC_DIR`) reads files that its own metrics write, and collectors like this one
not at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from licet._requires import extra
from licet.core.events.figures import Decision, Figures, Occurrence

with extra("prometheus_client", "prometheus", module="licet.contrib.prometheus"):
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

__all__ = ["LicetCollector"]


class LicetCollector(Collector):
    """Collects figures that are counted from when it is made; make one for each process."""

    def __init__(self) -> None:
        self._figures = Figures()

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values; registering collects nothing."""
        return _metrics()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        figures, (decisions, events, ages) = self._figures, _metrics()
        for decision, times in figures.decisions().items():
            decisions.add_metric(decision, times)
        for occurrence, times in figures.events().items():
            events.add_metric(occurrence, times)
        for issuer, age in figures.key_ages().items():
            ages.add_metric((issuer,), age)
        return decisions, events, ages


def _metrics() -> tuple[CounterMetricFamily, CounterMetricFamily, GaugeMetricFamily]:
    return (
        CounterMetricFamily(
            "licet_decisions", "Requests by what was decided.", labels=Decision._fields
        ),
        CounterMetricFamily("licet_events", "Events by name and kind.", labels=Occurrence._fields),
        GaugeMetricFamily(
            "licet_keys_age_seconds",
            "Seconds since the keys of an issuer were confirmed.",
            labels=("issuer",),
        ),
    )
