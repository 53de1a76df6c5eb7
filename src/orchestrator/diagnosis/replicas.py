"""The live replicas, as their heartbeats tell of them."""

from typing import Final

from orchestrator import current_version
from orchestrator.diagnosis.examination import Examination, names
from orchestrator.diagnosis.faults import Fault, Finding, found, unseen, well

SKEW_SECONDS: Final = 5.0
_NEARLY_FULL: Final = 0.9
_FIRST_PROBE_SECONDS: Final = 10.0
"""A replica that has just begun may not have heard its own probe yet."""


async def alive(exam: Examination) -> list[Finding]:
    """There is one, and each can deliver."""
    reports = await exam.reports()
    if not reports and not exam.takes_writes:
        return [unseen("Redis takes no heartbeat, so nothing is known of them")]
    if not reports:
        domain = exam.settings.domain_name
        return [found(Fault.NO_REPLICA, f"no replica of the deployment {domain!r} lives on this Redis")]
    deaf = [
        f"{name} on {report.get('host', '?')}"
        for name, report in reports.items()
        if report.get("delivers") is False and report.get("uptime", 0.0) > _FIRST_PROBE_SECONDS
    ]
    if deaf:
        return [found(Fault.REPLICA_NOT_READY, f"cannot deliver: {names(deaf)}")]
    return [well(f"{len(reports)} live, each can deliver")]


async def versions(exam: Examination) -> list[Finding]:
    """All are of one version, and of this command's."""
    told = {str(report["version"]) for report in (await exam.reports()).values() if "version" in report}
    if not told:
        return [unseen("no live replica tells its version")]
    if len(told | {current_version()}) > 1:
        what = f"replicas are of {', '.join(sorted(told))}, this command is of {current_version()}"
        return [found(Fault.REPLICA_VERSIONS, what)]
    return [well(f"all of {current_version()}")]


async def connections(exam: Examination) -> list[Finding]:
    """None is near its bound of WebSockets."""
    reports, most = await exam.reports(), exam.settings.max_websocket_connections
    counts = {name: int(report.get("total", 0)) for name, report in reports.items()}
    full = [f"{name}: {count}" for name, count in counts.items() if count >= _NEARLY_FULL * most]
    if full:
        return [found(Fault.REPLICA_FULL, f"of {most} WebSockets that a replica takes: {names(full)}")]
    return [well(f"{sum(counts.values())} WebSockets; a replica takes {most}")]


async def clocks(exam: Examination) -> list[Finding]:
    """Each one's clock is that of Redis."""
    reports = await exam.reports()
    told = {name: float(report["ahead"]) for name, report in reports.items() if "ahead" in report}
    if not told:
        return [unseen("no live replica tells its time")]
    wrong = [
        f"{name} on {reports[name].get('host', '?')} by {ahead:+.0f} s"
        for name, ahead in told.items()
        if abs(ahead) > SKEW_SECONDS
    ]
    if wrong:
        return [found(Fault.REPLICA_CLOCK_SKEW, f"not the time of Redis: {names(wrong)}")]
    return [well(f"within {max(map(abs, told.values())):.1f} s of Redis")]


async def sqlite(exam: Examination) -> list[Finding]:
    """SQLite is for replicas of one machine."""
    if exam.store is None or exam.store.database.engine != "sqlite":
        return [well("not SQLite")]
    hosts = sorted({str(report["host"]) for report in (await exam.reports()).values() if "host" in report})
    if len(hosts) > 1:
        return [found(Fault.SQLITE_SHARED, f"DATABASE_URL is SQLite, and replicas run on {names(hosts)}")]
    return [well("SQLite, on one machine")]
