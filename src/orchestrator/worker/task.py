"""A task as an agent gets it, and the envelope it comes in (contract §5)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Generic, Literal, Protocol

import msgspec
from typing_extensions import TypeVar

from orchestrator.protocol.context import ExecutionContext
from orchestrator.protocol.tiers import Tier
from orchestrator.worker.errors import AskExpired
from orchestrator.worker.message import Message

ResourcesT = TypeVar("ResourcesT", default=Any)
"""What the worker's lifespan opened; Any where nobody says."""

LONGEST_WAIT: Final = 7 * 24 * 3600
_TRACEPARENT_PARTS: Final = 4
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class TaskData(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"tier": "tenant_tier", "context": "execution_context"},
):
    """What of a task is on the wire."""

    task_id: str
    attempt: int = 1
    """Counts the runs of this task, from 1; a task can arrive twice."""
    tenant_id: str
    tier: Tier
    session_id: str
    user_id: str | None = None
    conversation_id: str | None = None
    context: ExecutionContext
    """Which agent, workflow or collection is asked, and with which collections."""
    message: str
    user_info: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    deadline: _Moment
    """The service ends the task then; an answer that is not complete by then is lost."""
    stream: bool = True
    """Whether viewers see chunks as they come; where not, they are kept for the ending."""
    max_iterations: int | None = None
    traceparent: str | None = None
    """W3C Trace Context of the request, for the agent's own requests to go on with."""

    @property
    def trace_id(self) -> str | None:
        """The part of `traceparent` that all spans of one request share."""
        parts = (self.traceparent or "").split("-")
        return parts[1] if len(parts) >= _TRACEPARENT_PARTS else None


class Reply(msgspec.Struct, frozen=True):
    """How waiting for a person ended: with an answer or without one; and the task's new deadline."""

    deadline: datetime
    answer: Any = msgspec.UNSET


class Liaison(Protocol):
    """Speaks with the service about one attempt while it runs."""

    def tokens_used(self, tokens: Mapping[str, int]) -> None: ...
    async def emit(self, detail: dict[str, Any]) -> None: ...
    async def messages(self) -> list[Message]: ...
    async def ask(self, prompt: str, schema: Mapping[str, Any] | None, expires_in: float) -> Reply: ...


class NoLiaison:
    """Of a task that somebody made by hand: what it emits goes nowhere, and nobody writes or answers."""

    def tokens_used(self, tokens: Mapping[str, int]) -> None:
        """Nobody counts."""

    async def emit(self, detail: dict[str, Any]) -> None:
        """Nobody sees it."""

    async def messages(self) -> list[Message]:
        """None."""
        return []

    async def ask(self, prompt: str, schema: Mapping[str, Any] | None, expires_in: float) -> Reply:
        """RuntimeError: there is nobody to ask."""
        raise RuntimeError("nobody can answer here; run_task(answers=[…]) of orchestrator.worker.testing can")


def _some_context() -> ExecutionContext:
    return ExecutionContext(
        context_id="agent-123",
        context_type="agent",
        tenant_id="tenant-456",
        tenant_tier="professional",
        primary_agent_id="agent-123",
        agents=("agent-123",),
        created_at=datetime.now(UTC).isoformat(),
    )


class Task(TaskData, Generic[ResourcesT], frozen=True, kw_only=True):
    """One message that waits for an answer, and what can be told and asked meanwhile.

    `Task(message="…")` makes one for a test of an agent; every member has a default there.
    """

    task_id: str = "task-made-by-hand"
    tenant_id: str = "tenant-456"
    tier: Tier = "professional"
    session_id: str = "session-123"
    context: ExecutionContext = msgspec.field(default_factory=_some_context)
    deadline: _Moment = msgspec.field(default_factory=lambda: datetime.now(UTC) + timedelta(minutes=5))
    resources: ResourcesT = None  # type: ignore[assignment]
    """What the worker's lifespan opened, None without one."""
    liaison: Liaison = msgspec.field(default_factory=NoLiaison)

    async def emit(self, kind: str, /, **detail: Any) -> None:
        """Shows viewers what goes on: `await task.emit("tool", name="search", input={…})`.

        They get a `progress` update with `detail` = {"kind": kind, …}, after the text that was yielded
        before. TypeError where it is not JSON, ValueError over 1 MiB.
        """
        if "kind" in detail:
            raise ValueError("`kind` is given by its place: emit(kind, name=…)")
        await self.liaison.emit({"kind": kind, **detail})

    def tokens_used(self, **tokens: int) -> None:
        """Counts tokens of a model: `task.tokens_used(input=12, output=34, total=46)`.

        The ending has the sums of this attempt, name by name, as its `tokens_used`.
        """
        self.liaison.tokens_used(tokens)

    async def messages(self) -> list[Message]:
        """What the user has sent in this session since the last call, to be taken into account.

        These are messages that were sent with the turn policy `steer`. Whoever reads them answers
        them: their tasks end as merged into this one. A second attempt reads them all again.
        """
        return await self.liaison.messages()

    async def ask(
        self, prompt: str, schema: Mapping[str, Any] | None = None, *, expires_in: float = 3600
    ) -> Any:
        """Asks the user and waits for the answer, any JSON that fits the JSON Schema `schema`.

        Meanwhile the task holds no slot of the worker and its deadline stands still. After
        `expires_in` seconds, a week at most, AskExpired is raised. A second attempt that asks the same questions in
        the same order gets the answers that the first one got.
        """
        if not 0 < expires_in <= LONGEST_WAIT:
            raise ValueError(f"expires_in must be more than 0 and at most {LONGEST_WAIT}, a week")
        reply = await self.liaison.ask(prompt, schema, expires_in)
        msgspec.structs.force_setattr(self, "deadline", reply.deadline)
        if reply.answer is msgspec.UNSET:
            raise AskExpired
        return reply.answer


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a task that only the worker needs."""

    action_type: Literal["execution.agent_run"]
    callback_queue: str
    cancel_key: str | None = None


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The least that must be readable for a task to be failed."""

    task_id: str
    callback_queue: str


class Assignment(msgspec.Struct, frozen=True):
    """A task with the ways to report on it and to learn of its cancellation."""

    data: TaskData
    envelope: Envelope

    @property
    def address(self) -> Address:
        """Where to report."""
        return Address(task_id=self.data.task_id, callback_queue=self.envelope.callback_queue)

    def task(self, resources: Any, liaison: Liaison) -> Task:
        """What the agent gets."""
        members = {name: getattr(self.data, name) for name in TaskData.__struct_fields__}
        return Task(**members, resources=resources, liaison=liaison)


class UnreadableTaskError(Exception):
    """A payload that is no task; `address` is where to say so, where that could be read."""

    def __init__(self, reason: str, address: Address | None) -> None:
        self.reason = reason
        self.address = address
        super().__init__(reason)


def read_assignment(payload: bytes) -> Assignment:
    """The assignment that `payload` spells, else UnreadableTaskError."""
    try:
        return Assignment(
            msgspec.json.decode(payload, type=TaskData), msgspec.json.decode(payload, type=Envelope)
        )
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnreadableTaskError(str(error), _address(payload)) from error


def _address(payload: bytes) -> Address | None:
    try:
        return msgspec.json.decode(payload, type=Address)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
