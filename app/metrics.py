"""What the service counts, in the words of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

from library.versions import Version

Values = Mapping[Any, float]  # by tuples of label values
Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One registry a process.  Counting costs a few microseconds a batch."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._images = CounterMetric(
            "synthorax_images", "Images made", ["model", "label"], registry=self.registry
        )
        self._batches = Histogram(
            "synthorax_batch_images", "Images a batch", buckets=_IMAGES, registry=self.registry
        )
        self._forward = Histogram(
            "synthorax_forward_seconds",
            "Latents, generator and grey levels of a batch",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._encode = Histogram(
            "synthorax_encode_seconds",
            "Encoding a batch and putting it into its answers",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._wait = Histogram(
            "synthorax_wait_seconds",
            "From a request's admission to its first images",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._answers: Counter[tuple[str, str]] = Counter()
        self.collect(self._requests)

    def batch(
        self, version: Version, classes: Sequence[int], forward: float, encode: float
    ) -> None:
        """A batch was made."""
        self._batches.observe(len(classes))
        self._forward.observe(forward)
        self._encode.observe(encode)
        for index, count in Counter(classes).items():
            label = version.labels[index] if version.labels else ""
            self._images.labels(version.reference, label).inc(count)

    def waited(self, seconds: float) -> None:
        self._wait.observe(seconds)

    def answered(self, form: str, status: str) -> None:
        """A request for images was answered (or its client left: 499)."""
        self._answers[form, status] += 1

    def _requests(self) -> Iterator[Metric]:
        yield counter(
            "synthorax_generate_requests",
            "Answers of POST /generate and of samples' addresses",
            self._answers,
            ("form", "status"),
        )

    def collect(self, read: Callable[[], Iterator[Metric]]) -> None:
        """Ask `read` for more families whenever metrics are read."""
        self.registry.register(_Reader(read))

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self.registry)


class _Reader:
    def __init__(self, read: Callable[[], Iterator[Metric]]) -> None:
        self.collect = read


def gauge(name: str, text: str, values: Values, labels: Sequence[str]) -> Metric:
    """A gauge family with a value for each combination of labels."""
    return _filled(GaugeMetricFamily(name, text, labels=labels), values)


def counter(name: str, text: str, values: Values, labels: Sequence[str]) -> Metric:
    """A counter family with a value for each combination of labels."""
    return _filled(CounterMetricFamily(name, text, labels=labels), values)


def _filled(family: Family, values: Values) -> Family:
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family
