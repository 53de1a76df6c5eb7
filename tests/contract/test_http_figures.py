"""Figures: of one tenant, of the sockets, of the whole deployment (contract §3)."""

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.client import Agent, Caller, Tenant
from tests.contract.conftest import Connect, NewTenant, StartService
from tests.contract.event_stream import followed
from tests.servers import wait_until


async def figures(http: httpx.AsyncClient, path: str, **params: str) -> dict[str, Any]:
    """The JSON object that a route of figures gives to anybody in header mode."""
    answer = await http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_tenants_figures_are_its_own(
    caller: Caller, agent: Agent, http: httpx.AsyncClient, new_tenant: NewTenant
) -> None:
    """`/api/chat/stats` names the tenant's agents once they worked, and nobody else's."""
    await caller.accepted()
    await agent.complete(await agent.take())
    stranger = Caller(http, await new_tenant())
    await stranger.accepted()

    async def named() -> bool:
        return caller.tenant.agent in (await caller.get("/api/chat/stats")).text

    await wait_until(named)
    text = (await stranger.get("/api/chat/stats")).text
    assert caller.tenant.agent not in text
    assert stranger.tenant.agent in text


async def test_figures_of_the_sockets(caller: Caller, http: httpx.AsyncClient) -> None:
    """`/ws/stats` has these members; `?tenant_id=` narrows them to one tenant."""
    members = {"total", "by_tenant", "by_tier", "by_state", "replicas"}
    tenant = caller.tenant.id
    async with followed(caller):

        async def counted() -> bool:
            return (await figures(http, "/ws/stats"))["by_tenant"].get(tenant) == 1

        await wait_until(counted)
        everything = await figures(http, "/ws/stats")
        narrowed = await figures(http, "/ws/stats", tenant_id=tenant)
    assert set(everything) == set(narrowed) == members
    assert everything["total"] >= 1
    assert everything["by_tier"]["professional"] >= 1
    assert len(everything["by_tenant"]) <= 100
    assert (narrowed["total"], narrowed["by_tenant"]) == (1, {tenant: 1})
    assert narrowed["by_tier"]["professional"] == 1


async def test_figures_of_a_tenant_without_sockets(tenant: Tenant, http: httpx.AsyncClient) -> None:
    """Narrowed to a tenant that has none, the total is 0."""
    assert (await figures(http, "/ws/stats", tenant_id=tenant.id))["total"] == 0


async def test_the_overview(http: httpx.AsyncClient) -> None:
    """The whole deployment under these names."""
    overview = await figures(http, "/metrics/overview")
    assert {"tasks", "callbacks", "websockets", "latency", "replicas", "uptime_seconds"} <= set(overview)
    assert overview["uptime_seconds"] >= 0


async def test_what_waits_in_queues(caller: Caller, http: httpx.AsyncClient) -> None:
    """A queue with a waiting task is listed with exactly these members, and counts in `totals`."""
    await caller.accepted()
    queue = caller.tenant.queue()

    async def listed() -> dict[str, Any] | None:
        found = (await figures(http, "/metrics/queues"))["queues"]
        return next((row for row in found if row["name"] == queue and row["depth"] == 1), None)

    await wait_until(listed)
    answer = await figures(http, "/metrics/queues")
    assert set(answer) == {"queues", "totals"}
    assert isinstance(answer["totals"], dict)
    for row in answer["queues"]:
        assert set(row) == {
            "name", "kind", "depth", "oldest_age_seconds",
            "workers", "running", "rate_per_minute", "waiting_for", "eta_seconds",
        }  # fmt: skip
        assert row["kind"] in ("execution", "callbacks")
    row = await listed()
    assert row
    assert row["kind"] == "execution"
    assert 0 <= row["oldest_age_seconds"] < 60


async def test_prometheus_can_read_the_metrics(caller: Caller, http: httpx.AsyncClient) -> None:
    """The text format, with the deployment as label; no label names a tenant or a session."""
    await caller.accepted()
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = list(text_string_to_metric_families(answer.text))
    samples = [sample for family in families for sample in family.samples]
    assert any("orchestrator" in sample.labels.values() for sample in samples)
    for sample in samples:
        assert not {"tenant", "tenant_id", "session", "session_id"} & set(sample.labels)
    assert caller.tenant.id not in answer.text
    assert caller.session_id not in answer.text


async def test_several_workers_answer_for_all_of_them(
    tenant: Tenant, service_with: StartService, connect: Connect
) -> None:
    """Whichever process answers, `/metrics` has the tasks that all of them accepted."""
    server = service_with("--workers", "2")
    for _ in range(12):  # a client each: a connection stays with one process
        await Caller(connect(server), tenant).accepted()

    async def complete() -> bool:
        return [await _accepted(connect(server)) for _ in range(6)] == [12] * 6

    await wait_until(complete, within=15)


async def _accepted(http: httpx.AsyncClient) -> float:
    text = (await http.get("/metrics")).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return sum(s.value for s in samples if s.name == "orchestrator_tasks_accepted_total")
