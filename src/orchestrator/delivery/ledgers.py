"""Ledgers of tasks and the view of a session, for who may see them."""

import asyncio
from typing import Final

from orchestrator.auth.identity import Identity
from orchestrator.broker.logs import Logs
from orchestrator.broker.tasks import Record, Tasks
from orchestrator.errors import Problem
from orchestrator.protocol.identifiers import is_valid_task_id
from orchestrator.protocol.ledger import Ledger, is_waiting, read_ledger

PLACED_MAX: Final = 20
"""Of so many of a session's tasks the place in their queue is told: each costs a search through the queue."""


class Ledgers:
    """Reads what is known of tasks."""

    def __init__(self, tasks: Tasks, logs: Logs) -> None:
        self._tasks = tasks
        self._logs = logs

    async def of_task(self, identity: Identity, task: str) -> Ledger:
        """A task's ledger; `not_found` also for another tenant's or user's: existence is not revealed."""
        session = (identity.session or "") if identity.bound else ""
        record = None
        if is_valid_task_id(task):
            record = await self._tasks.record(identity.tenant, task, identity.user, session)
        if record is None:
            raise Problem("not_found", "there is no such task")
        return await self._told(task, record)

    async def of_session(self, tenant: str, session: str, user: str) -> tuple[str, list[Ledger]]:
        """A session's position and the ledgers of its open and recent tasks, newest first."""
        view = await self._logs.view(tenant, session, user)
        if view.outcome == "session_denied":
            raise Problem("session_denied", "the session belongs to another user")
        if view.outcome == "not_found":
            raise Problem("not_found", "there is no such session")
        placed = set(view.tasks[:PLACED_MAX])
        ledgers = await asyncio.gather(*(self._read(tenant, task, task in placed) for task in view.tasks))
        return view.position, [ledger for ledger in ledgers if ledger is not None]

    async def _read(self, tenant: str, task: str, placed: bool) -> Ledger | None:
        record = await self._tasks.record(tenant, task)
        return None if record is None else await self._told(task, record, placed)

    async def _told(self, task: str, record: Record, placed: bool = True) -> Ledger:
        ahead = None
        if placed and is_waiting(record) and "payload" in record:
            ahead = await self._tasks.ahead(record["queue"].decode(), record["payload"])
        return read_ledger(task, record, None if ahead is None else ahead + 1)
