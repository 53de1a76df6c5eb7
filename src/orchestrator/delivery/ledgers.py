"""Ledgers of tasks and the view of a session, for who may see them."""

import asyncio

from orchestrator.broker.logs import Logs
from orchestrator.broker.tasks import Tasks
from orchestrator.errors import Problem
from orchestrator.protocol.identifiers import is_valid_task_id
from orchestrator.protocol.ledger import Ledger, is_waiting, read_ledger


class Ledgers:
    """Reads what is known of tasks."""

    def __init__(self, tasks: Tasks, logs: Logs) -> None:
        self._tasks = tasks
        self._logs = logs

    async def of_task(self, tenant: str, task: str, user: str = "") -> Ledger:
        """A task's ledger; `not_found` also for another tenant's or user's: existence is not revealed."""
        ledger = await self._read(tenant, task) if is_valid_task_id(task) else None
        if (
            ledger is not None
            and user
            and await self._tasks.owner(tenant, ledger.session_id) not in {"", user}
        ):
            ledger = None
        if ledger is None:
            raise Problem("not_found", "there is no such task")
        return ledger

    async def of_session(self, tenant: str, session: str, user: str) -> tuple[str, list[Ledger]]:
        """A session's position and the ledgers of its open and recent tasks, newest first."""
        view = await self._logs.view(tenant, session, user)
        if view.outcome == "session_denied":
            raise Problem("session_denied", "the session belongs to another user")
        if view.outcome == "not_found":
            raise Problem("not_found", "there is no such session")
        ledgers = await asyncio.gather(*(self._read(tenant, task) for task in view.tasks))
        return view.position, [ledger for ledger in ledgers if ledger is not None]

    async def _read(self, tenant: str, task: str) -> Ledger | None:
        record = await self._tasks.record(tenant, task)
        if record is None or "status" not in record:
            return None
        ahead = None
        if is_waiting(record) and "payload" in record:
            ahead = await self._tasks.ahead(record["queue"].decode(), record["payload"])
        return read_ledger(task, record, None if ahead is None else ahead + 1)
