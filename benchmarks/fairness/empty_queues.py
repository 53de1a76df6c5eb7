"""What a task costs Redis where a worker serves 10 000 agents and nothing waits for nearly all of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from benchmarks.deployment import cpu_seconds
from benchmarks.fairness.rules import LEASE_MS, VirtualScripts
from orchestrator.broker.dispatch import Dispatch, Waiting
from orchestrator.broker.keys import execution_queue
from orchestrator.protocol.tiers import TIERS

AGENTS: Final = (10, 10_000)
TASKS: Final = 1_000
LOOKS: Final = 2_000_000
"""Queues that are looked at in all, so that few agents take long enough to be measured."""

Measure = Callable[[Any, list[str]], Awaitable[int]]


def costs(client: Any, pid: int) -> list[str]:
    """CPU of Redis per task, by rule: with ten agents, and with 10 000."""
    cells: list[str] = []
    for measure in (_ours, _in_order, _in_turns):
        each = [asyncio.run(_cost(client, pid, measure, agents)) for agents in AGENTS]
        cells.append(" → ".join(f"{micros:,.0f}" for micros in each).replace(",", " "))
    return cells


async def _cost(client: Any, pid: int, measure: Measure, agents: int) -> float:
    client.flushall()
    contexts = [f"agent-{number}" for number in range(agents)]
    await measure(client, contexts)  # scripts are loaded, workers registered
    before = cpu_seconds(pid)
    tasks = await measure(client, contexts)
    return (cpu_seconds(pid) - before) / tasks * 1e6


async def _ours(client: Any, contexts: list[str]) -> int:
    """Announced, claimed and finished, one at a time."""
    scripts = VirtualScripts(client)
    scripts.set_clock(0)
    dispatch = Dispatch(scripts.run)
    await dispatch.register("worker", contexts, 1, LEASE_MS)
    for number in range(TASKS):
        context = contexts[number * 7 % len(contexts)]
        await dispatch.ready(
            [Waiting(f"task-{number}", 1, context, "free", f"orchestrator:t{number % 50}:callbacks")]
        )
        (claimed,) = await dispatch.claim("worker", LEASE_MS, 1)
        await dispatch.finish([(claimed.task, 1)], "worker")
    return TASKS


async def _in_order(client: Any, contexts: list[str]) -> int:
    """One `BRPOP` that names every queue, the highest tier first."""
    queues = [execution_queue(context, tier) for tier in reversed(TIERS) for context in contexts]
    pops = min(TASKS, LOOKS // len(queues))
    for number in range(pops):
        client.lpush(execution_queue(contexts[number * 7 % len(contexts)], "free"), "task")
        client.brpop(queues, 1)
    return pops


async def _in_turns(client: Any, contexts: list[str]) -> int:
    """The same with another queue first each time."""
    queues = [execution_queue(context, tier) for context in contexts for tier in TIERS]
    pops = min(TASKS, LOOKS // len(queues))
    for number in range(pops):
        client.lpush(execution_queue(contexts[number * 7 % len(contexts)], "free"), "task")
        start = number * 4 % len(queues)
        client.brpop(queues[start:] + queues[:start], 1)
    return pops
