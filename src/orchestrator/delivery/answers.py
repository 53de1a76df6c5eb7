"""Takes people's answers to what agents ask (contract §3, §5)."""

import asyncio
from contextlib import suppress
from typing import Any, Final

import msgspec

from orchestrator.auth.identity import Identity
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.answers import Answered, Answers
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.tasks import Record, Tasks
from orchestrator.delivery.answer_check import fault_of
from orchestrator.errors import Problem
from orchestrator.protocol.identifiers import is_valid_task_id
from orchestrator.protocol.questions import AnswerBody, open_question
from orchestrator.telemetry import Log, LogEvent

ANSWER_BYTES_MAX: Final = 64 * 1024

# One spelling for each answer, so that the same one is known again.
_canonical: Final = msgspec.json.Encoder(order="deterministic").encode


class AnswerDesk:
    """Checks answers and hands them over; who may cancel a task may answer for it."""

    def __init__(self, tasks: Tasks, answers: Answers, agenda: Agenda, log: Log) -> None:
        self._tasks = tasks
        self._answers = answers
        self._agenda = agenda
        self._log = log
        # A check has Python's lock whenever it works: several at a time would only hold up the sockets.
        self._checking = asyncio.Lock()

    async def take(self, identity: Identity, task: str, body: AnswerBody) -> None:
        """Answer the question that is named, else the one that is open. Idempotent.

        Raises the `Problem` that says why not: `not_found`, `not_waiting`, `invalid_body`, `payload_too_large`.
        """
        session = (identity.session or "") if identity.bound else ""
        record = None
        if is_valid_task_id(task):
            record = await self._tasks.record(identity.tenant, task, identity.user, session)
        if record is None:
            raise Problem("not_found", "there is no such task")
        question = body.question or record.get("question", b"").decode()
        answer = _canonical(body.answer)
        if len(answer) > ANSWER_BYTES_MAX:
            raise Problem("payload_too_large", f"an answer may have at most {ANSWER_BYTES_MAX} bytes")
        await self._check(record, question, body.answer)
        given = await self._answers.give(
            identity.tenant, task, question, answer, user=identity.user, session=session
        )
        await self._note(identity.tenant, task, question, given)

    async def _check(self, record: Record, question: str, answer: Any) -> None:
        asked = open_question(record)
        if asked is None or asked.question != question or asked.schema is None:
            return
        async with self._checking:
            fault = await asyncio.to_thread(fault_of, answer, asked.schema)
        if fault:
            raise Problem("invalid_body", fault)

    async def _note(self, tenant: str, task: str, question: str, given: Answered) -> None:
        if given.outcome == "not_found":
            raise Problem("not_found", "there is no such task")
        if given.outcome == "not_waiting":
            raise Problem("not_waiting", "the task does not wait for this answer, or not any more")
        if given.outcome == "answered":
            self._log.info(LogEvent.TASK_ANSWERED, tenant_id=tenant, task_id=task, question=question)
            with suppress(BrokerError):  # the tenant is looked at every minute anyway
                await self._agenda.note(tenant, given.due)
