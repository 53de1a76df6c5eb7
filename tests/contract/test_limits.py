"""Limits of sends: per session and hour, per tenant and minute, outstanding tasks (contract §7)."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from tests.contract.client import Agent, Caller, Tenant, problem
from tests.contract.conftest import Command, Connect, NewTenant, StartService
from tests.servers import wait_until


def limits(answer: httpx.Response) -> dict[str, tuple[int, int]]:
    """`RateLimit` by policy: what is left, and in how many seconds it is whole again."""
    form = r'"(\w+)";r=(\d+);t=(\d+)'
    header = answer.headers["ratelimit"]
    assert re.fullmatch(rf"{form}(, {form})*", header), header
    return {name: (int(left), int(seconds)) for name, left, seconds in re.findall(form, header)}


def retry_after(answer: httpx.Response) -> int:
    """Whole seconds, the same in the header and in the problem."""
    seconds = int(answer.headers["retry-after"])
    assert seconds >= 1
    assert answer.json()["retry_after"] <= seconds
    return seconds


async def test_the_first_answer_tells_the_limits_to_the_letter(caller: Caller) -> None:
    """The contract's own sample: a new session of a professional tenant."""
    answer = await caller.send()
    assert answer.headers["ratelimit-policy"] == '"session";q=100;w=3600, "tenant";q=1200;w=60'
    assert answer.headers["ratelimit"] == '"session";r=99;t=3600, "tenant";r=119;t=1'


@pytest.mark.parametrize(
    ("tier", "per_minute", "burst"),
    [("free", 60, 6), ("advance", 300, 30), ("professional", 1200, 120), ("enterprise", 6000, 600)],
)
async def test_the_limits_of_each_tier(
    http: httpx.AsyncClient, new_tenant: NewTenant, tier: str, per_minute: int, burst: int
) -> None:
    """`requests_per_minute` of the table, with a burst of a tenth, at least 5."""
    answer = await Caller(http, await new_tenant(tier)).send()
    assert answer.headers["ratelimit-policy"] == f'"session";q=100;w=3600, "tenant";q={per_minute};w=60'
    assert limits(answer)["tenant"][0] == burst - 1


async def test_a_session_has_its_sends_in_any_hour(caller: Caller) -> None:
    """Exactly 100 of 110 at once are taken; the others say when it goes on, within the hour."""
    answers = await asyncio.gather(*(caller.send() for _ in range(110)))
    taken = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code != 202]
    assert len(taken) == 100
    for answer in refused:
        problem(answer, 429, "rate_limited")
        assert 3500 <= retry_after(answer) <= 3600
        assert limits(answer)["session"][0] == 0
        assert '"session";q=100;w=3600' in answer.headers["ratelimit-policy"]
    assert (await Caller(caller.http, caller.tenant).send()).status_code == 202


async def test_no_limit_of_a_session(tenant: Tenant, service_with: StartService, connect: Connect) -> None:
    """`ORCHESTRATOR_MAX_REQUESTS_PER_SESSION=0` switches it off."""
    caller = Caller(connect(service_with(max_requests_per_session="0")), tenant)
    answers = await asyncio.gather(*(caller.send() for _ in range(110)))
    assert {answer.status_code for answer in answers} == {202}


async def test_another_limit_of_a_session(
    tenant: Tenant, service_with: StartService, connect: Connect
) -> None:
    """The setting is the `q` of the policy, and the limit."""
    caller = Caller(connect(service_with(max_requests_per_session="2")), tenant)
    first = await caller.send()
    assert '"session";q=2;w=3600' in first.headers["ratelimit-policy"]
    assert (await caller.send()).status_code == 202
    problem(await caller.send(), 429, "rate_limited")


async def test_a_tenant_has_its_burst(http: httpx.AsyncClient, new_tenant: NewTenant) -> None:
    """Five at once of a tenant with one a minute, over all its sessions; the sixth is told to wait."""
    tenant = await new_tenant(requests_per_minute=1)
    for left in (4, 3, 2, 1, 0):
        answer = await Caller(http, tenant).send()
        assert answer.status_code == 202
        assert limits(answer)["tenant"][0] == left
    answer = await Caller(http, tenant).send()
    problem(answer, 429, "rate_limited")
    assert 50 <= retry_after(answer) <= 60
    assert limits(answer)["tenant"][0] == 0


async def test_a_tenant_has_so_many_tasks_outstanding(
    http: httpx.AsyncClient, new_tenant: NewTenant, redis_client: object
) -> None:
    """`queue_full` with `Retry-After` at `max_outstanding`; one that ends makes room for one."""
    tenant = await new_tenant(max_outstanding=2)
    caller, agent = Caller(http, tenant), Agent(redis_client, tenant)
    for _ in range(2):
        await caller.accepted()
    answer = await caller.send()
    problem(answer, 429, "queue_full")
    retry_after(answer)
    await agent.complete(await agent.take())

    async def room() -> bool:
        return (await caller.send()).status_code == 202

    await wait_until(room)
    problem(await caller.send(), 429, "queue_full")


@pytest.mark.parametrize("own", [{"max_outstanding": 1}, {"requests_per_minute": 1}], ids=str)
async def test_a_refused_send_costs_nothing(
    http: httpx.AsyncClient, new_tenant: NewTenant, own: dict[str, Any]
) -> None:
    """All or nothing: what one limit refuses is not charged to the other."""
    caller = Caller(http, await new_tenant(**own))
    answers = [await caller.send() for _ in range(8)]
    taken = [answer for answer in answers if answer.status_code == 202]
    assert 0 < len(taken) < len(answers)
    assert limits(answers[-1])["session"][0] == 100 - len(taken)


async def test_every_answer_tells_the_state(http: httpx.AsyncClient, new_tenant: NewTenant) -> None:
    """202, a replay, a conflict and a refusal have both headers."""
    caller = Caller(http, await new_tenant(max_outstanding=1))
    name = {"Idempotency-Key": "one"}
    for answer, status in (
        (await caller.send(headers=name), 202),
        (await caller.send(headers=name), 202),
        (await caller.send("Other", headers=name), 422),
        (await caller.send(), 429),
    ):
        assert answer.status_code == status
        assert limits(answer).keys() == {"session", "tenant"}
        assert answer.headers["ratelimit-policy"] == '"session";q=100;w=3600, "tenant";q=1200;w=60'


async def test_a_deployment_may_have_other_limits(
    new_tenant: NewTenant, service_with: StartService, connect: Connect
) -> None:
    """`ORCHESTRATOR_TIER_LIMITS` overrides what it names, for the tier that it names."""
    server = service_with(tier_limits='{"free": {"max_outstanding": 1, "requests_per_minute": 120}}')
    free = Caller(connect(server), await new_tenant("free"))
    answer = await free.send()
    assert '"tenant";q=120;w=60' in answer.headers["ratelimit-policy"]
    assert limits(answer)["tenant"][0] == 11
    problem(await free.send(), 429, "queue_full")
    other = Caller(connect(server), await new_tenant("advance"))
    assert '"tenant";q=300;w=60' in (await other.send()).headers["ratelimit-policy"]


async def test_a_tenant_may_have_limits_of_its_own(caller: Caller, orchestrator: Command) -> None:
    """`tenants update --limit` holds at once."""
    await caller.accepted()
    await orchestrator("tenants", "update", caller.tenant.id, "--limit", "max_outstanding=1")
    problem(await caller.send(), 429, "queue_full")
    await orchestrator("tenants", "update", caller.tenant.id, "--limit", "max_outstanding=3")
    await caller.accepted()


async def test_one_tenants_limit_is_no_other_tenants(http: httpx.AsyncClient, new_tenant: NewTenant) -> None:
    """A tenant at its limit takes nothing from its neighbour."""
    full, neighbour = Caller(http, await new_tenant(max_outstanding=1)), Caller(http, await new_tenant())
    await full.accepted()
    problem(await full.send(), 429, "queue_full")
    await neighbour.accepted()
