"""Moments on the wire: RFC 3339 in UTC (contract, preamble)."""

from datetime import UTC, datetime


def rfc3339(micros: int) -> str:
    """The moment `micros` microseconds after 1970, as `2026-01-02T03:04:05.678901Z`."""
    seconds, fraction = divmod(micros, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:06d}Z"


def micros(text: str) -> int:
    """The microseconds of an RFC 3339 moment; raises `ValueError` for anything else."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
