"""The network between the service and Valkey: what is lost on it, and nobody may notice (contract §3, §4)."""

import asyncio
import time
from itertools import cycle
from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Agent, Caller, Tenant, problem, unique
from tests.contract.socket_client import watch
from tests.faults.conftest import is_well
from tests.faults.proxy import MESSAGES, RINGS, Proxy
from tests.servers import OrchestratorServer, wait_until

from orchestrator.broker.listener import ECHO_SECONDS, PROBE_SECONDS

CHUNKS: Final = 250


async def taken(agent: Agent, queue: str) -> None:
    """Waits until the service has everything that was reported, so that what follows is a message of its own."""

    async def empty() -> bool:
        return await agent.redis.llen(queue) == 0

    await wait_until(empty, 15)


async def test_lost_messages(
    service: OrchestratorServer, between: Proxy, caller: Caller, agent: Agent, tenant: Tenant
) -> None:
    """Every 50th Pub/Sub message is lost: a socket that follows a stream misses nothing, in order, once."""
    async with watch(service, caller) as socket:
        between.drop_messages(every=50, spared=":probe")
        sent = await caller.accepted()
        task = await agent.take()

        async def stream() -> None:
            for seq in range(CHUNKS):
                await agent.report(task, "streaming", result={"delta": f"{seq} "}, seq=seq)
                await taken(agent, tenant.callbacks)
            await agent.complete(task)

        streaming = asyncio.create_task(stream())
        await socket.ending(sent["task_id"])  # every frame is held against the one before as it is read
        await streaming
        lost = between.dropped
    chunks = [event["data"] for event in socket.events if event["type"] == "agent_chunk"]
    assert "".join(chunk["delta"] for chunk in chunks) == "".join(f"{seq} " for seq in range(CHUNKS))
    assert [chunk["seq_from"] for chunk in chunks] == [0, *(chunk["seq"] + 1 for chunk in chunks[:-1])]
    assert lost >= CHUNKS // 50


async def says(http: httpx.AsyncClient, path: str, status: str) -> bool:
    """Whether a health route says this, and that the fault is delivery."""
    return (await http.get(path)).json() == {"status": status, "failing": ["delivery"]}


async def test_silent_channel(
    service: OrchestratorServer, between: Proxy, caller: Caller, agent: Agent, tenant: Tenant
) -> None:
    """A Pub/Sub connection that stays open and says nothing is noticed, and events reach sockets meanwhile."""
    assert PROBE_SECONDS + ECHO_SECONDS < 5, "that is how long it may take on a machine that keeps time"
    async with watch(service, caller) as socket:
        between.drop_messages(every=1, kinds=MESSAGES | RINGS)
        first = await caller.accepted("sent at once")
        await agent.complete(await agent.take())
        for path, status in (("/health/ready", "not_ready"), ("/health", "degraded")):
            await wait_until(lambda: says(caller.http, path, status), 15)  # noqa: B023
        await socket.ending(first["task_id"])
        async with watch(service, caller, "earliest") as newcomer:
            second = await caller.accepted("sent while it was known")
            await agent.complete(await agent.take())
            for each in (socket, newcomer):
                await each.ending(second["task_id"])
        assert not await is_well(caller.http)
        between.heal()
        await wait_until(lambda: is_well(caller.http), 15)


class Attempt:
    """One message, in a session of its own, under a key of its own."""

    def __init__(self, http: httpx.AsyncClient, tenant: Tenant) -> None:
        self.caller = Caller(http, tenant)
        self.key = {"Idempotency-Key": unique("key")}

    async def send(self) -> httpx.Response:
        """Send it, also again."""
        return await self.caller.send("the same", self.key)

    async def tasks(self) -> set[str]:
        """What was accepted in the session."""
        view = await self.caller.get(f"/api/chat/sessions/{self.caller.session_id}")
        assert view.status_code in (200, 404), view.text
        return {task["task_id"] for task in view.json().get("tasks", ())}


async def hold_to(attempt: Attempt, answer: httpx.Response) -> None:
    """An answer is no lie: what was certainly not accepted is not there, what may have been is there at most once."""
    body: dict[str, Any] = answer.json()
    found = await attempt.tasks()
    if answer.status_code == 202:
        assert found == {body["task_id"]}
    elif body["code"] == "outcome_unknown":
        problem(answer, 503, "outcome_unknown")
        assert found <= {body["task_id"]}
    else:
        problem(answer, 503, "unavailable")
        assert found == set()
    again = await attempt.send()
    assert again.status_code == 202, again.text
    assert await attempt.tasks() == {again.json()["task_id"]}
    assert found <= {again.json()["task_id"]}


async def test_resets_in_the_middle_of_sends(between: Proxy, caller: Caller, tenant: Tenant) -> None:
    """RSTs while sends are under way: each answer holds, and with its key a repeated send gives one task."""
    attempts = [Attempt(caller.http, tenant) for _ in range(48)]

    async def storm() -> None:
        for pause in cycle((0.10, 0.25, 0.18, 0.40, 0.31)):  # at each stage of a send, and of coming back
            await asyncio.sleep(pause)
            between.reset()

    async def lane(some: list[Attempt]) -> list[httpx.Response]:
        return [await attempt.send() for attempt in some]

    between.latency = 0.01
    raging = asyncio.create_task(storm())
    lanes = await asyncio.gather(*(lane(attempts[start::6]) for start in range(6)))
    raging.cancel()
    between.heal()
    await wait_until(lambda: is_well(caller.http), 30)
    for start, answers in enumerate(lanes):
        for attempt, answer in zip(attempts[start::6], answers, strict=True):
            await hold_to(attempt, answer)
    assert 503 in {answer.status_code for answers in lanes for answer in answers}


@pytest.mark.parametrize("ways", [(), ("to_client",)], ids=["both ways", "replies only"])
async def test_half_open(ways: tuple[Any, ...], between: Proxy, caller: Caller, tenant: Tenant) -> None:
    """Nothing comes through and nothing ends: sends are answered within 5 s, truly; then all is well by itself."""
    attempts = [Attempt(caller.http, tenant) for _ in range(5)]
    between.swallow(*ways)
    began = time.monotonic()
    answers = await asyncio.gather(*(attempt.send() for attempt in attempts))
    assert time.monotonic() - began < 5.2
    assert {answer.status_code for answer in answers} == {503}
    for path, status in (("/health", "unhealthy"), ("/health/ready", "not_ready")):
        answer = await caller.http.get(path)
        assert (answer.status_code, answer.json()) == (503, {"status": status, "failing": ["redis"]})
    between.heal()
    await wait_until(lambda: is_well(caller.http), 15)
    for attempt, answer in zip(attempts, answers, strict=True):
        await hold_to(attempt, answer)
