"""What Valkey keeps of a session, of an event in its log and of a task that has ended: by MEMORY USAGE of every key."""

import json
from typing import Any, Final, NamedTuple

from tests.packed import State

from benchmarks.capacity.ground import Ground, begin, callbacks, ground, until
from benchmarks.load.agent import chunk
from benchmarks.measures import client_of

SESSIONS: Final = 50
ANSWER: Final = "x" * 1000


class Kept(NamedTuple):
    """On average of a session."""

    bytes: float
    events: float


async def measure() -> dict[str, float]:
    """The figures by their names."""
    with ground() as stands:
        async with client_of(f"redis://127.0.0.1:{stands.valkey.port}") as client:
            few = await _kept(stands, client, "few", tasks=1, chunks=10)
            long = await _kept(stands, client, "long", tasks=1, chunks=210)
            many = await _kept(stands, client, "many", tasks=11, chunks=10)
    event = (long.bytes - few.bytes) / (long.events - few.events)
    task = (many.bytes - few.bytes - (many.events - few.events) * event) / 10
    return {
        "bytes_per_session": few.bytes - task - few.events * event,
        "bytes_per_log_event": event,
        "bytes_per_ledger": task - len(ANSWER),
    }


async def _kept(stands: Ground, client: Any, tenant: str, *, tasks: int, chunks: int) -> Kept:
    """What is left of sessions with so many tasks, each answered in so many pieces."""
    sessions = [(tenant, f"session-{number}") for number in range(SESSIONS)]
    for _ in range(tasks):
        for task in await begin(stands.services[0], sessions):
            ending = {"task_id": task, "status": "completed", "result": {"response": ANSWER}}
            pieces = [chunk(task.encode(), number) for number in range(chunks)]
            await client.lpush(callbacks(tenant), *pieces, json.dumps(ending))
    await until(lambda: _empty(client, tenant))
    return Kept(await _bytes(client, tenant) / SESSIONS, await _events(client, sessions) / SESSIONS)


async def _empty(client: Any, tenant: str) -> bool:
    return not await client.zcard(_key(tenant, "outstanding"))


async def _bytes(client: Any, tenant: str) -> int:
    kinds = ("task:*", "session:*", "log:*", "tasks:*", "rate:*")
    found = 0
    for kind in kinds:
        async for key in client.scan_iter(_key(tenant, kind), count=1_000):
            found += await client.memory_usage(key, samples=0)
    return found


async def _events(client: Any, sessions: list[tuple[str, str]]) -> int:
    states = [await client.hget(_key(tenant, f"session:{name}"), "state") for tenant, name in sessions]
    return sum(State.read(state).top for state in states)


def _key(tenant: str, name: str) -> str:
    return f"{{{callbacks(tenant)}}}:{name}"
