"""The operator's view of queues, tasks and dead letters (contract §8)."""

import asyncio
import json
from typing import Any

import pytest
from tests.contract.client import Agent, Caller, Tenant, unique
from tests.contract.conftest import Command, NewTenant
from tests.servers import free_port, wait_until


def rows(text: str) -> list[dict[str, Any]]:
    """What `--json` prints: an array of objects, and nothing beside it."""
    found: list[dict[str, Any]] = json.loads(text)
    assert type(found) is list
    return found


async def test_queues(caller: Caller, orchestrator: Command) -> None:
    """`queues` lists what waits, for people and as JSON."""
    await caller.accepted()
    name = caller.tenant.queue()
    assert name in (await orchestrator("queues")).stdout
    row = next(row for row in rows((await orchestrator("queues", "--json")).stdout) if row["name"] == name)
    assert (row["kind"], row["depth"]) == ("execution", 1)


@pytest.mark.parametrize("named", [True, False], ids=["tenant named", "tenant found"])
async def test_show_a_task(caller: Caller, orchestrator: Command, named: bool) -> None:
    """`tasks show ID`, with or without its tenant, tells how it stands."""
    task_id = (await caller.accepted())["task_id"]
    shown = await orchestrator("tasks", "show", task_id, *of(caller.tenant, named))
    assert task_id in shown.stdout
    assert caller.tenant.queue() in shown.stdout


@pytest.mark.parametrize("named", [True, False], ids=["tenant named", "tenant found"])
async def test_cancel_a_task(caller: Caller, orchestrator: Command, named: bool) -> None:
    """`tasks cancel ID` is true when the command has ended."""
    task_id = (await caller.accepted())["task_id"]
    await orchestrator("tasks", "cancel", task_id, *of(caller.tenant, named))
    assert await caller.status(task_id) == "cancelled"


async def test_follow_a_task(caller: Caller, agent: Agent, orchestrator: Command) -> None:
    """`tasks follow ID` prints what happens and ends with the task."""
    task_id, task = (await caller.accepted())["task_id"], await agent.take()
    following = asyncio.create_task(orchestrator("tasks", "follow", task_id, *of(caller.tenant, True)))
    await agent.report(task, "running")
    await agent.complete(task, "The very answer")
    followed = await following
    assert "completed" in followed.stdout


@pytest.mark.parametrize("action", ["show", "cancel", "follow"])
async def test_a_task_that_is_not_there(tenant: Tenant, orchestrator: Command, action: str) -> None:
    """Exit code 1 and one line that says so."""
    task_id = f"task-{unique('none')}"
    failed = await orchestrator("tasks", action, task_id, *of(tenant, True), code=1)
    assert len(failed.stderr.splitlines()) == 1
    assert task_id in failed.stderr


async def test_a_task_of_another_tenant(caller: Caller, orchestrator: Command, new_tenant: NewTenant) -> None:
    """Under another tenant's name the task is not there, and is not cancelled."""
    task_id = (await caller.accepted())["task_id"]
    await orchestrator("tasks", "cancel", task_id, *of(await new_tenant(), True), code=1)
    assert await caller.status(task_id) != "cancelled"


async def test_dead_letters(
    caller: Caller, agent: Agent, new_tenant: NewTenant, orchestrator: Command
) -> None:
    """`dead list` says why a callback could not be used, `dead show` shows it; under its own tenant."""
    stranger = await new_tenant()
    await agent.redis.lpush(caller.tenant.callbacks, '{"task_id": "task-nobodys", "status": "completed"}')

    async def listed() -> list[dict[str, Any]]:
        return rows((await orchestrator("dead", "list", "--json", *of(caller.tenant, True))).stdout)

    await wait_until(listed, within=20)
    (letter,) = await listed()
    assert letter["reason"]
    assert letter["reason"] in (await orchestrator("dead", "list", *of(caller.tenant, True))).stdout
    shown = await orchestrator("dead", "show", letter["id"], *of(caller.tenant, True))
    assert "task-nobodys" in shown.stdout
    await orchestrator("dead", "show", letter["id"], *of(stranger, True), code=1)


async def test_a_tenant_without_dead_letters(tenant: Tenant, orchestrator: Command) -> None:
    """An empty array is an array."""
    assert rows((await orchestrator("dead", "list", "--json", *of(tenant, True))).stdout) == []


@pytest.mark.parametrize("arguments", [("tasks", "show"), ("queues", "--nonsense"), ("nonsense",)], ids=str)
async def test_wrong_use(orchestrator: Command, arguments: tuple[str, ...]) -> None:
    """Exit code 2."""
    await orchestrator(*arguments, code=2)


async def test_a_redis_that_is_not_there(environment: dict[str, str], orchestrator: Command) -> None:
    """Exit code 1, and why in one line."""
    settings = environment | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    failed = await orchestrator("queues", code=1, settings=settings)
    assert len(failed.stderr.splitlines()) == 1


def of(tenant: Tenant, named: bool) -> tuple[str, ...]:
    """The option that names the tenant, or nothing."""
    return ("--tenant", tenant.id) if named else ()
