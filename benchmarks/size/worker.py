"""How many tasks one process of the SDK claims, runs and reports, with agents that do nothing.

The tasks wait when it begins: it is stopped while they are put on their queues, 50 tenants and three agents.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from tests.servers import base_environment, wait_until

from benchmarks.deployment import cpu_seconds
from benchmarks.figures import Figure
from benchmarks.load.agent import Redis, connect
from benchmarks.load.no_op import AGENTS
from benchmarks.size.stand import place, run, socket_of
from benchmarks.valkey import running_valkey
from orchestrator.broker.agent_queues import AgentQueues
from orchestrator.broker.dispatch import Dispatch, Waiting
from orchestrator.broker.keys import execution_queue
from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.context import ExecutionContext
from orchestrator.protocol.task_message import TaskMessage
from orchestrator.protocol.times import rfc3339
from orchestrator.tether import tethered

TASKS: Final = 30_000
QUICK_TASKS: Final = 10_000
TENANTS: Final = 50
TIER: Final = "professional"
_WARM: Final = 1_000
_A_CALL: Final = 100
_FOLDER: Final = Path(__file__).resolve().parents[2]


def figures(*, quick: bool) -> list[Figure]:
    """Claims a second and what they cost."""
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as valkey:
        place(valkey.pid, service=False)
        place(os.getpid(), service=False)
        with _worker(valkey.url, Path(folder)) as worker:
            return run(_measure(valkey, worker, QUICK_TASKS if quick else TASKS))


@contextmanager
def _worker(redis_url: str, folder: Path) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "orchestrator", "worker", "benchmarks.load.no_op:worker"]
    environment = {**base_environment(), "REDIS_URL": redis_url, "ORCHESTRATOR_LOG_LEVEL": "WARNING"}
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            tethered(command, signal.SIGKILL),
            env=environment,
            cwd=_FOLDER,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _measure(valkey: ValkeyServer, worker: subprocess.Popen[bytes], count: int) -> list[Figure]:
    redis = await connect(socket_of(valkey.url))
    async with AgentQueues(valkey.url, lambda _: None) as queues:
        await _put(queues, _WARM)
        await _ended(redis, 0, _WARM)
        place(worker.pid, service=True)
        os.kill(worker.pid, signal.SIGSTOP)
        await _put(queues, count)
    before, began = _spent(valkey, worker), time.perf_counter()
    os.kill(worker.pid, signal.SIGCONT)
    await _ended(redis, _WARM, count)
    seconds, after = time.perf_counter() - began, _spent(valkey, worker)
    redis.close()
    of_worker, of_valkey = ((a - b) / count * 1e6 for a, b in zip(after, before, strict=True))
    busy = (after[0] - before[0]) / seconds
    return [
        Figure(
            name="claims_per_second",
            says="tasks claimed, run and reported by one worker process",
            value=count / seconds,
            unit="1/s",
            goal=6_000,
            better="more",
            note=f"no-op agents, 256 at a time; worker {busy:.0%} of its core",
        ),
        Figure(name="worker_us_per_claim", says="worker CPU of a task", value=of_worker, unit="µs", goal=160),
        Figure(
            name="valkey_us_per_claim",
            says="Valkey CPU of a task, its reports pushed",
            value=of_valkey,
            unit="µs",
            goal=160,
        ),
    ]


def _spent(valkey: ValkeyServer, worker: subprocess.Popen[bytes]) -> tuple[float, float]:
    return cpu_seconds(worker.pid), cpu_seconds(valkey.pid)


async def _ended(redis: Redis, before: int, count: int) -> None:
    """Wait until so many more tasks were reported as running and as completed."""

    async def all_reported() -> bool:
        await asyncio.sleep(0.1)  # what asks is no part of what is measured
        lengths = await asyncio.gather(*(redis.send("LLEN", _home(tenant)) for tenant in range(TENANTS)))
        return sum(lengths) >= 2 * (before + count)

    await wait_until(all_reported, within=60)


async def _put(queues: AgentQueues, count: int) -> None:
    """Tasks on their queues, each with its place in the fair order, as the service does it."""
    dispatch = Dispatch(queues.scripts.run)
    for start in range(0, count, _A_CALL):
        waits = [_waiting(number) for number in range(start, min(start + _A_CALL, count))]
        payloads = [_payload(one) for one in waits]
        await asyncio.gather(
            *(
                queues.scripts.run(
                    "push", execution_queue(one.context, TIER), one.task, 1, payload, 600_000, "left", 0
                )
                for one, payload in zip(waits, payloads, strict=True)
            )
        )
        await dispatch.ready(waits)


def _home(tenant: int) -> str:
    return f"orchestrator:t-{tenant}:callbacks"


def _waiting(number: int) -> Waiting:
    name = f"task-{os.urandom(16).hex()}"
    return Waiting(name, 1, AGENTS[number % len(AGENTS)], TIER, _home(number % TENANTS), 4)


def _payload(waiting: Waiting) -> bytes:
    now = time.time_ns() // 1_000
    tenant = waiting.home.split(":")[1]
    message = TaskMessage(
        task_id=waiting.task,
        tenant_id=tenant,
        tenant_tier=TIER,
        session_id="s-1",
        user_id="ada",
        conversation_id=None,
        execution_context=ExecutionContext(
            context_id=waiting.context,
            context_type="agent",
            tenant_id=tenant,
            tenant_tier=TIER,
            primary_agent_id=waiting.context,
            agents=(waiting.context,),
            created_at=rfc3339(now),
        ),
        message="hello",
        message_type="text",
        user_info={},
        metadata={},
        stream=True,
        max_iterations=None,
        callback_queue=waiting.home,
        cancel_key=f"{{{waiting.home}}}:cancel:{waiting.task}",
        created_at=rfc3339(now),
        deadline=rfc3339(now + 300_000_000),
        traceparent=None,
    )
    return msgspec.json.encode(message)
