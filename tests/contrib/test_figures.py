"""What monitoring is told, read back as monitoring reads it: over HTTP, and by an SDK."""

from __future__ import annotations

import builtins
import importlib
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from cachetools import LRUCache
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from licet import Settings
from licet.contrib import otel
from licet.contrib.prometheus import LicetCollector
from licet.core import gates
from licet.core.events.event import Event
from licet.core.events.figures import Decision, Figures
from licet.possession import ProofKey
from tests.cage import serve_asgi, serve_wsgi
from tests.licenses import FORGER, OPTIONS, license_token

SETTINGS = Settings(**OPTIONS, jwks_cooldown=17, external_url="https://testserver")
LABELS = ("outcome", "code", "event", "kind", "issuer")
CANARY = "lic_canary-never-in-a-metric"


def figures_of(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Return what is served over HTTP: by name of the sample and its labels."""
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        address = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert CANARY not in text
    return {
        (sample.name, *(sample.labels[name] for name in LABELS if name in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(autouse=True)
def _own_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no gate of other tests give way to one of these, and take its count along."""
    monkeypatch.setattr(gates, "_gates", LRUCache(64))


@pytest.fixture(name="registry")
def _registry() -> Iterator[CollectorRegistry]:
    registry, collector = CollectorRegistry(), LicetCollector()
    registry.register(collector)
    yield registry
    collector._figures.close()


@pytest.mark.parametrize("serve", [serve_asgi, serve_wsgi])
@pytest.mark.row("R08")
def test_prometheus_reads_what_was_decided(serve: Any, registry: CollectorRegistry) -> None:
    """Every request once, by outcome and code, whichever way it was judged; nobody's id."""
    # Of its own: what was suspected an hour ago is not told again.
    client, gate = serve(Settings(**OPTIONS, jwks_cooldown=41 + (serve is serve_wsgi)))
    assert gate in gates.every_gate()
    good = license_token(sub=CANARY)
    misplaced = license_token(sub=CANARY, domains=["elsewhere.example"])
    placed = license_token(sub=CANARY, domains=["testserver"])
    bad = license_token(FORGER, sub=CANARY)

    def ask(token: str) -> int:
        answer = client.request("GET", "/me", [("Authorization", f"Bearer {token}")])
        return int(answer.status)

    statuses = {ask(token) for token in (good, placed) for _ in range(20)}
    assert statuses == {200}
    for _ in range(3):
        assert ask(misplaced) == 403
        assert ask(bad) == 401
    client.request("GET", "/me", [])
    found = figures_of(registry)
    assert found["licet_decisions_total", "allowed", ""] == 40
    assert found["licet_decisions_total", "denied", "license_domain"] == 3
    assert found["licet_decisions_total", "denied", "license_invalid"] == 3
    assert found["licet_decisions_total", "denied", "license_required"] == 1
    assert found["licet_events_total", "license.denied", "license_domain"] == 3
    assert found["licet_events_total", "license.suspicious_activity", "domain_mismatch"] == 1


@pytest.mark.row("R08")
def test_a_sdk_of_opentelemetry_reads_the_same() -> None:
    """Counters and gauges by bounded attributes, by way of the API alone."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    otel.instrument(provider)
    client, gate = serve_asgi(SETTINGS)
    good = license_token(sub=CANARY)
    for _ in range(10):
        client.request("GET", "/me", [("Authorization", f"Bearer {good}")])
    client.request("GET", "/me", [])
    gate.events.emit(Event("license.revoked", {"license_id": CANARY, "word": CANARY}))
    data = reader.get_metrics_data()
    assert data is not None
    assert CANARY not in data.to_json()
    found = {
        (metric.name, *(point.attributes or {}).values()): point.value  # type: ignore[union-attr]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    provider.shutdown()
    assert found["licet.decisions", "allowed", ""] == 10
    assert found["licet.decisions", "denied", "license_required"] == 1
    assert found["licet.events", "license.revoked", "other"] == 1


def test_what_passes_by_the_mode_is_told_apart() -> None:
    """What would have been refused is neither allowed nor denied."""
    figures = Figures()
    client, _ = serve_asgi(Settings(**OPTIONS, mode="report"))
    assert client.request("GET", "/me", []).status == 200
    assert figures.decisions() == {
        Decision("allowed", ""): 0,
        Decision("reported", "license_required"): 1,
    }
    figures.close()


def test_the_age_of_keys_is_that_of_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one issuer; keys that stand in the settings have none."""

    class Known:
        def __init__(self, age: float | None) -> None:
            self.age = age

        def health(self) -> dict[str, Known]:
            return {"acme": self}

    monkeypatch.setattr(gates, "every_gate", lambda: [Known(3.0), Known(9.5), Known(None)])
    monkeypatch.setattr(gates, "admitted", lambda: 0)
    figures = Figures()
    assert figures.key_ages() == {"acme": 9.5}
    figures.close()


def test_a_counter_never_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a gate goes, and what it counted with it."""
    counts = iter((10, 15, 3, 16))
    monkeypatch.setattr(gates, "admitted", lambda: next(counts))
    figures = Figures()
    assert [figures.decisions()["allowed", ""] for _ in range(3)] == [5, 5, 6]  # type: ignore[index]
    figures.close()


def test_a_gate_that_tells_while_it_is_made_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor is it kept waiting: of keys it cannot use it tells at once, and metrics ask all gates."""
    figures, admitted = Figures(), gates.admitted

    def while_another_is_made() -> int:
        maker = threading.Thread(
            target=figures._heard, args=(Event("keys.refused", {"issuer": "acme"}),), daemon=True
        )
        maker.start()
        maker.join(10)
        assert not maker.is_alive()
        return admitted()

    monkeypatch.setattr(gates, "admitted", while_another_is_made)
    assert figures.decisions()
    figures.close()


@pytest.mark.parametrize(
    ("module", "library", "told"),
    [
        ("prometheus", "prometheus_client", "the client of Prometheus"),
        ("otel", "opentelemetry", "the API of OpenTelemetry"),
    ],
)
def test_a_missing_library_is_named(
    module: str, library: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the line that installs it."""
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        return real(name, *arguments)

    monkeypatch.delitem(sys.modules, f"licet.contrib.{module}")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError) as caught:
        importlib.import_module(f"licet.contrib.{module}")
    assert str(caught.value) == (
        f'licet.contrib.{module} needs {told}: pip install "licet[{module}]"'
    )
    assert caught.value.name == library


def test_a_bound_license_is_counted_once_for_each_request() -> None:
    """Although it is found in memory twice: by the quick way, and by the one that takes a proof."""
    figures = Figures()
    client, _ = serve_asgi(SETTINGS)
    key = ProofKey.generate()
    token = license_token(sub="lic_bound", cnf={"jkt": key.jkt})
    before = figures.decisions()["allowed", ""]  # type: ignore[index]
    for _ in range(5):
        proof = key.proof("GET", "https://testserver/me", token)
        fields = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        assert client.request("GET", "/me", fields).status == 200
    assert figures.decisions()["allowed", ""] - before == 5  # type: ignore[index]
    figures.close()
