"""One task of an agent, run without Redis: the service is played in memory."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import msgspec

from orchestrator.protocol.context import CONTEXT_TYPES, ExecutionContext, canonical_id
from orchestrator.protocol.tasks import DEFAULT_MESSAGES, ENDINGS, EndStatus
from orchestrator.protocol.tiers import Tier
from orchestrator.worker.agent_worker import AgentWorker
from orchestrator.worker.answer import Handler, is_handler
from orchestrator.worker.deadline import Deadline
from orchestrator.worker.execution import Execution
from orchestrator.worker.message import Message
from orchestrator.worker.reports import Question, Reports
from orchestrator.worker.task import Reply, Task

AS_DECLARED: Final = object()
"""In place of resources: those of the worker's lifespan."""

_OVERDUE: Final = {"error": {"code": "deadline", "message": DEFAULT_MESSAGES["deadline"]}}

Callback = dict[str, Any]
Answerer = Callable[[Question], Awaitable[Any]]
"""Gives the answer to a question, UNSET where nobody answers."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent is asked; `agent` may be left out where a worker has only one."""

    message: str
    agent: str | None = None
    tier: Tier = "professional"
    user_info: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    attempt: int = 1
    timeout: float = 300.0
    messages: Sequence[str] = ()
    """What the user adds meanwhile."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the task."""

    status: EndStatus
    result: dict[str, Any]
    """`response` and what else the agent gave; `error` where it failed."""
    chunks: tuple[str, ...] = ()
    progress: tuple[dict[str, Any], ...] = ()
    """What was emitted, each with its `kind`."""
    retry: bool = False
    """Whether the service would try again."""
    execution_time: float = 0.0
    tokens_used: Any = None

    @property
    def response(self) -> Any:
        """The answer, None where it failed."""
        return self.result.get("response")

    @property
    def code(self) -> str | None:
        """Why it failed, None where it did not."""
        return self.result.get("error", {}).get("code")


class Trial:
    """Runs one sample; `on_callback` hears of each callback as it comes.

    ValueError where nobody can say which agent is meant, TypeError where it is none.
    """

    def __init__(
        self,
        target: AgentWorker | Handler,
        sample: Sample,
        *,
        answer: Answerer,
        on_callback: Callable[[Callback], object] = lambda _: None,
    ) -> None:
        self._worker = target if isinstance(target, AgentWorker) else None
        self._context_id, self._handler = _chosen(target, sample.agent)
        self._sample = sample
        self._answer = answer
        self._on_callback = on_callback
        self._callbacks: list[Callback] = []
        self.exception: BaseException | None = None
        """What the agent raised, where that was no TaskError."""

    async def run(self, resources: Any = AS_DECLARED) -> Outcome:
        """Returns when the agent has."""
        if resources is not AS_DECLARED:
            return await self._run(resources)
        async with self._worker.opened() if self._worker else nullcontext() as declared:
            return await self._run(declared)

    async def _run(self, resources: Any) -> Outcome:
        sample, task_id = self._sample, f"task-{secrets.token_hex(16)}"
        deadline = Deadline(datetime.now(UTC) + timedelta(seconds=sample.timeout))
        interval = self._worker.chunk_interval if self._worker else 0.0
        reports = Reports(task_id, sample.attempt, self._receive, interval)
        task: Task[Any] = Task(
            task_id=task_id,
            attempt=sample.attempt,
            tier=sample.tier,
            context=_context(self._context_id, sample.tier),
            message=sample.message,
            user_info=sample.user_info,
            metadata=sample.metadata,
            deadline=deadline.moment,
            resources=resources,
            liaison=_Liaison(reports, deadline, sample, self._answer),
        )
        await Execution(self._handler, task, reports, _Ear(self._raised), deadline=deadline).run()
        return self._outcome()

    async def _receive(self, payload: bytes) -> None:
        callback: Callback = msgspec.json.decode(payload)
        self._callbacks.append(callback)
        self._on_callback(callback)

    def _raised(self, error: BaseException) -> None:
        self.exception = error

    def _outcome(self) -> Outcome:
        """The ending that was reported; without one the service would end it at the deadline."""
        last: Callback = self._callbacks[-1] if self._callbacks else {}
        if last.get("status") not in ENDINGS:
            last = {"status": "timeout", "result": _OVERDUE}
        return Outcome(
            status=last["status"],
            result=last["result"],
            chunks=tuple(result["delta"] for result in self._results("streaming")),
            progress=tuple(self._results("progress")),
            retry=last.get("retry", False),
            execution_time=last.get("execution_time", 0.0),
            tokens_used=last.get("tokens_used"),
        )

    def _results(self, status: str) -> list[dict[str, Any]]:
        return [callback["result"] for callback in self._callbacks if callback["status"] == status]


class _Liaison:
    """Takes everybody's part: that of the service, of the user and of whoever is asked."""

    def __init__(self, reports: Reports, deadline: Deadline, sample: Sample, answer: Answerer) -> None:
        self._reports = reports
        self._deadline = deadline
        self._messages = [_message(text) for text in sample.messages]
        self._answer = answer
        self._questions = 0

    def tokens_used(self, tokens: Mapping[str, int]) -> None:
        """As in earnest."""
        self._reports.tokens_used(tokens)

    async def emit(self, detail: dict[str, Any]) -> None:
        """As in earnest."""
        await self._reports.progress(detail)

    async def messages(self) -> list[Message]:
        """All that there are, the first time."""
        messages, self._messages = self._messages, []
        if messages:
            await self._reports.took([message.task_id for message in messages])
        return messages

    async def ask(self, prompt: str, schema: Mapping[str, Any] | None, expires_in: float) -> Reply:
        """Whatever `answer` says."""
        self._questions += 1
        question = Question(prompt, dict(schema) if schema else None, str(self._questions), expires_in)
        await self._reports.asked(question)
        with self._deadline.standing_still():
            answer = await self._answer(question)
        await self._reports.running()
        return Reply(self._deadline.moment, answer)


class _Ear:
    """A log that hears only what an agent raised."""

    def __init__(self, raised: Callable[[BaseException], None]) -> None:
        self._raised = raised

    def bind(self, **fields: Any) -> Self:
        """The same."""
        return self

    def info(self, event: Any, **fields: Any) -> None:
        """Nothing to hear."""

    def warning(self, event: Any, **fields: Any) -> None:
        """Nothing to hear."""

    def error(self, event: Any, **fields: Any) -> None:
        """Perhaps an exception."""
        if isinstance(error := fields.get("exc_info"), BaseException):
            self._raised(error)


def _chosen(target: AgentWorker | Handler, agent: str | None) -> tuple[str, Handler]:
    """The context and its function."""
    context_id = _context_id(agent) if agent else None
    if not isinstance(target, AgentWorker):
        if not is_handler(target):
            raise TypeError("an agent is an `async def` function")
        return context_id or "agent-123", target
    known = target.context_ids
    if context_id is None and len(known) == 1:
        context_id = known[0]
    if context_id is None or context_id not in known:
        raise ValueError(f"say which agent is meant: {', '.join(known) or 'the worker has none'}")
    return context_id, target.handler(context_id)


def _context_id(agent: str) -> str:
    typed = agent.startswith(tuple(f"{kind}-" for kind in CONTEXT_TYPES))
    return agent if typed else canonical_id("agent", agent)


def _context(context_id: str, tier: Tier) -> ExecutionContext:
    kind = context_id.partition("-")[0]
    return ExecutionContext(
        context_id=context_id,
        context_type=kind if kind in CONTEXT_TYPES else "agent",
        tenant_id="tenant-456",
        tenant_tier=tier,
        primary_agent_id=context_id,
        agents=(context_id,),
        created_at=datetime.now(UTC).isoformat(),
    )


def _message(text: str) -> Message:
    return Message(task_id=f"task-{secrets.token_hex(16)}", message=text, created_at=datetime.now(UTC))
