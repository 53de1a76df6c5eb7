"""Moments on the wire: RFC 3339 in UTC (contract, preamble)."""

from datetime import datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive: the offset is written as Z


def rfc3339(micros: int) -> str:
    """The moment `micros` microseconds after 1970, as `2026-01-02T03:04:05.678901Z`."""
    return f"{(_EPOCH + timedelta(microseconds=micros)).isoformat(timespec='microseconds')}Z"


def micros(text: str) -> int:
    """The microseconds of an RFC 3339 moment; raises `ValueError` for anything else."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
