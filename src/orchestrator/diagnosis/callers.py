"""What callers were refused, as the live replicas have counted since they began."""

from collections.abc import Mapping
from typing import Final

from orchestrator.diagnosis.examination import Examination, age
from orchestrator.diagnosis.faults import Fault, Finding, found, unseen, well
from orchestrator.metrics import Counter, by_label

_SENDS: Final[Mapping[Fault, tuple[str, ...]]] = {
    Fault.MISSING_HEADERS: ("missing_headers",),
    Fault.INVALID_TIER: ("invalid_tier",),
    Fault.ACCESS_REFUSED: ("access_denied", "tier_mismatch", "session_denied"),
}
_CLOSES: Final = ("4400", "4401", "4403", "4429", "1013")


async def sends(exam: Examination) -> list[Finding]:
    """Sends without the headers, with a tier that is none, or for what the tenant may not use."""
    refused = by_label(await exam.figures(), Counter.SENDS_REFUSED)
    findings = [
        found(fault, f"{tally} of the sends {await _since(exam)}")
        for fault, codes in _SENDS.items()
        if (tally := _tally(refused, codes))
    ]
    return findings or [await _nothing(exam, "no send was refused for its headers, its tier or its agent")]


async def credentials(exam: Examination) -> list[Finding]:
    """Tokens, tickets and secrets that did not hold."""
    refused = by_label(await exam.figures(), Counter.CREDENTIALS_REFUSED)
    if tally := _tally(refused, tuple(refused)):
        return [found(Fault.CREDENTIALS_REFUSED, f"{tally} of requests and sockets {await _since(exam)}")]
    return [await _nothing(exam, "no credential was refused")]


async def websockets(exam: Examination) -> list[Finding]:
    """Sockets that were refused, by the code that they were closed with."""
    closed = by_label(await exam.figures(), Counter.WEBSOCKETS_CLOSED)
    if tally := _tally(closed, _CLOSES):
        return [found(Fault.WEBSOCKETS_REFUSED, f"{tally} of the WebSockets {await _since(exam)}")]
    return [await _nothing(exam, "no WebSocket was refused")]


def _tally(counts: Mapping[str, int], labels: tuple[str, ...]) -> str:
    return ", ".join(f"{counts[label]} × {label}" for label in labels if counts.get(label))


async def _since(exam: Examination) -> str:
    longest = max(report.get("uptime", 0.0) for report in (await exam.reports()).values())
    return f"since the replicas began (the oldest {age(longest)} ago)"


async def _nothing(exam: Examination, what: str) -> Finding:
    return well(what) if await exam.reports() else unseen("no live replica to ask")
