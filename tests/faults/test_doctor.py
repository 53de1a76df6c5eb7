"""`orchestrator doctor` beside a service that has the fault: the cause is named, and nothing untrue besides."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Agent, Caller, Tenant, unique
from tests.contract.conftest import Connect
from tests.contract.socket_client import closing, dial, socket_url
from tests.faults.conftest import is_well
from tests.faults.proxy import MESSAGES, RINGS, Proxy
from tests.faults.redis_faults import REFUSALS, administrator, busy
from tests.servers import SOURCE, OrchestratorServer, orchestrator_server, wait_until

from orchestrator.broker.libraries import library_of
from orchestrator.diagnosis import servers
from orchestrator.diagnosis.examination import examination
from orchestrator.diagnosis.examine import examine
from orchestrator.diagnosis.faults import Finding
from orchestrator.embedded import ValkeyServer
from orchestrator.settings import Settings

NAMED: Final[Mapping[str, str]] = {
    "MISCONF": "redis_cannot_save",
    "OOM": "redis_full",
    "READONLY": "redis_read_only",
    "NOREPLICAS": "redis_refuses",
    "NOPERM": "rights_missing",
}
HARMLESS: Final = {"redis_forgets", "functions_flushed"}
"""What may be said of these servers at any time."""


async def found(environment: Mapping[str, str]) -> dict[str, Finding]:
    """What is wrong, by its code, for a deployment of these settings."""
    async with examination(Settings.from_environment(environment)) as exam:
        findings = [finding async for finding in examine(exam)]
    assert all(finding.remedy for finding in findings if finding.code)
    return {finding.code: finding for finding in findings if finding.code and finding.code not in HARMLESS}


async def is_named(environment: Mapping[str, str], code: str) -> bool:
    """Whether a fault is."""
    return code in await found(environment)


async def failing(environment: Mapping[str, str]) -> set[str]:
    """The codes of what does not work."""
    return {code for code, finding in (await found(environment)).items() if finding.level == "fail"}


@pytest.mark.parametrize("word", REFUSALS)
async def test_refusals(
    word: str, whole: httpx.AsyncClient, redis_server: ValkeyServer, environment: dict[str, str]
) -> None:
    """A server that refuses is told by what it refuses for, and by nothing that only follows from it."""
    with REFUSALS[word](redis_server):
        assert await failing(environment) == {NAMED[word]}


async def test_a_script_that_does_not_end(
    whole: httpx.AsyncClient, redis_server: ValkeyServer, environment: dict[str, str]
) -> None:
    """Whose script it is cannot be seen, that there is one and how to end it can."""
    with busy(redis_server):
        finding = (await found(environment))["redis_refuses"]
        assert "BUSY" in finding.what
        assert "SCRIPT KILL" in finding.remedy
        assert (await whole.get("/health")).json() == {"status": "unhealthy", "failing": ["redis"]}


async def test_refused_sockets(
    service: OrchestratorServer, whole: httpx.AsyncClient, tenant: Tenant, environment: dict[str, str]
) -> None:
    """WebSockets without a tenant, and of a page that is not listed, are counted by their close codes."""
    for options, parameters, code in (
        ({}, {"tenant_id": None}, 4400),
        ({"origin": "https://elsewhere.example"}, {"tenant_id": tenant.id}, 4403),
    ):
        url = socket_url(service, "s", tier=tenant.tier, **parameters)
        async with dial(url, **options) as connection:
            assert (await closing(connection))[0] == code

    async def named() -> bool:
        finding = (await found(environment)).get("websockets_refused")
        return finding is not None and "× 4400" in finding.what and "× 4403" in finding.what

    await wait_until(named, 15)


async def test_no_worker_runs(caller: Caller, agent: Agent, environment: dict[str, str]) -> None:
    """A task that was accepted and that nobody takes: its queue is named; taken, it is no fault any more."""
    await caller.accepted()

    async def named() -> bool:
        finding = (await found(environment)).get("tasks_unserved")
        return finding is not None and agent.queue in finding.what

    await wait_until(named, 20)
    await agent.take()
    assert not await named()


async def test_functions_are_flushed(
    caller: Caller, agent: Agent, redis_server: ValkeyServer, environment: dict[str, str]
) -> None:
    """It does no harm: the next send is accepted and pushed, the functions are there again, and nothing fails."""
    with administrator(redis_server) as client:
        client.function_flush()
        await caller.accepted()
        await agent.take()
        assert client.function_list(library_of("admit").name)
    assert await failing(environment) == set()


@pytest.fixture
def own_environment(environment: dict[str, str]) -> dict[str, str]:
    """The settings of a deployment of the test's own."""
    return {
        **environment,
        "ORCHESTRATOR_DOMAIN_NAME": unique("domain"),
        "ORCHESTRATOR_CALLBACK_QUEUE_PREFIX": unique("own"),
    }


@pytest.fixture
def hour_ahead(
    own_environment: dict[str, str], tmp_path: Path, log_path: Path
) -> Iterator[OrchestratorServer]:
    """A replica on a machine whose clock is an hour ahead."""
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nright = time.time\ntime.time = lambda: right() + 3_600\n"
    )
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"}
    with orchestrator_server(own_environment | path, log_path) as server:
        yield server


async def test_clock_of_a_replica(
    whole: httpx.AsyncClient,
    connect: Connect,
    hour_ahead: OrchestratorServer,
    own_environment: dict[str, str],
    tenant: Tenant,
) -> None:
    """A replica with another time is named, and by how much; what it accepts is judged by the clock of Redis."""
    caller = Caller(connect(hour_ahead), tenant)
    sent = await caller.accepted(timeout=60)
    findings = await found(own_environment)
    assert "by +3600 s" in findings["replica_clock_skew"].what
    assert "clock_skew" not in findings
    assert await caller.status(sent["task_id"]) == "queued"


async def test_callbacks_that_nobody_takes(
    whole: httpx.AsyncClient,
    connect: Connect,
    redis_client: Any,
    own_environment: dict[str, str],
    tenant: Tenant,
    log_path: Path,
) -> None:
    """An agent reports while no replica runs: both are named; the next replica delivers, and all is well."""
    with orchestrator_server(own_environment, log_path) as server:
        sent = await Caller(connect(server), tenant).accepted()
    agent = Agent(redis_client, tenant)
    await agent.complete(await agent.take())

    async def named() -> bool:
        return {"no_replica", "callbacks_stuck"} <= await failing(own_environment)

    await wait_until(named, 20)
    with orchestrator_server(own_environment, log_path) as server:
        caller = Caller(connect(server), tenant)

        async def completed() -> bool:
            return await caller.status(sent["task_id"]) == "completed"

        await wait_until(completed, 15)
        assert await failing(own_environment) == set()


async def has_been_up(environment: Mapping[str, str]) -> bool:
    """Whether the replica is old enough to be judged."""
    async with examination(Settings.from_environment(environment)) as exam:
        await servers.reach(exam)
        return any(report["uptime"] > 11 for report in (await exam.reports()).values())


async def test_silent_channel(whole: httpx.AsyncClient, between: Proxy, environment: dict[str, str]) -> None:
    """A replica that hears nothing tells so itself, until it hears again."""
    await wait_until(lambda: has_been_up(environment), 20)
    between.drop_messages(every=1, kinds=MESSAGES | RINGS)
    await wait_until(lambda: is_named(environment, "replica_not_ready"), 15)
    between.heal()
    await wait_until(lambda: is_well(whole), 15)

    async def well() -> bool:
        return not await is_named(environment, "replica_not_ready")

    await wait_until(well, 15)
