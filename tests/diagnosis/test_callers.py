"""The checks of refusals, on what replicas count."""

from typing import Any

import msgspec
import pytest
from tests.diagnosis.conftest import Beat, Look, Run, codes

from orchestrator.diagnosis import callers
from orchestrator.metrics import Counter, Metrics

FAULTS: list[tuple[Run, Counter, str, str]] = [
    (callers.sends, Counter.SENDS_REFUSED, "missing_headers", "missing_headers"),
    (callers.sends, Counter.SENDS_REFUSED, "invalid_tier", "invalid_tier"),
    (callers.sends, Counter.SENDS_REFUSED, "access_denied", "access_refused"),
    (callers.sends, Counter.SENDS_REFUSED, "tier_mismatch", "access_refused"),
    (callers.sends, Counter.SENDS_REFUSED, "session_denied", "access_refused"),
    (callers.credentials, Counter.CREDENTIALS_REFUSED, "expired", "credentials_refused"),
    *(
        (callers.websockets, Counter.WEBSOCKETS_CLOSED, close, "websockets_refused")
        for close in ("4400", "4401", "4403", "4429", "1013")
    ),
]


def counted(counter: Counter, label: str, by: int) -> dict[str, Any]:
    """The figures of a replica that has counted this."""
    metrics = Metrics()
    metrics.count(counter, label, by=by)
    return msgspec.to_builtins(metrics.snapshot())


@pytest.mark.parametrize(("check", "counter", "label", "code"), FAULTS)
async def test_fault(look: Look, beat: Beat, check: Run, counter: Counter, label: str, code: str) -> None:
    """The counts of all replicas are put together, and how to find out who it was is said."""
    await beat("r1", metrics=counted(counter, label, 3), uptime=50.0)
    await beat("r2", metrics=counted(counter, label, 4), uptime=10_000.0)
    (finding,) = await look(check)
    assert (finding.code, finding.level) == (code, "warn")
    assert finding.what.startswith(f"7 × {label} ")
    assert "3 h ago" in finding.what


@pytest.mark.parametrize("check", [callers.sends, callers.credentials, callers.websockets])
async def test_healthy(look: Look, beat: Beat, check: Run) -> None:
    """Refusals for other reasons, and sockets that were closed as they should be, are no faults of these."""
    for counter, label in ((Counter.SENDS_REFUSED, "rate_limited"), (Counter.WEBSOCKETS_CLOSED, "1000")):
        await beat(metrics=counted(counter, label, 3))
        assert codes(await look(check)) == [""]


async def test_several_at_once(look: Look, beat: Beat) -> None:
    """Each fault of sends has a line of its own."""
    metrics = Metrics()
    for code in ("missing_headers", "invalid_tier", "tier_mismatch", "access_denied"):
        metrics.count(Counter.SENDS_REFUSED, code)
    await beat(metrics=msgspec.to_builtins(metrics.snapshot()))
    assert codes(await look(callers.sends)) == ["missing_headers", "invalid_tier", "access_refused"]
