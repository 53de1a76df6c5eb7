"""Pushes of a tenant that are due: at once where that is now, else by the agenda."""

from typing import Final

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Clock
from orchestrator.broker.tasks import Tasks
from orchestrator.dispatch.errands import ErrandRunner

LAG_MICROS: Final = 100_000
"""How far the clock here may be behind the server's. Who asks too early is told when the next push is due; a lease
lasts longer than this, so none is missed."""


class DuePushes:
    """Pushes what a script has made due, without waiting for the agenda's next look."""

    def __init__(self, tasks: Tasks, agenda: Agenda, errands: ErrandRunner, clock: Clock) -> None:
        self._tasks = tasks
        self._agenda = agenda
        self._errands = errands
        self._clock = clock

    async def attend(self, tenant: str, due: int) -> None:
        """Something of the tenant is due at a moment (µs): push it now, or plan to look then."""
        if due > self._clock.now() + LAG_MICROS:
            await self._agenda.note(tenant, due)
            return
        pushes, errands = await self._tasks.due_pushes(tenant)
        await self._errands.run(tenant, errands)
        if pushes.next:
            await self._agenda.note(tenant, pushes.next)
