"""Plays the part of the Orchestrator that looks after attempts: pushes with markers, dispatch, leases."""

import json
from typing import Any

from tests.worker.service import CALLBACKS

from orchestrator.broker.agent_queues import AgentQueues
from orchestrator.broker.dispatch import Dispatch, Lapsed, Waiting

_MARKER_MS = 120_000


class Supervisor:
    """Announces attempts as the service does, and ends them behind the worker's back."""

    def __init__(self, queues: AgentQueues) -> None:
        self._scripts = queues.scripts
        self.dispatch = Dispatch(queues.scripts.run)

    async def announce(self, task: dict[str, Any], *, cap: int = 0) -> None:
        """Puts the attempt on its queue in the place of the one before, and tells dispatch."""
        task_id, attempt, tier = task["task_id"], task["attempt"], task["tenant_tier"]
        context = task["execution_context"]["context_id"]
        push = (
            task_id,
            attempt,
            json.dumps(task),
            _MARKER_MS,
            "right" if attempt > 1 else "left",
            attempt - 1,
        )
        await self._scripts.run("push", f"execution:{context}:{tier}", *push)
        await self.dispatch.ready([Waiting(task_id, attempt, context, tier, CALLBACKS, 1, cap)])

    async def retry(self, task: dict[str, Any]) -> None:
        """Begins the next attempt."""
        await self.announce(task | {"attempt": task["attempt"] + 1})

    async def overdue(self) -> list[Lapsed]:
        """Attempts whose worker was not heard in time."""
        return await self.dispatch.overdue("orchestrator", 100)

    async def lease_ends(self, task_id: str) -> float | None:
        """When the lease of a task is over, in ms; None where nobody has one."""
        key = "{dispatch}:leases:orchestrator"
        found = await self._scripts.command(key, "ZSCORE", key, task_id)
        return found and float(found)
