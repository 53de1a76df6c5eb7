"""Opens what all tasks share once: before the first task, closed after the last."""

import sqlite3
from collections.abc import AsyncIterator

from orchestrator.worker import AgentWorker, Task

worker = AgentWorker(concurrency=4)


@worker.lifespan
async def notes() -> AsyncIterator[sqlite3.Connection]:
    """What is yielded is `task.resources`."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE notes (tenant TEXT, note TEXT)")
    yield connection
    connection.close()


@worker.agent("agent-notes")
async def note(task: Task[sqlite3.Connection]) -> str:
    """Keeps each message as a note of its tenant, and says how many that makes."""
    database = task.resources
    database.execute("INSERT INTO notes VALUES (?, ?)", (task.tenant_id, task.message))
    (count,) = database.execute("SELECT count(*) FROM notes WHERE tenant = ?", (task.tenant_id,)).fetchone()
    return f"Noted. That makes {count}."
