"""People's answers to what agents ask."""

from typing import Final, Literal

import msgspec

from orchestrator.broker.broker import Broker

AnswerOutcome = Literal["answered", "repeated", "not_waiting", "not_found"]


class Answered(msgspec.Struct, frozen=True):
    """What became of an answer; `due` is when the tenant has to be looked at for it (µs), 0: not for that."""

    outcome: AnswerOutcome
    due: int


_answered: Final = msgspec.msgpack.Decoder(Answered).decode


class Answers:
    """The typed call of `answer.lua`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def give(
        self, tenant: str, task: str, question: str, answer: bytes, *, user: str = "", session: str = ""
    ) -> Answered:
        """Answer a question, once; `answer` is JSON as `canonical` spells it. Idempotent.

        `user` and `session` are the only ones it may be of, '' is any.
        """
        arguments = self._broker.arguments(task=task, user=user, session=session, question=question)
        reply = await self._broker.run("answer", self._broker.keys.callbacks(tenant), arguments, answer)
        return _answered(reply)
