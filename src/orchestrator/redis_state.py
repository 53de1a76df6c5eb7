"""Says once that Redis went, and once that it came back."""

import time

from orchestrator.metrics import Gauge, Metrics
from orchestrator.telemetry import Log, LogEvent


class RedisState:
    """What is known about the connections to Redis."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log
        self._since: float | None = None

    def note(self, up: bool, failure: str) -> None:
        """A connection was made or lost, and why."""
        self._metrics.set(Gauge.REDIS_UP, float(up))
        if up and self._since is not None:
            self._log.info(LogEvent.REDIS_RECOVERED, seconds=round(time.monotonic() - self._since, 3))
            self._since = None
        elif not up and self._since is None:
            self._log.error(LogEvent.REDIS_UNREACHABLE, error=failure)
            self._since = time.monotonic()
