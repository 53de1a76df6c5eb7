"""Ledgers of tasks and the view of a session, for who may see them."""

import asyncio
from collections.abc import Sequence
from typing import Final

from orchestrator.auth.identity import Identity
from orchestrator.broker.broker import Clock
from orchestrator.broker.logs import Logs
from orchestrator.broker.tasks import Record, Tasks, Wait
from orchestrator.dispatch.explanation import Explainer
from orchestrator.errors import Problem
from orchestrator.protocol.identifiers import is_valid_task_id
from orchestrator.protocol.ledger import Ledger, is_waiting, read_ledger
from orchestrator.protocol.waiting import NOTHING

EXPLAINED_MAX: Final = 20
"""Of so many of a session's tasks it is told why they wait: each may cost a search through its queue."""


class Ledgers:
    """Reads what is known of tasks."""

    def __init__(self, tasks: Tasks, logs: Logs, explainer: Explainer, clock: Clock) -> None:
        self._tasks = tasks
        self._logs = logs
        self._explainer = explainer
        self._clock = clock

    async def of_task(self, identity: Identity, task: str) -> Ledger:
        """A task's ledger; `not_found` also for another tenant's or user's: existence is not revealed."""
        session = (identity.session or "") if identity.bound else ""
        record = None
        if is_valid_task_id(task):
            record = await self._tasks.record(identity.tenant, task, identity.user, session)
        if record is None:
            raise Problem("not_found", "there is no such task")
        return (await self._told(identity.tenant, [(task, record)]))[0]

    async def of_session(self, tenant: str, session: str, user: str) -> tuple[str, list[Ledger]]:
        """A session's position and the ledgers of its open and recent tasks, newest first."""
        view = await self._logs.view(tenant, session, user)
        if view.outcome == "session_denied":
            raise Problem("session_denied", "the session belongs to another user")
        if view.outcome == "not_found":
            raise Problem("not_found", "there is no such session")
        records = await asyncio.gather(*(self._tasks.record(tenant, task) for task in view.tasks))
        kept = [(task, record) for task, record in zip(view.tasks, records, strict=True) if record]
        return view.position, await self._told(tenant, kept)

    async def _told(self, tenant: str, records: Sequence[tuple[str, Record]]) -> list[Ledger]:
        waiting = [(task, record) for task, record in records if is_waiting(record) and "payload" in record]
        waits = await asyncio.gather(*(self._wait(tenant, *pair) for pair in waiting[:EXPLAINED_MAX]))
        told = await self._explainer.explain(tenant, waits) if waits else []
        known = {wait.task: explanation for wait, explanation in zip(waits, told, strict=True)}
        return [read_ledger(task, record, known.get(task, NOTHING)) for task, record in records]

    async def _wait(self, tenant: str, task: str, record: Record) -> Wait:
        return Wait(
            task=task,
            attempt=int(record["attempt"]),
            status=record["status"].decode(),
            context=record["context"].decode(),
            tier=record["tier"].decode(),
            queue=record["queue"].decode(),
            waited_micros=self._clock.now() - int(record["accepted_at"]),
            due_micros=await self._tasks.due(tenant, task) if record["status"] == b"retrying" else 0,
            held=bool(record.get("held")),
        )
