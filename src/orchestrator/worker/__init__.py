"""Write agents for the Orchestrator in Python (contract §9)."""

from orchestrator.worker.agent_worker import AgentWorker
from orchestrator.worker.errors import TaskError
from orchestrator.worker.task import Task

__all__ = ["AgentWorker", "Task", "TaskError"]
