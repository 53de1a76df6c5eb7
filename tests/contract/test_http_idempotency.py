"""`Idempotency-Key`: one intent, one task, one answer (contract §3)."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from tests.contract.client import Agent, Caller, Headers, Tenant, problem, unique
from tests.contract.conftest import BOTH_WAYS, NewContext, NewTenant

pytestmark = [*BOTH_WAYS]


def key(value: str | None = None) -> Headers:
    """The header, with a key that nobody else uses unless it is given."""
    return {"Idempotency-Key": value or unique("key")}


def remaining(answer: httpx.Response) -> dict[str, int]:
    """How much each limit has left, by its name."""
    found = re.findall(r'"(\w+)";r=(\d+)', answer.headers["ratelimit"])
    return {name: int(left) for name, left in found}


async def test_the_same_request_gets_the_first_answer_again(caller: Caller, redis_client: Any) -> None:
    """Body, status and `Location` of the first answer, `Idempotency-Replayed: true`, and one task."""
    headers = key()
    first = await caller.send(headers=headers)
    again = await caller.send(headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers.get("idempotency-replayed", "false") == "false"
    assert await redis_client.llen(caller.tenant.queue()) == 1


async def test_an_ended_task_is_not_run_again(caller: Caller, agent: Agent) -> None:
    """The first answer is given again after the ending too."""
    headers = key()
    first = await caller.accepted(headers=headers)
    await agent.complete(await agent.take())
    assert await caller.accepted(headers=headers) == first
    assert await agent.redis.llen(agent.queue) == 0


async def test_many_at_once_make_one_task(caller: Caller, redis_client: Any) -> None:
    """Racing retries collapse into one task."""
    headers = key()
    sent = await asyncio.gather(*(caller.accepted(headers=headers) for _ in range(10)))
    assert len({body["task_id"] for body in sent}) == 1
    assert await redis_client.llen(caller.tenant.queue()) == 1


async def test_a_quoted_key_equals_the_unquoted(caller: Caller) -> None:
    """`"k"` and `k` are one key."""
    name = unique("key")
    first = await caller.accepted(headers=key(name))
    assert await caller.accepted(headers=key(f'"{name}"')) == first


@pytest.mark.parametrize(
    ("headers", "members"),
    [
        ({}, {"message": "Other"}),
        ({}, {"stream": False}),
        ({}, {"metadata": {"a": 1}}),
        ({"X-User-ID": "someone"}, {}),
    ],
    ids=["message", "stream", "metadata", "user"],
)
async def test_another_request_under_the_key_is_a_conflict(
    caller: Caller, redis_client: Any, headers: Mapping[str, str], members: dict[str, Any]
) -> None:
    """422 `idempotency_conflict` when body or user differ; the task stays one."""
    name = key()
    await caller.accepted(headers=name)
    answer = await caller.post({**name, **headers}, json={"message": "Hello", **members})
    problem(answer, 422, "idempotency_conflict")
    assert await redis_client.llen(caller.tenant.queue()) == 1


@pytest.mark.parametrize("context_type", ["agent", "workflow", "collection"])
async def test_another_context_under_the_key_is_a_conflict(
    caller: Caller, new_context: NewContext, context_type: Any
) -> None:
    """Agent, context and collection are part of what has to be the same."""
    name, other = key(), await new_context(caller.tenant, context_type)
    await caller.accepted(headers=name)
    changed = {"X-Collection-ID": other} if context_type == "collection" else {"X-Agent-ID": other}
    answer = await caller.send(headers={**name, "X-Context-Type": context_type, **changed})
    problem(answer, 422, "idempotency_conflict")


async def test_another_collection_under_the_key_is_a_conflict(
    caller: Caller, new_context: NewContext
) -> None:
    """A collection that goes with the agent counts as well."""
    name = key()
    await caller.accepted(headers=name)
    collection = await new_context(caller.tenant, "collection")
    answer = await caller.send(headers={**name, "X-Collection-ID": collection})
    problem(answer, 422, "idempotency_conflict")


async def test_keys_are_scoped_to_tenant_and_session(
    caller: Caller, http: httpx.AsyncClient, new_tenant: NewTenant
) -> None:
    """The same key in another session, or of another tenant, is another key."""
    name = key()
    first = await caller.accepted(headers=name)
    second = await Caller(http, caller.tenant).accepted(headers=name)
    third = await Caller(http, await new_tenant(), caller.session_id).accepted(headers=name)
    assert len({body["task_id"] for body in (first, second, third)}) == 3


async def test_refused_requests_store_nothing(http: httpx.AsyncClient, new_tenant: NewTenant) -> None:
    """A key that was refused with 400 or 429 is free afterwards, for any request."""
    caller, name = Caller(http, await new_tenant(max_outstanding=1)), key()
    problem(await caller.send("", headers=name), 400, "invalid_body")
    blocking = await caller.accepted("first")
    problem(await caller.send("refused", headers=name), 429, "queue_full")
    await caller.cancel(blocking["task_id"])
    answer = await caller.send("another one", headers=name)
    assert answer.status_code == 202, answer.text
    assert "idempotency-replayed" not in answer.headers


async def test_a_replay_costs_no_quota(caller: Caller) -> None:
    """What is left of the session's hour is the same before and after."""
    name = key()
    await caller.send(headers=name)
    before = remaining(await caller.send("another"))["session"]
    await caller.send(headers=name)
    assert remaining(await caller.send("a third"))["session"] == before - 1


async def test_a_replay_is_checked_before_any_limit(http: httpx.AsyncClient, new_tenant: NewTenant) -> None:
    """At the tenant's limit of tasks and of requests, the first answer still comes again."""
    caller, name = Caller(http, await new_tenant(max_outstanding=1, requests_per_minute=1)), key()
    first = await caller.accepted(headers=name)
    for _ in range(8):
        assert await caller.accepted(headers=name) == first
    problem(await caller.send("new"), 429, "queue_full")


@pytest.mark.parametrize("name", ["x" * 129, '"' + "x" * 129 + '"'])
async def test_a_key_is_up_to_128_characters(caller: Caller, name: str) -> None:
    """129 are refused with 400; 128 pass, quoted or not."""
    assert (await caller.send(headers=key(name))).status_code == 400
    await caller.accepted(headers=key(unique("k").ljust(128, "x")))


async def test_a_key_may_be_any_printable_text(caller: Caller, tenant: Tenant) -> None:
    """Spaces, colons and braces are allowed: the key is never a raw part of a Redis key."""
    name = key(f"{{{unique('key')}}}:* and more")
    assert await caller.accepted(headers=name) == await caller.accepted(headers=name)
