"""Both sides of a question as strangers would write them: an agent that asks, a person that answers by HTTP."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from tests.contract.client import Agent, Caller
from tests.contract.exchange import asked
from tests.contract.test_http_tasks import reaches

SCHEMA = {"type": "string", "enum": ["yes", "no"]}


async def ask(agent: Agent, task: Mapping[str, Any], **members: Any) -> None:
    """What a plain agent reports when it asks."""
    result = {"prompt": "Shall I?", "schema": SCHEMA, "question": "1", "expires_in": 600} | members
    await agent.report(task, "input_required", result=result, attempt=task["attempt"])


async def waiting(caller: Caller, agent: Agent, **members: Any) -> dict[str, Any]:
    """A task whose question has arrived."""
    sent, task = await asked(caller, agent)
    await ask(agent, task, **members)
    await reaches(caller, sent["task_id"], "input_required")
    return task


async def give(caller: Caller, task: Mapping[str, Any], answer: Any, **members: Any) -> httpx.Response:
    """POST of an answer."""
    path = f"/api/chat/tasks/{task['task_id']}/answer"
    return await caller.http.post(path, headers=caller.headers, json={"answer": answer, **members})


async def read(agent: Agent, task: Mapping[str, Any], question: str = "1") -> Any:
    """What a plain agent finds of its question: one HGET."""
    key = f"{{{task['callback_queue']}}}:answers:{task['task_id']}"
    found = await agent.redis.hget(key, question)
    return found and json.loads(found)
