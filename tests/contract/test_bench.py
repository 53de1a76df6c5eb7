"""`orchestrator bench run` on a running service (contract §8): what it sends, sees, waits for and says."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.contract.client import Agent, Tenant
from tests.contract.conftest import Command, NewTenant, StartService
from tests.contract.test_identity_gateway import SECRET as GATEWAY_SECRET
from tests.security.minting import HS256
from tests.servers import OrchestratorServer

Answer = Callable[[dict[str, Any]], Awaitable[None]]


def load(service: OrchestratorServer, tenant: Tenant, *more: str) -> tuple[str, ...]:
    """The command for a small load on a service, as this tenant."""
    who = ("--tenant", tenant.id, "--agent", tenant.agent, "--tier", tenant.tier)
    return ("bench", "run", "--url", service.url, *who, "--concurrency", "4", "--json", *more)


@asynccontextmanager
async def answering(agent: Agent, answer: Answer) -> AsyncGenerator[None]:
    """While the agent answers whatever comes."""

    async def work() -> None:
        while True:
            await answer(await agent.take(within=30))

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_every_message_is_followed_to_its_ending(
    service: OrchestratorServer, tenant: Tenant, agent: Agent, orchestrator: Command
) -> None:
    """So many messages are accepted and completed; each of the three times is told of each; exit code 0."""

    async def answer(task: dict[str, Any]) -> None:
        assert task["message"] == "two words"
        await agent.report(task, "streaming", seq=0, result={"delta": "Hi"})
        await agent.complete(task)

    async with answering(agent, answer):
        shown = await orchestrator(*load(service, tenant, "--messages", "10", "--message", "two words"))
    report = json.loads(shown.stdout)
    assert (report["accepted"], report["endings"], report["without_ending"]) == (10, {"completed": 10}, [])
    times = [report[name] for name in ("to_accepted", "to_first_chunk", "to_ending")]
    assert [time["count"] for time in times] == [10, 10, 10]
    assert all(0 < time["p50"] <= time["p95"] <= time["p99"] <= time["most"] for time in times)
    assert (report["refusals"], report["waited"], report["reconnects"]) == ({}, 0, {})


async def test_endings_are_told_by_code(
    service: OrchestratorServer, tenant: Tenant, agent: Agent, orchestrator: Command
) -> None:
    """An error is an ending too, and is counted under its code; for people it is told in words."""

    async def answer(task: dict[str, Any]) -> None:
        await agent.report(task, "failed", result={"error": {"type": "X", "message": "no", "code": "broken"}})

    async with answering(agent, answer):
        arguments = load(service, tenant, "--messages", "3")
        shown = await orchestrator(*(argument for argument in arguments if argument != "--json"))
    assert "3 of 3 messages accepted" in shown.stdout
    assert "endings: 3 × broken" in shown.stdout


async def test_a_message_without_an_ending(
    service: OrchestratorServer, tenant: Tenant, orchestrator: Command
) -> None:
    """Where none is seen in time the command says which tasks, and ends with exit code 1."""
    shown = await orchestrator(*load(service, tenant, "--messages", "2", "--timeout", "2"), code=1)
    report = json.loads(shown.stdout)
    assert (report["accepted"], len(report["without_ending"]), report["to_ending"]) == (2, 2, None)


async def test_what_was_seen_is_told_where_sockets_end(
    service: OrchestratorServer, tenant: Tenant, agent: Agent, orchestrator: Command
) -> None:
    """A tenant that is suspended meanwhile: nothing more is sent, and the report of what was is there; exit code 1."""
    answered = 0

    async def answer(task: dict[str, Any]) -> None:
        nonlocal answered
        await agent.complete(task)
        answered += 1
        if answered == 20:
            await orchestrator("tenants", "suspend", tenant.id)

    async with answering(agent, answer):
        shown = await orchestrator(*load(service, tenant, "--messages", "100000"), code=1)
    report = json.loads(shown.stdout)
    assert 20 <= report["accepted"] < 100_000
    assert report["endings"]["completed"] >= 16
    assert "4403" in report["stopped"]


async def test_a_limit_is_respected(
    service: OrchestratorServer, new_tenant: NewTenant, redis_client: Any, orchestrator: Command
) -> None:
    """A 429 is waited for as long as it says, and counted; the message is accepted in the end."""
    tenant = await new_tenant(requests_per_minute=60)
    agent = Agent(redis_client, tenant)
    async with answering(agent, agent.complete):
        report = json.loads((await orchestrator(*load(service, tenant, "--messages", "8"))).stdout)
    assert (report["accepted"], report["endings"]) == (8, {"completed": 8})
    assert report["refusals"]["rate_limited"] >= 1
    assert report["waited"] >= report["refusals"]["rate_limited"]


async def test_a_limit_that_asks_for_too_long(
    service: OrchestratorServer, new_tenant: NewTenant, redis_client: Any, orchestrator: Command
) -> None:
    """What would have to wait longer than one is patient counts as refused: exit code 1."""
    tenant = await new_tenant(requests_per_minute=1)
    agent = Agent(redis_client, tenant)
    async with answering(agent, agent.complete):
        shown = await orchestrator(*load(service, tenant, "--messages", "8", "--timeout", "5"), code=1)
    report = json.loads(shown.stdout)
    assert (report["accepted"], report["refusals"], report["waited"]) == (5, {"rate_limited": 3}, 0)


async def test_a_token_comes_from_the_environment(
    token_service: OrchestratorServer,
    tenant: Tenant,
    agent: Agent,
    orchestrator: Command,
    environment: dict[str, str],
) -> None:
    """ORCHESTRATOR_TOKEN proves who sends and who follows."""
    settings = {**environment, "ORCHESTRATOR_TOKEN": HS256.of(tenant)}
    async with answering(agent, agent.complete):
        shown = await orchestrator(*load(token_service, tenant, "--messages", "3"), settings=settings)
    assert json.loads(shown.stdout)["endings"] == {"completed": 3}


async def test_a_gateway_s_secret_comes_from_the_environment(
    service_with: StartService,
    tenant: Tenant,
    agent: Agent,
    orchestrator: Command,
    environment: dict[str, str],
) -> None:
    """ORCHESTRATOR_GATEWAY_SECRET is sent with requests and handshakes, as a gateway would."""
    service = service_with(gateway_secret=GATEWAY_SECRET)
    settings = {**environment, "ORCHESTRATOR_GATEWAY_SECRET": GATEWAY_SECRET}
    async with answering(agent, agent.complete):
        shown = await orchestrator(*load(service, tenant, "--messages", "3"), settings=settings)
    assert json.loads(shown.stdout)["endings"] == {"completed": 3}
