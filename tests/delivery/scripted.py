"""The worker's handler, played by a test."""

import asyncio

from orchestrator.delivery.callback_handler import Handled


class Scripted:
    """A handler whose calls the test holds and answers."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate = asyncio.Event()
        self.answers: list[Handled | Exception] = []

    async def handle(self, tenants: list[str]) -> Handled:
        """Note the call, and answer when the gate is open."""
        self.calls.append(tenants)
        answer = self.answers.pop(0) if self.answers else Handled([], [])
        await self.gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer
