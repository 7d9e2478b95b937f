"""A run's metrics over OpenTelemetry's protocol: the same ones that Prometheus reads, with dots in their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client.core import Metric

from burstline.view.prometheus import RunMetrics
from burstline.view.snapshot import Snapshot

# By the last word of a name; UCUM, as OpenTelemetry wants it.
UNITS = {"seconds": "s", "bytes": "By", "packets": "{packet}", "ratio": "1", "packet": "s/{packet}"}
INFO = "info"


def provider(look: Callable[[], Snapshot], reader: MetricReader) -> MeterProvider:
    """Has what `look` sees exported by `reader`, each time that it collects. Shut it down in the end."""
    first = look()
    about = {"service.name": "burstline", "service.instance.id": str(first.pid), "burstline.app": first.app}
    made = MeterProvider([reader], Resource.create({**about, "burstline.source": first.source}))
    meter = made.get_meter("burstline")
    for family in RunMetrics(first).collect():
        if family.type == INFO:
            continue
        name, unit = family.name.replace("_", "."), UNITS.get(family.name.rpartition("_")[2], "1")
        create: Any = meter.create_observable_gauge
        if family.type == "counter":
            create = meter.create_observable_counter
        create(name, [_observer(look, family.name)], unit, family.documentation)
    return made


def otlp(look: Callable[[], Snapshot], endpoint: str, period: float) -> MeterProvider:
    """To a collector at an address such as http://localhost:4318/v1/metrics, every `period` seconds."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(endpoint=endpoint)
    return provider(look, PeriodicExportingMetricReader(exporter, export_interval_millis=1000 * period))


def _observer(look: Callable[[], Snapshot], name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        family = next((each for each in RunMetrics(look()).collect() if each.name == name), Metric(name, "", "gauge"))
        return [Observation(sample.value, dict(sample.labels)) for sample in family.samples]

    return observe
