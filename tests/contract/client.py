"""Both sides of the service as strangers would write them: a caller by HTTP, an agent by Redis lists."""

import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

Headers = Mapping[str, str | bytes | None]


def unique(prefix: str) -> str:
    """A valid id that no other test uses: tests share servers and are kept apart by ids."""
    return f"{prefix}-{secrets.token_hex(6)}"


class Tenant(NamedTuple):
    """A customer in the database, with one agent of its own; `agent` is the canonical context id."""

    id: str
    tier: str
    agent: str

    @property
    def callbacks(self) -> str:
        """The list on which its agents report, with the default prefix."""
        return f"orchestrator:{self.id}:callbacks"

    def queue(self, context_id: str | None = None) -> str:
        """The list on which tasks wait for its agent, or for another context."""
        return f"execution:{context_id or self.agent}:{self.tier}"


class Caller:
    """A frontend of one tenant, in one session."""

    def __init__(self, http: httpx.AsyncClient, tenant: Tenant, session_id: str | None = None) -> None:
        self.http = http
        self.tenant = tenant
        self.session_id = session_id or unique("sess")

    @property
    def headers(self) -> dict[str, str]:
        """The four that are required."""
        return {
            "X-Tenant-ID": self.tenant.id,
            "X-Agent-ID": self.tenant.agent,
            "X-Tenant-Tier": self.tenant.tier,
            "X-Session-ID": self.session_id,
        }

    async def post(self, headers: Headers | None = None, **request: Any) -> httpx.Response:
        """POST to send with any body; a header of None is left out."""
        merged = {**self.headers, **(headers or {})}
        given = {name.encode(): _bytes(value) for name, value in merged.items() if value is not None}
        return await self.http.post("/api/chat/send", headers=given, **request)

    async def send(
        self, message: Any = "Hello", headers: Headers | None = None, **members: Any
    ) -> httpx.Response:
        """A message, with further members of the body."""
        return await self.post(headers, json={"message": message, **members})

    async def accepted(
        self, message: str = "Hello", headers: Headers | None = None, **members: Any
    ) -> dict[str, Any]:
        """The body of the 202 that the message has to get."""
        answer = await self.send(message, headers, **members)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def get(self, path: str, **request: Any) -> httpx.Response:
        """GET as this tenant."""
        return await self.http.get(path, headers=self.headers, **request)

    async def ledger(self, task_id: str) -> dict[str, Any]:
        """Where a task stands."""
        answer = await self.get(f"/api/chat/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def cancel(self, task_id: str) -> httpx.Response:
        """Asks for the end of a task."""
        return await self.http.post(f"/api/chat/tasks/{task_id}/cancel", headers=self.headers)

    async def status(self, task_id: str) -> str:
        """The task's status."""
        return (await self.ledger(task_id))["status"]


class Agent:
    """An agent with the two commands that the contract asks of it."""

    def __init__(self, redis_client: Any, tenant: Tenant, context_id: str | None = None) -> None:
        self.redis = redis_client
        self.queue = tenant.queue(context_id)

    async def take(self, within: float = 5) -> dict[str, Any]:
        """The next task; fails when none comes."""
        found = await self.redis.brpop([self.queue], timeout=within)
        assert found, f"no task on {self.queue} within {within} s"
        return json.loads(found[1])

    async def report(self, task: Mapping[str, Any], status: str, **members: Any) -> None:
        """A callback about the task, on the queue that it names."""
        callback = {"action_type": "execution.callback", "task_id": task["task_id"], "status": status}
        await self.redis.lpush(task["callback_queue"], json.dumps(callback | members))

    async def complete(self, task: Mapping[str, Any], response: str = "Hi", **members: Any) -> None:
        """The contract's sample ending."""
        result: dict[str, Any] = {"response": response, "sources": [], "agent_info": {}}
        await self.report(task, "completed", result=result, **members)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, which has to be of this kind and complete (contract §3, Errors)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:orchestrator:error:{code}", document
    assert (document["code"], document["status"]) == (code, status)
    assert isinstance(document["title"], str)
    assert document["title"]
    return document


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
