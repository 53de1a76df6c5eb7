"""Figures: counted in plain numbers, merged over processes, rendered for Prometheus."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.metrics import (
    BOUNDS_MS,
    Counter,
    Gauge,
    Histogram,
    Metrics,
    Snapshot,
    buckets,
    by_label,
    merge,
    percentile,
    render,
)

DECLARED = [*Counter, *Gauge, *Histogram]


def rendered(snapshot: Snapshot, domain: str = "orchestrator") -> dict[tuple[str, ...], float]:
    """What a Prometheus server reads: value by sample name and label values, the domain left out."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(render(snapshot, domain)):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("domain") == domain
            found[sample.name, *labels.values()] = sample.value
    return found


def test_what_is_counted_is_rendered() -> None:
    """Counters rise by label, gauges move and are set, under the contract's names."""
    metrics = Metrics()
    metrics.count(Counter.TASKS_ACCEPTED, "free")
    metrics.count(Counter.TASKS_ACCEPTED, "free", by=2)
    metrics.count(Counter.HTTP_REQUESTS, "/api/chat/send", "202")
    metrics.add(Gauge.WEBSOCKETS, 2, "live")
    metrics.add(Gauge.WEBSOCKETS, -1, "live")
    metrics.set(Gauge.REDIS_UP, 1)

    found = rendered(metrics.snapshot())

    assert found["orchestrator_tasks_accepted_total", "free"] == 3
    assert found["orchestrator_http_requests_total", "/api/chat/send", "202"] == 1
    assert found["orchestrator_websocket_connections", "live"] == 1
    assert found[("orchestrator_redis_up",)] == 1
    assert found[("orchestrator_seq_gaps_total",)] == 0


def test_a_histogram_is_cumulative() -> None:
    """Each `le` counts what took at most that long; sum and count agree."""
    metrics = Metrics()
    for seconds in (0.001, 0.0011, 0.5, 1e6):
        metrics.observe(Histogram.ANSWER, seconds)

    found = rendered(metrics.snapshot())

    name = "orchestrator_answer_seconds"
    assert found[f"{name}_bucket", "0.001"] == 1
    assert found[f"{name}_bucket", "0.0015"] == 2
    assert found[f"{name}_bucket", "0.68"] == 3
    assert found[f"{name}_bucket", "3300"] == 3
    assert found[f"{name}_bucket", "+Inf"] == found[(f"{name}_count",)] == 4
    assert found[(f"{name}_sum",)] == pytest.approx(1e6 + 0.5021)


def test_a_label_cannot_break_the_format() -> None:
    """Whatever a code or a domain holds, the text stays readable."""
    metrics = Metrics()
    metrics.count(Counter.SENDS_REFUSED, 'a"b\\c\nd')

    assert rendered(metrics.snapshot(), 'x"\n')["orchestrator_sends_refused_total", 'a"b\\c\nd'] == 1


def test_snapshots_travel_and_merge() -> None:
    """Processes send their figures to one another; sums add up, `up` is the worst of them."""
    one, other = Metrics(), Metrics()
    for metrics, up in ((one, 1), (other, 0)):
        metrics.count(Counter.TASKS_ENDED, "completed")
        metrics.set(Gauge.REDIS_UP, up)
        metrics.observe(Histogram.QUEUE, 0.02)
    other.count(Counter.TASKS_ENDED, "failed")

    sent = msgspec.msgpack.encode(other.snapshot())
    merged = merge([one.snapshot(), msgspec.msgpack.decode(sent, type=Snapshot)])

    assert by_label(merged, Counter.TASKS_ENDED) == {"completed": 2, "failed": 1}
    assert by_label(merged, Gauge.REDIS_UP) == {"": 0}
    assert sum(buckets(merged, Histogram.QUEUE)) == 2
    assert by_label(one.snapshot(), Counter.TASKS_ENDED) == {"completed": 1}


def test_merging_nothing_is_nothing() -> None:
    """Without any process there are no figures, and rendering them is no error."""
    assert merge([]) == {}
    assert buckets({}, Histogram.ANSWER) == ()
    assert rendered({}) == {}


@given(st.lists(st.floats(0.001, 3000), min_size=1, max_size=50), st.floats(0, 1))
def test_a_percentile_is_near_the_observation(seconds: list[float], q: float) -> None:
    """The estimate lies in the bucket of the observation that the exact percentile names."""
    metrics = Metrics()
    for value in seconds:
        metrics.observe(Histogram.ANSWER, value)

    estimate = percentile(buckets(metrics.snapshot(), Histogram.ANSWER), q)

    rank = max(1, next(n for n in range(len(seconds) + 1) if n >= q * len(seconds)))
    exact = sorted(seconds)[rank - 1]
    high = next(bound for bound in BOUNDS_MS if bound >= exact * 1000) / 1000
    assert estimate is not None
    assert high / 1.6 <= estimate <= high or exact <= 0.001


def test_a_percentile_of_nothing_is_none() -> None:
    """Where nothing was observed there is no percentile; beyond the last bound it is the last bound."""
    metrics = Metrics()
    assert percentile(buckets(metrics.snapshot(), Histogram.ANSWER), 0.5) is None
    assert percentile((), 0.5) is None

    metrics.observe(Histogram.ANSWER, 1e9)
    assert percentile(buckets(metrics.snapshot(), Histogram.ANSWER), 0.5) == BOUNDS_MS[-1] / 1000


def test_no_label_names_a_tenant_or_a_session() -> None:
    """Figures are for the deployment: one tenant's traffic is never a time series."""
    labels = {label for metric in DECLARED for label in metric.value.labels}

    assert not {label for label in labels if "tenant" in label or "session" in label or "task" in label}


def test_names_follow_prometheus() -> None:
    """Names are declared once, begin with the project's, and counters end in `_total`."""
    names = [metric.value.name for metric in DECLARED]

    assert len(set(names)) == len(names)
    assert all(name.startswith("orchestrator_") for name in names)
    assert all(metric.value.name.endswith("_total") for metric in Counter)
