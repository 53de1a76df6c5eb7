"""The agents of an experiment that run on the SDK: `orchestrator worker tests.faults.agents:worker`."""

import asyncio
import os
from collections.abc import AsyncIterator

from tests.faults.child import AGENTS
from tests.faults.record import pieces_of

from orchestrator.worker import AgentWorker
from orchestrator.worker.task import Task

worker = AgentWorker(concurrency=16, chunk_interval=0)


@worker.agent(*os.environ[AGENTS].split(","))
async def answer(task: Task) -> AsyncIterator[str]:
    """The words that the message asks for, one by one."""
    for piece, pause in pieces_of(task.message):
        await asyncio.sleep(pause)
        yield piece
