"""The demo tenant as several benches talk to it."""

import json
from typing import Any, Final

import httpx
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orchestrator.embedded import DEMO_TENANT

TENANT: Final = {"X-Tenant-ID": DEMO_TENANT, "X-Agent-ID": "agent-123", "X-Tenant-Tier": "professional"}
QUEUE: Final = "execution:agent-123:professional"
CALLBACKS: Final = f"orchestrator:{DEMO_TENANT}:callbacks"
AT_ONCE: Final = 50


def client_of(redis_url: str) -> redis.asyncio.Redis:
    """A client that sends nothing twice."""
    options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 30}
    return redis.asyncio.Redis.from_url(redis_url, **options)  # pyright: ignore[reportUnknownMemberType]


async def send(http: httpx.AsyncClient, session: str) -> str:
    """A message that has to be accepted; the id of its task."""
    answer = await http.post(
        "/api/chat/send", headers={**TENANT, "X-Session-ID": session}, json={"message": "hello"}
    )
    answer.raise_for_status()
    return str(answer.json()["task_id"])


def ending(task: str) -> str:
    """The callback that ends a task."""
    return json.dumps({"task_id": task, "status": "completed", "result": {"response": "hello"}})


async def endings(socket: Any, wanted: int) -> None:
    """Returns when so many tasks have ended on this socket."""
    while wanted:
        frame = json.loads(await socket.recv())
        wanted -= frame["type"] in {"agent_response", "error"} and "task_id" in frame
