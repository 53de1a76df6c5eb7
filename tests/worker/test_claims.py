"""Taking tasks: what is taken, how many at a time, and what is no task."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.servers import wait_until
from tests.worker.service import CALLBACKS, Service, running

from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.tiers import TIERS
from orchestrator.worker import AgentWorker, Task


async def test_all_tiers_of_all_contexts_are_served(service: Service, worker: AgentWorker) -> None:
    """One handler can serve several contexts, each with its four queues."""

    @worker.agent("123", "agent-456")
    @worker.context("workflow-7")
    async def _(task: Task) -> str:
        return f"{task.context.context_id} {task.tier}"

    contexts = ("agent-123", "agent-456", "workflow-7")
    async with running(worker):
        for context in contexts:
            for tier in TIERS:
                await service.send(context=context, tier=tier)
        answers = {(await service.ending())["result"]["response"] for _ in range(12)}

    assert answers == {f"{context} {tier}" for context in contexts for tier in TIERS}


async def test_never_more_than_there_are_slots(service: Service, worker: AgentWorker) -> None:
    """With two slots, two tasks run and the others stay in the queue for other workers."""
    gate = asyncio.Event()
    at_once: list[int] = []
    inside: set[str] = set()

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        inside.add(task.task_id)
        at_once.append(len(inside))
        await gate.wait()
        inside.remove(task.task_id)
        return "done"

    worker.concurrency = 2
    for message in "12345":
        await service.send(message)
    async with running(worker):
        await wait_until(lambda: len(inside) == 2)
        assert await service.waiting() == 3
        gate.set()
        for _message in "12345":
            await service.ending()

    assert max(at_once) == 2


POISON = {
    "no JSON": b"{not json",
    "not UTF-8": b"\xff\xfe",
    "no object": b'["a"]',
    "empty": b"",
    "deep": b"[" * 100_000,
    "an object": b"{}",
}


@pytest.mark.parametrize("payload", POISON.values(), ids=list(POISON))
async def test_what_is_no_task_is_skipped(service: Service, worker: AgentWorker, payload: bytes) -> None:
    """A payload that names nobody to tell is logged, and the next task is answered."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        return "still here"

    worker.concurrency = 1
    with capture_logs() as logs:
        async with running(worker):
            await service.push(payload)
            await service.send()
            first, last = await service.until_end()

    assert (first["status"], last["result"]["response"]) == ("running", "still here")
    assert [line["event"] for line in logs].count("task_unreadable") == 1


FAULTS: dict[str, dict[str, Any]] = {
    "no message": {"message": None},
    "no deadline": {"deadline": "tomorrow"},
    "unknown tier": {"tenant_tier": "gold"},
    "another action": {"action_type": "execution.something"},
    "no context": {"execution_context": {}},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
async def test_a_faulty_task_is_failed(service: Service, worker: AgentWorker, fault: dict[str, Any]) -> None:
    """Where task and callback queue can be read, the task does not have to wait for its deadline."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        return "never"

    async with running(worker):
        task_id = await service.send(**fault)
        ending = await service.callback()

    assert (ending["task_id"], ending["status"]) == (task_id, "failed")
    assert ending["result"]["error"]["code"] == "unreadable_task"


async def test_unknown_members_are_no_fault(service: Service, worker: AgentWorker) -> None:
    """A later version of the service may add members to a task."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        return "fine"

    async with running(worker):
        await service.send(priority="high")
        assert (await service.ending())["status"] == "completed"


async def test_redis_goes_and_comes_back(service: Service, worker: AgentWorker, valkey: ValkeyServer) -> None:
    """What is reported meanwhile arrives in order afterwards; one log line each way; then work goes on."""
    began, gate = asyncio.Event(), asyncio.Event()

    @worker.agent("agent-123")
    async def _(task: Task) -> AsyncGenerator[str, None]:
        began.set()
        await gate.wait()
        for word in task.message.split():
            yield word

    with capture_logs() as logs:
        async with running(worker):
            await service.send("a b c")
            await began.wait()
            valkey.kill()
            gate.set()
            await wait_until(lambda: any(line["event"] == "redis_unreachable" for line in logs))
            valkey.start()
            kept = await service.until_end()
            await service.send("d")
            after = await service.until_end()

    # The emptied server had `running`.
    assert [c["seq"] for c in kept[:-1]] == list(range(len(kept) - 1))
    assert "".join(c["result"]["delta"] for c in kept[:-1]) == "abc"
    assert kept[-1]["result"]["response"] == "abc"
    assert after[-1]["result"]["response"] == "d"
    events = [line["event"] for line in logs]
    assert (events.count("redis_unreachable"), events.count("redis_recovered")) == (1, 1)


async def test_redis_refuses_a_report(service: Service, worker: AgentWorker) -> None:
    """A report that Redis refuses is repeated until it takes it, and blamed on itself alone."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        return "patience"

    with capture_logs() as logs:
        async with running(worker):
            await service.redis.set(CALLBACKS, "not a list")
            await service.send()
            await wait_until(lambda: any(line["event"] == "redis_unreachable" for line in logs))
            await service.redis.delete(CALLBACKS)
            assert (await service.ending())["result"]["response"] == "patience"

    outage = next(line for line in logs if line["event"] == "redis_unreachable")
    assert (outage["operation"], "WRONGTYPE" in outage["error"]) == ("report", True)


async def test_a_cluster_is_served(valkey_cluster: ValkeyServer) -> None:
    """In a Cluster every queue lies in a slot of its own: all are served, also by a single slot."""
    worker = AgentWorker(concurrency=1, redis_url=valkey_cluster.url)
    seen: list[str] = []

    @worker.agent("agent-123", "agent-456")
    async def _(task: Task) -> AsyncGenerator[str, None]:
        if task.message == "wait":
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("finally")
        yield task.tier

    async with Service(valkey_cluster.port) as service, running(worker):
        for context in ("agent-123", "agent-456"):
            for tier in TIERS:
                await service.send(context=context, tier=tier)
        answers = [(await service.ending())["result"]["response"] for _ in range(8)]
        task_id = await service.send("wait")
        assert (await service.callback())["status"] == "running"
        await service.cancel(task_id)
        await wait_until(lambda: seen == ["finally"])

    assert sorted(answers) == sorted([*TIERS, *TIERS])


async def test_a_cluster_goes_and_comes_back(valkey_cluster: ValkeyServer) -> None:
    """After a restart of its only node the worker finds its way back by itself."""
    worker = AgentWorker(concurrency=16, redis_url=valkey_cluster.url)

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return task.message

    async with Service(valkey_cluster.port) as service, running(worker):
        for message in ("before", "after"):
            await service.send(message)
            assert (await service.ending())["result"]["response"] == message
            if message == "before":
                valkey_cluster.kill()
                valkey_cluster.start()


async def test_any_json_of_a_task_is_bytes_for_the_queue(service: Service, worker: AgentWorker) -> None:
    """Text outside of ASCII arrives as it was, escaped or not."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return task.message

    async with running(worker):
        for ascii_only in (True, False):
            await service.push(json.dumps(service.task("Grüße 😀"), ensure_ascii=ascii_only))
            assert (await service.ending())["result"]["response"] == "Grüße 😀"
