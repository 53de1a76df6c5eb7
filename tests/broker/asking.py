"""A tenant whose agents ask people: what both sides do, and how it stands then."""

import json
from typing import Any

from tests.broker.tenant import SECOND, Tenant, callback

from orchestrator.broker.answers import Answers

SCHEMA = {"type": "string", "enum": ["yes", "no"]}


def question(task: str, name: str | None = "1", seconds: float = 600, **members: Any) -> bytes:
    """What an agent reports when it asks."""
    asked: dict[str, Any] = {"prompt": "Shall I?", "schema": SCHEMA, "expires_in": seconds}
    if name is not None:
        asked["question"] = name
    return callback(task, "input_required", asked, **members)


async def give(tenant: Tenant, task: str, answer: Any = "yes", name: str = "1", **who: str) -> str:
    """What becomes of an answer."""
    raw = json.dumps(answer).encode()
    return (await Answers(tenant.broker).give(tenant.name, task, name, raw, **who)).outcome


def kept(tenant: Tenant, task: str, name: str = "1") -> Any:
    """What an agent reads of its question."""
    value = tenant.client.hget(tenant.key(f"answers:{task}"), name)
    return None if value is None else json.loads(value)


def score(tenant: Tenant, task: str) -> float:
    """When the task is looked at, µs."""
    return tenant.client.zscore(tenant.key("outstanding"), task)


def running(tenant: Tenant) -> int:
    """How many tasks of the tenant count as running."""
    return int(tenant.client.hget(tenant.key("tenant"), "running") or 0)


async def last(tenant: Tenant) -> Any:
    """The data of the session's newest event."""
    return (await tenant.frames())[-1]["data"]


async def deadline(tenant: Tenant, task: str) -> int:
    """The task's deadline as its record has it, µs."""
    return int((await tenant.record(task))["deadline"])


def near(moment: float, expected: float) -> bool:
    """Whether two moments are one, but for the time that a test takes."""
    return abs(moment - expected) < 10 * SECOND


async def pass_time(tenant: Tenant, task: str, seconds: float) -> None:
    """Let the task's clocks run ahead, as if that much time had passed."""
    key, moved = tenant.key(f"task:{task}"), int(seconds * SECOND)
    for name in ("deadline", "expires_at"):
        tenant.client.hincrby(key, name, -moved)
    tenant.client.zincrby(tenant.key("outstanding"), -moved, task)
