"""An agent without the SDK, as a stranger would write it: `BRPOP`, and `LPUSH` until Redis has taken the report.

`python -m tests.faults.plain_agent` serves the queues that FAULTS_QUEUES names, separated by commas.
"""

import asyncio
import json
import os
import time
from datetime import datetime
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from tests.faults.child import QUEUES
from tests.faults.record import pieces_of

LEASE: Final = 3.0
"""Seconds without a report after which another agent may have the task."""
_AT_ONCE: Final = 16


class PlainAgent:
    """Takes tasks and answers several of them at once."""

    def __init__(self, client: Any, queues: list[str]) -> None:
        self._client = client
        self._queues = queues
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Until it is killed."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._places.acquire()
                group.create_task(self._answer(await self._take()))

    async def _take(self) -> dict[str, Any]:
        while True:
            try:
                if found := await self._client.brpop(self._queues, timeout=1):
                    return json.loads(found[1])
            except (RedisError, OSError):
                await asyncio.sleep(0.2)

    async def _answer(self, task: dict[str, Any]) -> None:
        try:
            pieces = pieces_of(task["message"])
            if not await self._report(task, "running", lease=LEASE):
                return
            for seq, (piece, pause) in enumerate(pieces):
                await asyncio.sleep(pause)
                if not await self._report(task, "streaming", seq=seq, result={"delta": piece}):
                    return
            response = "".join(piece for piece, _ in pieces)
            await self._report(task, "completed", result={"response": response})
        finally:
            self._places.release()

    async def _report(self, task: dict[str, Any], status: str, **members: Any) -> bool:
        """Whether Redis has it. A report may arrive twice: `seq` and endings are recognised."""
        named = {"task_id": task["task_id"], "attempt": task["attempt"], "status": status}
        callback = json.dumps({"action_type": "execution.callback", **named, **members})
        deadline = datetime.fromisoformat(task["deadline"]).timestamp()
        while time.time() < deadline:
            try:
                if await self._client.exists(task["cancel_key"]):
                    return False
                await self._client.lpush(task["callback_queue"], callback)
            except (RedisError, OSError):
                await asyncio.sleep(0.2)
            else:
                return True
        return False


async def main() -> None:
    """Serve what the environment names."""
    # A resent BRPOP would take a second task for the one whose answer was lost.
    once = Retry(NoBackoff(), 0)
    pool: Any = redis.asyncio.ConnectionPool
    options = {"decode_responses": True, "retry": once, "socket_timeout": 4}
    client = redis.asyncio.Redis.from_pool(pool.from_url(os.environ["REDIS_URL"], **options))
    async with client:
        await PlainAgent(client, os.environ[QUEUES].split(",")).run()


if __name__ == "__main__":
    asyncio.run(main())
