"""Tells viewers what goes on: progress and tools, beside the text."""

import asyncio

from orchestrator.worker import AgentWorker, Task, TaskError

worker = AgentWorker()

STOCK = {"apples": 12, "pears": 0}


async def look_up(fruit: str) -> int:
    """Stands for a slow system."""
    await asyncio.sleep(0.1)
    if fruit not in STOCK:
        raise TaskError(f"We have never had {fruit}.", code="unknown_fruit")
    return STOCK[fruit]


@worker.agent("agent-stock")
async def stock(task: Task):
    """Says how many of each there are: `apples pears`."""
    fruits = task.message.split()
    for done, fruit in enumerate(fruits):
        await task.emit("tool_call", name="look_up", arguments={"fruit": fruit})
        count = await look_up(fruit)
        await task.emit("tool_result", name="look_up", result=count)
        await task.emit("progress", percent=100 * (done + 1) // len(fruits))
        yield f"{count or 'No'} {fruit}. "
