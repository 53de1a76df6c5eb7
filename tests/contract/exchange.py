"""Steps of a conversation that many tests share: a message taken, and what the agent says about it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.contract.client import Agent, Caller
from tests.contract.conftest import Command
from tests.contract.socket_client import Frame
from tests.servers import wait_until

ENDED = ("completed", "failed", "timeout", "cancelled")


async def asked(caller: Caller, agent: Agent, **members: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message that the agent has taken: the body of its 202, and the task."""
    accepted = await caller.accepted(**members)
    task = await agent.take()
    assert task["task_id"] == accepted["task_id"]
    return accepted, task


async def say(agent: Agent, task: Mapping[str, Any], deltas: Iterable[str], first: int = 0) -> None:
    """Pieces of the answer, numbered from `first`."""
    for seq, delta in enumerate(deltas, first):
        await agent.report(task, "streaming", result={"delta": delta}, seq=seq, attempt=task["attempt"])


async def push(agent: Agent, task: Mapping[str, Any], *callbacks: str | bytes) -> None:
    """Raw callbacks, in this order, on the queue that the task names."""
    for callback in callbacks:
        await agent.redis.lpush(task["callback_queue"], callback)


def callback(task: Mapping[str, Any], status: str, **members: Any) -> dict[str, Any]:
    """The members of a callback."""
    return {"action_type": "execution.callback", "task_id": task["task_id"], "status": status} | members


async def settle(caller: Caller, agent: Agent) -> None:
    """Returns once every callback that was pushed before has been dealt with: they are taken in order."""
    accepted, task = await asked(caller, agent)
    await agent.complete(task)
    await ended(caller, accepted["task_id"])


async def ended(caller: Caller, task_id: str, within: float = 10) -> dict[str, Any]:
    """The ledger of a task, once it has ended."""

    async def is_over() -> bool:
        return await caller.status(task_id) in ENDED

    await wait_until(is_over, within)
    return await caller.ledger(task_id)


def text_of(frames: Iterable[Frame], task_id: str) -> str:
    """What a client shows of the task's answer while it streams."""
    shown = [f["data"] for f in frames if f["type"] == "agent_chunk" and f["task_id"] == task_id]
    return "".join(data["delta"] for data in shown)


async def dead_letters(orchestrator: Command, tenant_id: str) -> list[dict[str, Any]]:
    """The tenant's dead letters as an operator lists them, here the oldest first."""
    listed = await orchestrator("dead", "list", "--tenant", tenant_id, "--json")
    return json.loads(listed.stdout)[::-1]
