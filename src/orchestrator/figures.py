"""What this process tells of itself, and the figures of the whole deployment put together."""

import socket
import time
from collections import Counter as Tally
from typing import Any, Final

import msgspec

from orchestrator import current_version
from orchestrator.metrics import (
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

TENANTS_MAX: Final = 100
KNOWN_MAX: Final = 10_000
ROWS_MAX: Final = 5_000
"""Rows of sockets that a replica tells of, the largest first: a megabyte a second would be a load of its own."""
_SUMMED: Final = (
    Counter.TASKS_ACCEPTED,
    Counter.TASKS_ENDED,
    Counter.CALLBACKS,
    Counter.CALLBACKS_DROPPED,
    Counter.DEAD_LETTERS,
)
_TIMED: Final = (Histogram.ANSWER, Histogram.QUEUE)

SocketRows = list[tuple[str, str, str, int]]
Report = dict[str, Any]


class Figures:
    """Takes stock of one process."""

    def __init__(self, metrics: Metrics, domain: str, group: str) -> None:
        self._metrics = metrics
        self._domain = domain
        self._group = group
        self._started = time.monotonic()
        self._told: dict[str, int] = {}
        self._queues: set[str] = set()
        self._known: set[str] = set()
        # Rows that were summed already: of thousands the same ones are told again and again.
        self._counted: SocketRows = []
        self._states = _states_of([])

    def note_queue(self, queue: str) -> bool:
        """A task was pushed on this queue; whether that is the first one here since the queues were forgotten."""
        self._queues.add(queue)
        if queue in self._known:
            return False
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known.add(queue)
        return True

    def take_queues(self) -> list[str]:
        """Queues noted since the last time."""
        queues, self._queues = self._queues, set()
        return list(queues)

    def report(self, sockets: SocketRows) -> Report:
        """What the other replicas are told: sockets by tenant, tier and state, uptime and all metrics."""
        if sockets is not self._counted:
            self._counted, self._states = sockets, _states_of(sockets)
        for state, count in self._states.items():
            self._metrics.set(Gauge.WEBSOCKETS, count, state)
        return {
            "group": self._group,
            "uptime": time.monotonic() - self._started,
            "total": sum(self._states.values()),
            "sockets": sockets[:ROWS_MAX],
            "metrics": msgspec.to_builtins(self._metrics.snapshot()),
        }

    def noted_queues(self) -> list[str]:
        """Queues noted and not yet taken."""
        return list(self._queues)

    def note_told(self, risen: dict[str, int]) -> None:
        """The deployment's sums have this now."""
        for field, count in risen.items():
            self._told[field] = self._told.get(field, 0) + count

    def untold(self) -> dict[str, int]:
        """By how much the deployment's sums have to rise for what happened here."""
        now: dict[str, int] = {}
        snapshot = self._metrics.snapshot()
        for counter in _SUMMED:
            for label, count in by_label(snapshot, counter).items():
                now[f"{counter.value.name}|{label}"] = count
        for histogram in _TIMED:
            for index, count in enumerate(buckets(snapshot, histogram)):
                now[f"{histogram.value.name}|{index}"] = count
        risen = {field: count - self._told.get(field, 0) for field, count in now.items()}
        return {field: count for field, count in risen.items() if count}

    def prometheus(self, own: Report, reports: list[Report]) -> str:
        """The text format for all processes behind this port."""
        siblings = [report for report in reports if self._group and report["group"] == self._group]
        found = siblings or [own]
        return render(merge(msgspec.convert(report["metrics"], Snapshot) for report in found), self._domain)


def _states_of(sockets: SocketRows) -> dict[str, int]:
    states = {"replay": 0, "live": 0}
    for _, _, state, count in sockets:
        states[state] = states.get(state, 0) + count
    return states


def standing(server_micros: int, *, delivers: bool) -> Report:
    """What `orchestrator doctor` wants to know of a replica: where it is, of which version, how its clock goes."""
    return {
        "host": socket.gethostname(),
        "version": current_version(),
        "ahead": round(time.time() - server_micros / 1_000_000, 3),
        "delivers": delivers,
    }


def socket_stats(reports: list[Report], tenant: str | None = None) -> dict[str, Any]:
    """`/ws/stats`: the sockets of the deployment, or of one tenant in it."""
    tallies = [Tally[str](), Tally[str](), Tally[str]()]
    for report in reports:
        for *row, count in report["sockets"]:
            if tenant in {None, row[0]}:
                for tally, label in zip(tallies, row, strict=True):
                    tally[label] += count
    by_tenant, by_tier, by_state = tallies
    return {
        "total": by_tenant.total() if tenant else sum(report["total"] for report in reports),
        "by_tenant": dict(by_tenant.most_common(TENANTS_MAX)),
        "by_tier": dict(by_tier),
        "by_state": dict(by_state),
        "replicas": len(reports),
    }


def overview(reports: list[Report], totals: dict[str, int]) -> dict[str, Any]:
    """`/metrics/overview`: sums since the deployment began, sockets and replicas as they are."""
    sockets = socket_stats(reports)
    return {
        "tasks": {"accepted": sum(_by(totals, Counter.TASKS_ACCEPTED).values()), **_by(totals, Counter.TASKS_ENDED)},
        "callbacks": {
            "taken": _by(totals, Counter.CALLBACKS),
            "dropped": _by(totals, Counter.CALLBACKS_DROPPED),
            "dead_letters": _by(totals, Counter.DEAD_LETTERS),
        },
        "websockets": {name: sockets[name] for name in ("total", "by_tier", "by_state")},
        "latency": {"answer_seconds": _percentiles(totals, Histogram.ANSWER),
                    "queue_seconds": _percentiles(totals, Histogram.QUEUE)},
        "replicas": len(reports),
        "uptime_seconds": round(max((report["uptime"] for report in reports), default=0.0), 1),
    }  # fmt: skip


def _by(totals: dict[str, int], counter: Counter) -> dict[str, int]:
    start = f"{counter.value.name}|"
    return {field.removeprefix(start): count for field, count in totals.items() if field.startswith(start)}


def _percentiles(totals: dict[str, int], histogram: Histogram) -> dict[str, float | None]:
    start = f"{histogram.value.name}|"
    counts = {int(field.removeprefix(start)): n for field, n in totals.items() if field.startswith(start)}
    steps = [counts.get(index, 0) for index in range(max(counts, default=-1) + 1)]
    return {f"p{round(q * 100)}": percentile(steps, q) if any(steps) else None for q in (0.5, 0.95, 0.99)}
