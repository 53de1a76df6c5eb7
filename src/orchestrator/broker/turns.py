"""Turns of sessions: which held message goes next."""

from typing import Final

import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.broker.errands import Errand, Errands


class Turn(msgspec.Struct, frozen=True):
    """The task that was let go, '' where none was, and what has to be pushed for it."""

    released: str
    errands: list[Errand]


_turn: Final = msgspec.msgpack.Decoder(Turn).decode


class Turns:
    """Typed call of `next_turn.lua`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def advance(self, tenant: str, session: str) -> tuple[Turn, Errands]:
        """Let the next held message of a session go, unless another one is active. Idempotent."""
        arguments = self._broker.arguments(session=session)
        queue = self._broker.keys.callbacks(tenant)
        first, *payloads = await self._broker.run("next_turn", queue, arguments)
        turn = _turn(first)
        return turn, list(zip(turn.errands, payloads, strict=True))
