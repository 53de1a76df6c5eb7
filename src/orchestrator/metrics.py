"""Figures of one process: plain numbers, declared once, merged and rendered on demand."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import accumulate
from typing import Final, Literal

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# Six steps a decade from 1 ms to 55 minutes: a percentile read from them is off by a quarter at most.
BOUNDS_MS: Final[tuple[float, ...]] = tuple(
    round(step * 10**decade, 1) for decade in range(7) for step in (1, 1.5, 2.2, 3.3, 4.7, 6.8)
)[:-2]
_BOUNDS: Final = tuple(bound / 1000 for bound in BOUNDS_MS)


class Metric(msgspec.Struct, frozen=True):
    """One row of the tables below; `across` says how processes add up."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    across: Literal["sum", "least"] = "sum"


class _Declared(Enum):
    """Members are singletons, so the hash of identity will do; Enum's own costs a Python call."""

    __hash__ = object.__hash__


class Counter(_Declared):
    """What only ever rises."""

    TASKS_ACCEPTED = Metric("orchestrator_tasks_accepted_total", "Accepted sends.", ("tier",))
    TASKS_ENDED = Metric("orchestrator_tasks_ended_total", "Endings of tasks.", ("status",))
    TASKS_RETRIED = Metric("orchestrator_tasks_retried_total", "Further attempts at tasks.", ("reason",))
    SENDS_REFUSED = Metric("orchestrator_sends_refused_total", "Sends answered with an error.", ("code",))
    CREDENTIALS_REFUSED = Metric(
        "orchestrator_credentials_refused_total",
        "Requests and sockets refused for what they prove or do not.",
        ("reason",),
    )
    CALLBACKS = Metric("orchestrator_callbacks_total", "Callbacks that took effect.", ("status",))
    CALLBACKS_DROPPED = Metric(
        "orchestrator_callbacks_dropped_total",
        "Callbacks late, of an older attempt or seen before.",
        ("reason",),
    )
    DEAD_LETTERS = Metric("orchestrator_dead_letters_total", "Callbacks that could not be used.", ("reason",))
    EVENTS_DELIVERED = Metric("orchestrator_events_delivered_total", "Events sent to readers.", ("type",))
    WEBSOCKETS_CLOSED = Metric("orchestrator_websocket_closed_total", "Closed WebSockets.", ("code",))
    HTTP_REQUESTS = Metric("orchestrator_http_requests_total", "Answered requests.", ("route", "status"))
    CONNECTIONS_REFUSED = Metric(
        "orchestrator_connections_refused_total", "Connections of addresses with too many that ask nothing."
    )
    SEQ_GAPS = Metric("orchestrator_seq_gaps_total", "Chunks whose number skipped some.")
    GAP_READS = Metric("orchestrator_gap_reads_total", "Reads of a log that live events had overtaken.")


class Gauge(_Declared):
    """What stands at a figure."""

    WEBSOCKETS = Metric("orchestrator_websocket_connections", "Open WebSockets.", ("state",))
    REDIS_UP = Metric("orchestrator_redis_up", "1 while Redis answers every process.", across="least")


class Histogram(_Declared):
    """How long something took, in seconds."""

    ANSWER = Metric("orchestrator_answer_seconds", "From the acceptance of a task to its ending.")
    QUEUE = Metric(
        "orchestrator_queue_seconds", "From the acceptance of a task to its first attempt's start."
    )


class Sample(msgspec.Struct, array_like=True):
    """One figure: `value` is the sum of what a histogram saw, `buckets` how often, bound by bound."""

    labels: tuple[str, ...]
    value: float
    buckets: tuple[int, ...] = ()


Snapshot = dict[str, list[Sample]]
"""Figures by metric name; plain data that msgspec encodes and decodes."""


class Metrics:
    """The figures of this process. No label may name a tenant or a session."""

    def __init__(self) -> None:
        self._numbers: Final[dict[tuple[Counter | Gauge, tuple[str, ...]], float]] = {
            (metric, ()): 0 for metric in (*Counter, *Gauge) if not metric.value.labels
        }
        self._sums: Final = dict.fromkeys(Histogram, 0.0)
        self._buckets: Final = {metric: [0] * (len(_BOUNDS) + 1) for metric in Histogram}

    def count(self, counter: Counter, *labels: str, by: int = 1) -> None:
        """Raise a counter; `labels` in the order of its row."""
        key = (counter, labels)
        self._numbers[key] = self._numbers.get(key, 0) + by

    def add(self, gauge: Gauge, amount: float, *labels: str) -> None:
        """Move a gauge up, or down by a negative amount."""
        key = (gauge, labels)
        self._numbers[key] = self._numbers.get(key, 0) + amount

    def set(self, gauge: Gauge, value: float, *labels: str) -> None:
        """Put a gauge where it stands now."""
        self._numbers[gauge, labels] = value

    def observe(self, histogram: Histogram, seconds: float) -> None:
        """Note that something took `seconds`."""
        self._sums[histogram] += seconds
        self._buckets[histogram][bisect_left(_BOUNDS, seconds)] += 1

    def snapshot(self) -> Snapshot:
        """All figures as they are now."""
        found: Snapshot = {}
        for (metric, labels), value in self._numbers.items():
            found.setdefault(metric.value.name, []).append(Sample(labels, value))
        for histogram, buckets in self._buckets.items():
            found[histogram.value.name] = [Sample((), self._sums[histogram], tuple(buckets))]
        return found


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The figures of several processes as those of one."""
    merged: dict[str, dict[tuple[str, ...], Sample]] = {}
    for snapshot in snapshots:
        for name, samples in snapshot.items():
            known = merged.setdefault(name, {})
            for sample in samples:
                other = known.get(sample.labels)
                known[sample.labels] = _joined(name, other, sample) if other else sample
    return {name: list(samples.values()) for name, samples in merged.items()}


def _joined(name: str, one: Sample, other: Sample) -> Sample:
    if name in _LEAST:
        return one if one.value <= other.value else other
    buckets = tuple(a + b for a, b in zip(one.buckets, other.buckets, strict=False))
    return Sample(one.labels, one.value + other.value, buckets)


_LEAST: Final = frozenset(gauge.value.name for gauge in Gauge if gauge.value.across == "least")


def by_label(snapshot: Snapshot, metric: Counter | Gauge) -> dict[str, int]:
    """A metric's figures by the value of its first label."""
    found: dict[str, int] = {}
    for sample in snapshot.get(metric.value.name, []):
        name = sample.labels[0] if sample.labels else ""
        found[name] = found.get(name, 0) + int(sample.value)
    return found


def buckets(snapshot: Snapshot, histogram: Histogram) -> tuple[int, ...]:
    """How often each step of a histogram was met, for `percentile`."""
    return next((sample.buckets for sample in snapshot.get(histogram.value.name, [])), ())


def percentile(buckets: Sequence[int], q: float) -> float | None:
    """Seconds under which the share `q` (0…1) of the observations lies; None without any.

    Within a bucket they count as spread evenly; what lies above the last bound counts as on it.
    """
    wanted = q * sum(buckets)
    if not any(buckets):
        return None
    below, low = 0, 0.0
    for count, high in zip(buckets, _BOUNDS, strict=False):
        if count and below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below, low = below + count, high
    return _BOUNDS[-1]


def render(snapshot: Snapshot, domain: str) -> str:
    """Prometheus' text format, every figure labelled with the deployment's name."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(snapshot, domain))
    return generate_latest(registry).decode()


class _Snapshot(Collector):
    """Hands figures to the client library, which knows the format and its escapes."""

    def __init__(self, snapshot: Snapshot, domain: str) -> None:
        self._snapshot: Final = snapshot
        self._domain: Final = domain

    def collect(self) -> Iterator[Family]:
        for counter in Counter:
            yield self._plain(CounterMetricFamily, counter.value)
        for gauge in Gauge:
            yield self._plain(GaugeMetricFamily, gauge.value)
        for histogram in Histogram:
            yield self._histogram(histogram.value)

    def _plain(self, kind: type[CounterMetricFamily | GaugeMetricFamily], metric: Metric) -> Family:
        family = kind(metric.name, metric.help, labels=["domain", *metric.labels])
        for sample in self._snapshot.get(metric.name, []):
            family.add_metric([self._domain, *sample.labels], sample.value)
        return family

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.help, labels=["domain"])
        bounds = [*(f"{bound:g}" for bound in _BOUNDS), "+Inf"]
        for sample in self._snapshot.get(metric.name, []):
            counts = zip(bounds, accumulate(sample.buckets), strict=False)
            family.add_metric([self._domain], buckets=list(counts), sum_value=sample.value)
        return family
