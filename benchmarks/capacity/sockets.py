"""What sockets cost: to open, to keep, to ping, and to compare with their logs."""

import asyncio
from pathlib import Path
from typing import Final

from benchmarks.capacity.ground import Ground, Watch, follow, ground, idle

TENANTS: Final = 1_000
SOCKETS: Final = 2_000
IDLE_SECONDS: Final = 10
SETTLE_SECONDS: Final = 6
_LOG_TTL: Final = 6
_CHECK_SECONDS: Final = _LOG_TTL / 3
_MIB: Final = 2**20


async def measure() -> dict[str, float]:
    """The figures by their names."""
    return {**await _kept(), **await _pinged()}


async def _kept() -> dict[str, float]:
    """Sockets that are opened, closed and opened again, and compared with their logs every two seconds."""
    often = {"ORCHESTRATOR_EVENT_LOG_TTL": str(_LOG_TTL), "ORCHESTRATOR_WEBSOCKET_PING_INTERVAL": "3600"}
    with ground(settings=often) as stands:
        await asyncio.sleep(SETTLE_SECONDS)
        anyway = await idle(stands)
        alone = _memory(stands)
        sessions = [(f"tenant-{number % TENANTS}", f"session-{number}") for number in range(SOCKETS)]
        viewers = await follow(stands.services[0], sessions)
        await asyncio.sleep(SETTLE_SECONDS)
        held = _memory(stands) - alone
        watch = Watch(stands)
        await asyncio.sleep(IDLE_SECONDS)
        check = watch.each(SOCKETS * IDLE_SECONDS / _CHECK_SECONDS, idle=anyway)
        for viewer in viewers:
            viewer.close()
        await asyncio.sleep(SETTLE_SECONDS / 3)
        watch = Watch(stands)
        await follow(stands.services[0], sessions, position="earliest")
        connect = watch.each(SOCKETS, idle=anyway)
    return {
        "kib_per_socket": held / SOCKETS / 1024,
        "mib_per_process": alone / _MIB,
        "service_us_per_connect": connect.service,
        "valkey_us_per_connect": connect.valkey,
        "service_us_per_check": check.service,
        "valkey_us_per_check": check.valkey,
    }


async def _pinged() -> dict[str, float]:
    """Sockets that are pinged every second, and else left alone."""
    with ground(settings={"ORCHESTRATOR_WEBSOCKET_PING_INTERVAL": "1"}) as stands:
        await asyncio.sleep(SETTLE_SECONDS)
        anyway = await idle(stands)
        await follow(stands.services[0], [(f"tenant-{number}", "s") for number in range(TENANTS)])
        await asyncio.sleep(SETTLE_SECONDS)
        watch = Watch(stands)
        await asyncio.sleep(IDLE_SECONDS)
        return {"service_us_per_ping": watch.each(TENANTS * IDLE_SECONDS, idle=anyway).service}


def _memory(stands: Ground) -> int:
    """Bytes that the first service has in memory."""
    lines = Path(f"/proc/{stands.services[0].process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
