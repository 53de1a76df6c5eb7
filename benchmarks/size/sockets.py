"""10 000 idle sockets of 5 000 tenants in one process: what they weigh, how fast they come, what they cost at rest."""

import asyncio
from collections.abc import Sequence
from typing import Final

from benchmarks.deployment import Measured
from benchmarks.figures import Figure
from benchmarks.size.crowd import Crowd, Place, place_of
from benchmarks.size.stand import Cost, Meter, memory, run, standing, stood

SOCKETS: Final = 10_000
QUICK_SOCKETS: Final = 4_000
EACH: Final = 2
"""Sockets of a tenant."""
SETTLE_SECONDS: Final = 8.0
IDLE_SECONDS: Final = 30.0
"""One interval of pings."""
_WARM: Final = 500


def figures(*, quick: bool) -> list[Figure]:
    """Memory, connecting and rest."""
    with stood() as measured:
        return run(_measure(measured, QUICK_SOCKETS if quick else SOCKETS))


async def _measure(measured: Measured, count: int) -> list[Figure]:
    async with standing(measured) as stand:
        crowd = Crowd(stand.port)
        await crowd.come(_places("warm", _WARM))
        rss, pss = memory(stand.service_pid)
        meter = Meter(stand.measured)
        await crowd.come(_places("tenant", count))
        opening = meter.read()
        await asyncio.sleep(SETTLE_SECONDS)
        rss_after, pss_after = memory(stand.service_pid)
        before, meter = crowd.pings, Meter(stand.measured)
        await asyncio.sleep(IDLE_SECONDS)
        rest = meter.read()
        told = f"{count} sockets with a browser's headers"
        return [
            _kilobytes("rss", (rss_after - rss) / count, told),
            _kilobytes("pss", (pss_after - pss) / count, told),
            *connecting("url", opening, count, "header mode"),
            *_at_rest(rest, count, crowd.pings - before),
        ]


def _places(name: str, count: int) -> Sequence[Place]:
    return [place_of(f"{name}-{number // EACH}", f"s-{number}") for number in range(count)]


def _kilobytes(kind: str, size: float, note: str) -> Figure:
    return Figure(
        name=f"{kind}_kb_per_socket",
        says=f"memory of an idle WebSocket, {kind.upper()}",
        value=size / 1024,
        unit="KB",
        goal=20,
        note=note,
    )


def connecting(way: str, cost: Cost, count: int, note: str) -> list[Figure]:
    """How fast sockets came, and for what; the rate is also the load's."""
    busy = f"service {cost.service / cost.seconds:.0%} of its core"
    return [
        Figure(
            name=f"connects_per_second_{way}",
            says=f"sockets opened, one service core, by {way}",
            value=count / cost.seconds,
            unit="1/s",
            goal=2_500,
            better="more",
            note=f"{note}; {busy}",
        ),
        Figure(
            name=f"service_us_per_connect_{way}",
            says=f"service CPU of a connect, by {way}",
            value=cost.service / count * 1e6,
            unit="µs",
            goal=400,
            note=f"Valkey {cost.valkey / count * 1e6:.0f} µs",
        ),
    ]


def _at_rest(cost: Cost, sockets: int, pings: int) -> list[Figure]:
    share = {"service": cost.service / cost.seconds * 100, "valkey": cost.valkey / cost.seconds * 100}
    said = f"{sockets} sockets of {sockets // EACH} tenants, {pings} pings in {cost.seconds:.0f} s"
    return [
        Figure(
            name="idle_service_percent",
            says="service CPU at rest",
            value=share["service"],
            unit="% of a core",
            goal=2,
            note=said,
        ),
        Figure(
            name="idle_valkey_percent",
            says="Valkey CPU at rest",
            value=share["valkey"],
            unit="% of a core",
            note=said,
        ),
    ]
