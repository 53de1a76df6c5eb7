"""How long one call of a script holds Redis, at the worst that agents and tenants may give it.

Redis does one thing at a time, so whatever holds it holds everybody. The server's own clock tells (`SLOWLOG`): of each
case the shortest of some tries, since everything longer is this machine's doing, and of each try its longest call.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.broker.tenant import KEEPING, Tenant, raw_client
from tests.servers import valkey_server

from benchmarks.holding.agents import Case, agents_cases
from benchmarks.holding.users import users_cases
from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys

TRIES: Final = 5


def run() -> None:
    """Print a table, the longest first."""
    with (
        tempfile.TemporaryDirectory() as folder,
        valkey_server(Path(folder)) as server,
        raw_client(server.port) as client,
    ):
        found = asyncio.run(_measure(server.url, client))
    print(f"{'ms':>8}  the longest call")
    for milliseconds, name in sorted(found, reverse=True):
        print(f"{milliseconds:>8.2f}  {name}")


async def _measure(url: str, client: Any) -> list[tuple[float, str]]:
    async with Broker(url, Keys("orchestrator", "orchestrator"), KEEPING) as broker:
        await broker.set_clock()
        tenant = Tenant(broker, client)
        return [(await _shortest(tenant, case), case.name) for case in (*agents_cases(), *users_cases())]


async def _shortest(tenant: Tenant, case: Case) -> float:
    tries = [await _longest(tenant, case) for _ in range(TRIES)]
    return min(tries) / 1000


async def _longest(tenant: Tenant, case: Case) -> int:
    tenant.client.flushall()
    prepared = await case.prepare(tenant)
    tenant.client.config_set("slowlog-log-slower-than", 0)
    tenant.client.execute_command("SLOWLOG", "RESET")
    await case.act(tenant, prepared)
    entries = tenant.client.execute_command("SLOWLOG", "GET", 128)
    tenant.client.config_set("slowlog-log-slower-than", 1_000_000)
    return max(entry[2] for entry in entries if entry[3][0].upper() in {b"FCALL", b"LINDEX"})
