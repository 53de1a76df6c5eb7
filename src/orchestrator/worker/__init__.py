"""Write agents for the Orchestrator in Python (contract §9)."""

from orchestrator.worker.agent_worker import AgentWorker
from orchestrator.worker.errors import AskExpired, TaskError
from orchestrator.worker.message import Message
from orchestrator.worker.task import Task

__all__ = ["AgentWorker", "AskExpired", "Message", "Task", "TaskError"]
