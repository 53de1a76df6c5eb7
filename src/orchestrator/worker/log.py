"""What a worker logs, every event named once."""

from enum import StrEnum
from typing import Any, Protocol, Self


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


class Log(Protocol):
    """Structured logging as structlog has it, whoever set it up."""

    def bind(self, **fields: Any) -> Self: ...
    def info(self, event: Any, **fields: Any) -> Any: ...
    def warning(self, event: Any, **fields: Any) -> Any: ...
    def error(self, event: Any, **fields: Any) -> Any: ...
