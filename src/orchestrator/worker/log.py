"""What a worker logs, every event named once."""

from enum import StrEnum
from typing import Any, Protocol, Self

from orchestrator.protocol.context import ExecutionContext


class WorkerEvent(StrEnum):
    """The `event` of a line; lines about a task have its tenant, session, id, attempt and trace."""

    AGENT_STARTED = "agent_started"  # took a task
    AGENT_FAILED = "agent_failed"  # raised, or gave no answer: the traceback
    AGENT_ASKS = "agent_asks"  # waits for a person, without a slot: question, seconds at most
    AGENT_GOES_ON = "agent_goes_on"  # has its slot again: question
    AGENT_STOPPED = "agent_stopped"  # was cancelled while it ran: reason
    AGENT_ABANDONED = "agent_abandoned"  # ignored its cancellation; nobody waits any more: reason, seconds
    AGENT_ENDED = "agent_ended"  # status, code: as it was reported; the service logs `task_ended`
    TASK_SKIPPED = "task_skipped"  # over before it began: reason
    TASK_UNREADABLE = "task_unreadable"  # what was taken is no task: reason
    WORKER_STOPPING = "worker_stopping"  # takes nothing new; tasks that run, seconds they get
    WORKER_ABANDONED = "worker_abandoned"  # hands over the tasks that still run
    REDIS_UNREACHABLE = "redis_unreachable"  # once when it begins: operation, error
    REDIS_RECOVERED = "redis_recovered"  # operation, seconds it was away
    UNEXPECTED_ERROR = "unexpected_error"  # a fault of the worker itself: the traceback


class Named(Protocol):
    """What a line about a task names."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def session_id(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def context(self) -> ExecutionContext: ...
    @property
    def trace_id(self) -> str | None: ...


class Log(Protocol):
    """Structured logging as structlog has it, whoever set it up."""

    def bind(self, **fields: Any) -> Self: ...
    def info(self, event: Any, **fields: Any) -> Any: ...
    def warning(self, event: Any, **fields: Any) -> Any: ...
    def error(self, event: Any, **fields: Any) -> Any: ...


class TaskLog:
    """A log whose every line names a task; of most tasks nothing is written, so nothing is bound before."""

    __slots__ = ("_fields", "_log", "_task")

    def __init__(self, log: Log, task: Named, **fields: Any) -> None:
        self._log = log
        self._task = task
        self._fields = fields

    def bind(self, **fields: Any) -> "TaskLog":
        """One that adds these as well."""
        return TaskLog(self._log, self._task, **self._fields, **fields)

    def info(self, event: Any, **fields: Any) -> Any:
        """As the log below."""
        return self._log.info(event, **self._named(), **fields)

    def warning(self, event: Any, **fields: Any) -> Any:
        """As the log below."""
        return self._log.warning(event, **self._named(), **fields)

    def error(self, event: Any, **fields: Any) -> Any:
        """As the log below."""
        return self._log.error(event, **self._named(), **fields)

    def _named(self) -> dict[str, Any]:
        task = self._task
        named: dict[str, Any] = {
            "tenant_id": task.tenant_id,
            "session_id": task.session_id,
            "task_id": task.task_id,
            "attempt": task.attempt,
            "context_id": task.context.context_id,
            **self._fields,
        }
        return named | {"trace_id": task.trace_id} if task.trace_id else named
