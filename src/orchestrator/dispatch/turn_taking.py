"""Lets held messages of sessions go, as soon as what they wait for has ended."""

import asyncio
from typing import Final

from orchestrator.broker.connection import BrokerError
from orchestrator.broker.turns import Turns
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.telemetry import Log, LogEvent

AT_ONCE: Final = 64
"""Sessions that are looked at together."""


class TurnTaking:
    """Whoever notes an ending says so here. What is lost here is found by the agenda."""

    def __init__(self, turns: Turns, errands: ErrandRunner, log: Log) -> None:
        self._turns = turns
        self._errands = errands
        self._log = log
        self._waiting: dict[tuple[str, str], None] = {}
        self._working: asyncio.Task[None] | None = None

    def soon(self, tenant: str, session: str) -> None:
        """Something of the session has ended: look whether a held message may go, without anybody waiting."""
        self._waiting[tenant, session] = None
        if self._working is None:
            self._working = asyncio.create_task(self._work())

    async def advance(self, tenant: str, session: str) -> str:
        """The task that may go now, which is on its queue then; '' where none may.

        Raises `BrokerError` where Redis cannot be asked.
        """
        turn, errands = await self._turns.advance(tenant, session)
        await self._errands.run(tenant, errands)
        if turn.released:
            self._log.info(LogEvent.TURN_TAKEN, tenant_id=tenant, session_id=session, task_id=turn.released)
        return turn.released

    async def settled(self) -> None:
        """Return when nothing is left to look at."""
        while self._working is not None:
            await asyncio.wait((self._working,))

    async def _work(self) -> None:
        try:
            while self._waiting:
                some = list(self._waiting)[:AT_ONCE]
                for name in some:
                    del self._waiting[name]
                await asyncio.gather(*(self._quietly(*name) for name in some))
        finally:
            self._working = None

    async def _quietly(self, tenant: str, session: str) -> None:
        try:
            await self.advance(tenant, session)
        except BrokerError as error:
            self._log.warning(LogEvent.TURN_FAILED, tenant_id=tenant, session_id=session, error=str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not keep the other sessions waiting
            self._log.error(LogEvent.UNEXPECTED_ERROR, tenant_id=tenant, exc_info=error)
