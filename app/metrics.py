"""What the service counts, in the words of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from app.engine.batch import Batch

Values = Mapping[Any, float]  # by tuples of label values
Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_REQUEST = "From a request to the end of its answer (s), event streams left out"
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One registry a process.  Counting costs a few microseconds a batch."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._images: Counter[tuple[str, str]] = Counter()
        self._tallies = (
            Tally("synthorax_batch_images", "Images a batch", _IMAGES),
            Tally("synthorax_forward_seconds", "Sampling of a batch", _SECONDS),
            Tally("synthorax_encode_seconds", "Encoding of a batch", _SECONDS),
            Tally("synthorax_wait_seconds", "From a request's admission to its turn", _SECONDS),
        )
        self._batches, self._forward, self._encode, self._wait = self._tallies
        self._answers: Counter[tuple[str, str]] = Counter()
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._seconds: dict[str, Tally] = {}  # by route
        self._refusals: Counter[tuple[str]] = Counter()
        self.collect(self._counted)

    def batch(self, batch: Batch) -> None:
        """A batch was made."""
        self._batches.add(batch.images)
        self._forward.add(batch.forward_seconds)
        self._encode.add(batch.encode_seconds)
        for part in batch.parts:
            if part.start == 0:
                self._wait.add(batch.began - part.ticket.started)
        version = batch.loaded.version
        for index, count in Counter(batch.classes).items():
            label = version.labels[index] if version.labels else ""
            self._images[version.reference, label] += count

    def answered(self, form: str, status: str) -> None:
        """A request for images was answered (or its client left: 499)."""
        self._answers[form, status] += 1

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request has ended.  route: of the application, not an address; bounded in number."""
        method = method if method in _METHODS else "other"
        self._requests[route, method, str(status)] += 1
        if not route.endswith("/events"):  # a stream is open as long as its reader likes
            tally = self._seconds.get(route)
            if tally is None:
                tally = Tally("synthorax_http_request_seconds", _REQUEST, _SECONDS)
                self._seconds[route] = tally
            tally.add(seconds)

    def refused(self, reason: str) -> None:
        """A request was not let in; reason: the slug of its problem."""
        self._refusals[reason,] += 1

    def _counted(self) -> Iterator[Metric]:
        for tally in self._tallies:
            yield tally.family()
        yield counter("synthorax_images", "Images made", self._images, ("model", "label"))
        yield counter(
            "synthorax_generate_requests",
            "Answers of POST /generate and of samples' addresses",
            self._answers,
            ("form", "status"),
        )
        yield counter(
            "synthorax_http_requests",
            "Requests by route, method and status (499: the client left)",
            self._requests,
            ("route", "method", "status"),
        )
        yield _of_routes(self._seconds)
        yield counter(
            "synthorax_http_refusals",
            "Requests not let in: key, scope, limit, host, origin, body",
            self._refusals,
            ("reason",),
        )

    def collect(self, read: Callable[[], Iterator[Metric]]) -> None:
        """Ask `read` for more families whenever metrics are read."""
        self.registry.register(_Reader(read))

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self.registry)


class Tally:
    """A histogram that costs a fraction of a microsecond: added to by the event loop alone."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name, self._text = name, text
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self) -> Metric:
        family = HistogramMetricFamily(self._name, self._text)
        self.fill(family, [])
        return family

    def fill(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add what was counted to a family, under these labels."""
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family.add_metric(labels, buckets, self._sum)


def _of_routes(tallies: Mapping[str, Tally]) -> Metric:
    family = HistogramMetricFamily("synthorax_http_request_seconds", _REQUEST, labels=["route"])
    for route, tally in dict(tallies).items():  # the event loop may add one meanwhile
        tally.fill(family, [route])
    return family


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
    for key, value in dict(values).items():  # the event loop may add one meanwhile
        family.add_metric(list(key), value)
    return family
