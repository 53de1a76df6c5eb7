"""Agents that answer at once, for `orchestrator worker benchmarks.load.no_op:worker`."""

from orchestrator.worker import AgentWorker, Task

AGENTS = ("agent-1", "agent-2", "agent-3")
worker = AgentWorker(concurrency=256)


@worker.agent(*AGENTS)
async def answer(task: Task) -> str:
    """What everybody gets."""
    return f"hello {task.user_id}"
