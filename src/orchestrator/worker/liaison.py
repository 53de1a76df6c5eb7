"""Speaks with the service about one attempt: progress, later messages, questions to people."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import msgspec

from orchestrator.broker.agent_inbox import Asked
from orchestrator.worker.answer_watch import AnswerWatch
from orchestrator.worker.deadline import Deadline
from orchestrator.worker.log import Log, WorkerEvent
from orchestrator.worker.message import Message
from orchestrator.worker.reports import Question, Reports
from orchestrator.worker.task import Address, Reply

_GRACE: Final = 2.0
"""Seconds that a question is waited for beyond its time: for the service it begins a little later."""

StandAside = Callable[[], AbstractAsyncContextManager[None]]
"""While its block runs, the task holds no slot of the worker."""


class _Answer(msgspec.Struct, frozen=True):
    """Without `answer` the service says that nobody gave one in time."""

    deadline: Annotated[datetime, msgspec.Meta(tz=True)]
    answer: Any = msgspec.UNSET


class Inbox(Protocol):
    """Reads what users have added to a running task, in the order in which it came."""

    async def inbox(self, callback_queue: str, task_id: str) -> Sequence[bytes]: ...


class ServiceLiaison:
    """The way of one attempt to the service, by callbacks and by the keys beside the callback queue."""

    def __init__(
        self,
        address: Address,
        reports: Reports,
        *,
        inbox: Inbox,
        answers: AnswerWatch,
        deadline: Deadline,
        stand_aside: StandAside,
        log: Log,
    ) -> None:
        self._address = address
        self._reports = reports
        self._inbox = inbox
        self._answers = answers
        self._deadline = deadline
        self._stand_aside = stand_aside
        self._log = log
        self._read: set[str] = set()
        self._reading = asyncio.Lock()
        self._questions = 0
        # A person is asked one thing at a time.
        self._asking = asyncio.Lock()

    def tokens_used(self, tokens: Mapping[str, int]) -> None:
        """A member of the ending."""
        self._reports.tokens_used(tokens)

    async def emit(self, detail: dict[str, Any]) -> None:
        """A `progress` callback."""
        await self._reports.progress(detail)

    async def messages(self) -> list[Message]:
        """What came since the last call; the service hears at once that it was read."""
        address = self._address
        async with self._reading:
            found = await self._inbox.inbox(address.callback_queue, address.task_id)
            # Not by position: a message that was cancelled meanwhile is not there any more.
            read = [message for element in found if (message := _message(element))]
            messages = [message for message in read if message.task_id not in self._read]
            self._read.update(message.task_id for message in messages)
            if messages:
                await self._reports.took([message.task_id for message in messages])
        return messages

    async def ask(self, prompt: str, schema: Mapping[str, Any] | None, expires_in: float) -> Reply:
        """What a person answers; without an answer where the time has passed."""
        async with self._asking:
            self._questions += 1
            question = Question(prompt, dict(schema) if schema else None, str(self._questions), expires_in)
            asked = Asked(self._address.callback_queue, self._address.task_id, question.question)
            # An earlier attempt may have asked already.
            given = await self._answers.now(asked) or await self._wait(question, asked)
            if given is None:
                # The question is withdrawn by going on.
                await self._reports.running()
                return Reply(self._deadline.moment)
            answer = msgspec.json.decode(given, type=_Answer)
            # What an earlier attempt was told may be older than what this one knows.
            self._deadline.move_to(max(self._deadline.moment, answer.deadline))
            return Reply(self._deadline.moment, answer.answer)

    async def _wait(self, question: Question, asked: Asked) -> bytes | None:
        await self._reports.asked(question)
        self._log.info(WorkerEvent.AGENT_ASKS, question=question.question, seconds=question.expires_in)
        async with self._stand_aside():
            with self._deadline.standing_still():
                given = await self._answers.wait(asked, question.expires_in + _GRACE)
        self._log.info(WorkerEvent.AGENT_GOES_ON, question=question.question)
        return given


def _message(element: bytes) -> Message | None:
    # What cannot be read is not taken either: the service lets it run as a task of its own.
    with suppress(msgspec.DecodeError, UnicodeError):
        return msgspec.json.decode(element, type=Message)
