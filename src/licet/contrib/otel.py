"""Licet for OpenTelemetry: metrics of this process, by the API alone.

    from licet.contrib import otel

    otel.instrument()

Which SDK reads them, and where they go, is the application's to set up. There are `licet.decisions`
(by `outcome` and `code`), `licet.events` (by `event` and `kind`) and `licet.keys.age` (by `issuer`,
seconds). All attributes but the issuer come from closed lists.
"""

from __future__ import annotations

from collections.abc import Iterable

from licet._requires import extra
from licet.core.events.figures import Figures

with extra("opentelemetry", "otel", module="licet.contrib.otel"):
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

__all__ = ["instrument"]


def instrument(provider: MeterProvider | None = None) -> None:
    """Have the figures of this process observed, counted from now on. Once for each process.

    Args:
        provider: of meters; the global one by default, also where that is set up only later.
    """
    figures = Figures()

    def decisions(options: CallbackOptions) -> Iterable[Observation]:
        for decision, times in figures.decisions().items():
            yield Observation(times, decision._asdict())

    def events(options: CallbackOptions) -> Iterable[Observation]:
        for occurrence, times in figures.events().items():
            yield Observation(times, occurrence._asdict())

    def ages(options: CallbackOptions) -> Iterable[Observation]:
        for issuer, age in figures.key_ages().items():
            yield Observation(age, {"issuer": issuer})

    meter = get_meter("licet", meter_provider=provider)
    meter.create_observable_counter(
        "licet.decisions", [decisions], "{decision}", "Requests by what was decided."
    )
    meter.create_observable_counter("licet.events", [events], "{event}", "Events by name and kind.")
    meter.create_observable_gauge(
        "licet.keys.age", [ages], "s", "Seconds since the keys of an issuer were confirmed."
    )
