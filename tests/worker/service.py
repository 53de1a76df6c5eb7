"""Plays the Orchestrator to a worker, with plain Redis commands."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import redis.asyncio as redis

from orchestrator.worker import AgentWorker

CALLBACKS: Final = "orchestrator:tenant-456:callbacks"
ENDINGS: Final = ("completed", "failed", "timeout", "cancelled")


class Service:
    """Sends tasks as the contract spells them and reads what agents report."""

    def __init__(self, port: int) -> None:
        self.redis: Any = redis.Redis(port=port, socket_timeout=30)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.redis.aclose()

    async def send(
        self,
        message: str = "hi there",
        *,
        context: str = "agent-123",
        tier: str = "professional",
        seconds: float = 60,
        **members: Any,
    ) -> str:
        """Queues a task and gives its id."""
        task = self.task(message, context=context, tier=tier, seconds=seconds, **members)
        await self.push(json.dumps(task), context=context, tier=tier)
        return task["task_id"]

    async def push(
        self, payload: str | bytes, *, context: str = "agent-123", tier: str = "professional"
    ) -> None:
        """Queues any payload."""
        await self.redis.lpush(f"execution:{context}:{tier}", payload)

    async def waiting(self, context: str = "agent-123", tier: str = "professional") -> int:
        """How many tasks nobody has taken."""
        return await self.redis.llen(f"execution:{context}:{tier}")

    async def cancel(self, task_id: str) -> None:
        """Makes the task's `cancel_key` appear."""
        await self.redis.lpush(cancel_key(task_id), "cancelled")
        await self.redis.expire(cancel_key(task_id), 60)

    async def answer(self, task_id: str, question: str, *answer: Any, deadline: datetime) -> None:
        """Answers what the task asked; without `answer` says that nobody did in time."""
        given = {"deadline": deadline.isoformat()} | ({"answer": answer[0]} if answer else {})
        key = f"{{{CALLBACKS}}}:answers:{task_id}"
        await self.redis.hset(key, question, json.dumps(given))
        await self.redis.expire(key, 60)

    async def steer(self, task_id: str, message: str, **members: Any) -> str:
        """Hands the running task a message of its user, and gives the id of the message's own task."""
        added = f"task-{secrets.token_hex(8)}"
        now = datetime.now(UTC).isoformat()
        line: dict[str, Any] = {
            "task_id": added,
            "message": message,
            "user_id": None,
            "metadata": {},
            "created_at": now,
        }
        await self.redis.rpush(inbox_key(task_id), json.dumps(line | members))
        await self.redis.expire(inbox_key(task_id), 60)
        return added

    async def callback(self, timeout: float = 10) -> dict[str, Any]:
        """The next callback."""
        found = await self.redis.brpop([CALLBACKS], timeout=timeout)
        assert found, f"no callback within {timeout} s"
        return json.loads(found[1])

    async def until_end(self) -> list[dict[str, Any]]:
        """The callbacks up to and with the next ending."""
        found = [await self.callback()]
        while found[-1]["status"] not in ENDINGS:
            found.append(await self.callback())
        return found

    async def ending(self) -> dict[str, Any]:
        """The next ending."""
        return (await self.until_end())[-1]

    async def silent(self) -> bool:
        """Whether there is no further callback."""
        return await self.redis.llen(CALLBACKS) == 0

    def task(
        self,
        message: str,
        *,
        context: str = "agent-123",
        tier: str = "professional",
        seconds: float = 60,
        **members: Any,
    ) -> dict[str, Any]:
        """The sample task of the contract, section 5."""
        task_id = f"task-{secrets.token_hex(8)}"
        now = datetime.now(UTC)
        return {
            "action_type": "execution.agent_run",
            "task_id": task_id,
            "attempt": 1,
            "tenant_id": "tenant-456",
            "tenant_tier": tier,
            "session_id": "sess-abc123",
            "user_id": "user-789",
            "conversation_id": "conv-def456",
            "execution_context": {
                "context_id": context,
                "context_type": context.partition("-")[0],
                "tenant_id": "tenant-456",
                "tenant_tier": tier,
                "primary_agent_id": context,
                "agents": [context],
                "collections": [],
                "metadata": {"request_source": "web", "client_version": "1.2.3"},
                "created_at": now.isoformat(),
            },
            "message": message,
            "message_type": "text",
            "user_info": {"name": "Ada"},
            "metadata": {},
            "stream": True,
            "max_iterations": None,
            "callback_queue": CALLBACKS,
            "cancel_key": cancel_key(task_id),
            "created_at": now.isoformat(),
            "deadline": (now + timedelta(seconds=seconds)).isoformat(),
            "traceparent": None,
            **members,
        }


def cancel_key(task_id: str) -> str:
    """Where this service announces that a task was cancelled."""
    return f"{{{CALLBACKS}}}:cancel:{task_id}"


def inbox_key(task_id: str) -> str:
    """Where this service keeps what users add to a running task."""
    return f"{{{CALLBACKS}}}:inbox:{task_id}"


@asynccontextmanager
async def running(worker: AgentWorker) -> AsyncGenerator[AgentWorker]:
    """A worker at work for the length of the block."""
    work = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        await worker.stop()
        await work
