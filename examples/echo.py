"""Streams: each piece that is yielded is on the page at once."""

import asyncio

from orchestrator.worker import AgentWorker, Task

worker = AgentWorker()


@worker.agent("agent-echo")
async def echo(task: Task):
    """Says what it was told, word by word."""
    for word in task.message.split():
        yield word + " "
        await asyncio.sleep(0.05)
