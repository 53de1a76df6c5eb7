"""Takes into account what the user adds while it works: messages sent with the turn policy `steer`."""

import asyncio

from orchestrator.worker import AgentWorker, Task

worker = AgentWorker()


@worker.agent("agent-story")
async def story(task: Task):
    """Tells a story of ten sentences; whoever is added on the way appears in it."""
    heroes = [task.message]
    for sentence in range(1, 11):
        heroes += [message.message for message in await task.messages()]
        yield f"{sentence}. {' and '.join(heroes)} went on. "
        await asyncio.sleep(0.3)
