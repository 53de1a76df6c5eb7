"""Moments on the wire: RFC 3339 in UTC (contract, preamble)."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive: the offset is written as Z


# What one call of a script did, it did at one moment, and a send's is told to its agent and to its sender; to spell it
# costs more than the rest of a frame.
@lru_cache(1024)
def rfc3339(micros: int) -> str:
    """The moment `micros` microseconds after 1970, as `2026-01-02T03:04:05.678901Z`."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=1024)  # a busy service writes thousands of moments of each second
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()


def micros(text: str) -> int:
    """The microseconds of an RFC 3339 moment; raises `ValueError` for anything else."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
