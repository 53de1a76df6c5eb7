"""What Valkey spends on an event of the way back, by how events come: `deliver.lua` alone, driven as the service does.

CPU of the server's process by the kernel's accounting, of each case the least of some rounds. Every task runs already.
The goals are for the commands alone; what they come to with the append-only file that `docs/operations.md` asks for
stands beside.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.broker.tenant import KEEPING, Tenant, callback, chunk, raw_client
from tests.servers import valkey_server, wait_until

from benchmarks.deployment import cpu_seconds
from benchmarks.figures import Figure
from benchmarks.valkey import OPTIONS
from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

ROUNDS: Final = 5
TASKS: Final = 1_000
TENANTS: Final = 64
PAYLOAD: Final = b'{"message":"' + b"x" * 700 + b'"}'
Wave = list[tuple[Tenant, list[bytes]]]
"""What lies there when the next calls are made, by tenant."""


class Case(NamedTuple):
    """How the events come."""

    name: str
    says: str
    goal: float | None
    waves: Callable[[Tenant], Awaitable[list[Wave]]]


def run() -> None:
    """Print what was found."""
    for figure in figures():
        print(figure.line(), flush=True)


def figures(rounds: int = ROUNDS) -> list[Figure]:
    """Valkey's CPU per event of each case."""
    with (
        tempfile.TemporaryDirectory() as folder,
        valkey_server(Path(folder)) as server,
        raw_client(server.port) as client,
    ):
        return asyncio.run(_measure(server, client, rounds))


async def _measure(server: ValkeyServer, client: Any, rounds: int) -> list[Figure]:
    async with Broker(server.url, Keys("orchestrator", "orchestrator"), KEEPING) as broker:
        await broker.set_clock()
        alone = await _rounds(server, Tenant(broker, client), rounds)
        for name, value in OPTIONS.items():
            client.config_set(name, value)
        await wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        written = await _rounds(server, Tenant(broker, client), rounds)
    return [
        Figure(
            name=case.name,
            says=case.says,
            value=alone[case.name],
            unit="µs",
            goal=case.goal,
            note=f"{written[case.name]:.1f} with an append-only file",
        )
        for case in CASES
    ]


async def _rounds(server: ValkeyServer, tenant: Tenant, rounds: int) -> dict[str, float]:
    """The least of each case, µs."""
    found: dict[str, list[float]] = {case.name: [] for case in CASES}
    for _ in range(rounds):
        for case in CASES:
            tenant.client.flushall()
            found[case.name].append(await _cost(server, tenant, case))
    return {name: min(values) for name, values in found.items()}


async def _cost(server: ValkeyServer, tenant: Tenant, case: Case) -> float:
    spent, events = 0.0, 0
    for wave in await case.waves(tenant):
        for each, raws in wave:
            each.report(*raws)
        before = cpu_seconds(server.pid)
        events += await _pump([each for each, _ in wave])
        spent += cpu_seconds(server.pid) - before
    return spent / events * 1e6


async def _pump(tenants: list[Tenant]) -> int:
    """Have all of it taken; how many callbacks that were."""
    names, taken = [tenant.name for tenant in tenants], 0
    while True:
        replies = await tenants[0].callbacks.deliver(names)
        assert not any(reply.stop for reply in replies), replies
        taken += sum(reply.taken for reply in replies)
        if not any(reply.left for reply in replies):
            return taken


async def _running(tenant: Tenant, count: int) -> list[str]:
    """So many tasks that agents have begun, each in a session of its own."""
    replies = [await tenant.admit(PAYLOAD, session=f"sess-{number}") for number in range(count)]
    tasks = [reply.task for reply in replies]
    tenant.report(*(chunk(task, "word ", 0) for task in tasks))
    await _pump([tenant])
    return tasks


async def _in_runs(tenant: Tenant) -> list[Wave]:
    tasks = await _running(tenant, TASKS // 10)
    return [[(tenant, [chunk(task, "word ", seq) for task in tasks for seq in range(1, 101)])]]


async def _interleaved(tenant: Tenant) -> list[Wave]:
    tasks = await _running(tenant, TASKS)
    return [[(tenant, [chunk(task, "word ", seq) for seq in range(1, 11) for task in tasks])]]


async def _endings(tenant: Tenant) -> list[Wave]:
    tasks = await _running(tenant, TASKS)
    return [[(tenant, [callback(task, "completed", {"response": "hello"}) for task in tasks])]]


async def _of_many_tenants(tenant: Tenant) -> list[Wave]:
    others = [tenant.another(f"tenant-{number}") for number in range(TENANTS)]
    tasks = [(other, (await _running(other, 1))[0]) for other in others]
    return [[(other, [chunk(task, "word ", seq)]) for other, task in tasks] for seq in range(1, 41)]


CASES: Final = (
    Case("valkey_us_chunk_of_a_run", "Valkey's CPU of a chunk, one task after the other", 8, _in_runs),
    Case("valkey_us_chunk_interleaved", "Valkey's CPU of a chunk, 1 000 tasks at once", None, _interleaved),
    Case("valkey_us_ending", "Valkey's CPU of an ending", 18, _endings),
    Case(
        "valkey_us_of_64_tenants", "Valkey's CPU of a chunk, one for each of 64 tenants", 22, _of_many_tenants
    ),
)
