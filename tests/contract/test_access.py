"""Access: tenant → context, in the database, cached in Redis, void at once (contract §6)."""

import asyncio
from typing import Any

import httpx
import pytest
from tests.contract.client import Caller, Tenant, problem, unique
from tests.contract.conftest import Command, Connect, NewContext, NewTenant, StartService
from tests.servers import wait_until

from orchestrator.store.store import Store


async def denied(caller: Caller, headers: Any = None) -> None:
    """The send has to be refused as `access_denied`."""
    problem(await caller.send(headers=headers), 403, "access_denied")


async def test_an_unknown_tenant(caller: Caller) -> None:
    """Nobody gets in who is not in the database."""
    await denied(caller, {"X-Tenant-ID": unique("nobody")})


async def test_an_unknown_agent(caller: Caller, redis_client: Any) -> None:
    """An agent that does not exist is refused, and no queue of that name appears."""
    name = f"agent-{unique('x')}"
    await denied(caller, {"X-Agent-ID": name})
    assert await redis_client.exists(f"execution:{name}:professional") == 0


async def test_a_foreign_agent(caller: Caller, new_tenant: NewTenant, redis_client: Any) -> None:
    """Another tenant's agent is refused, however its name is spelled."""
    other = await new_tenant()
    for name in (other.agent, other.agent.removeprefix("agent-")):
        await denied(caller, {"X-Agent-ID": name})
    assert await redis_client.llen(other.queue()) == 0


async def test_a_foreign_collection(caller: Caller, new_tenant: NewTenant, new_context: NewContext) -> None:
    """Each collection that is named has to be the tenant's own or granted, for every context."""
    collection = await new_context(await new_tenant(), "collection")
    await denied(caller, {"X-Collection-ID": collection})
    await denied(caller, {"X-Collection-ID": collection, "X-Context-Type": "collection"})


async def test_types_do_not_mix(caller: Caller) -> None:
    """An agent's name is no workflow's."""
    await denied(caller, {"X-Context-Type": "workflow"})


@pytest.mark.parametrize("tier", ["free", "enterprise"])
async def test_another_tier_than_the_tenants(caller: Caller, tier: str) -> None:
    """403 `tier_mismatch` when the tenant exists and its tier is another."""
    problem(await caller.send(headers={"X-Tenant-Tier": tier}), 403, "tier_mismatch")


async def test_a_granted_agent(
    caller: Caller, new_tenant: NewTenant, orchestrator: Command, redis_client: Any
) -> None:
    """A grant lets in at once, though the refusal was cached; revoking it shuts out at once."""
    owner = await new_tenant()
    shared = {"X-Agent-ID": owner.agent}
    await denied(caller, shared)
    await orchestrator("agents", "grant", owner.agent, "--tenant", caller.tenant.id)
    await caller.accepted(headers=shared)
    assert await redis_client.llen(f"execution:{owner.agent}:professional") == 1
    await orchestrator("agents", "revoke", owner.agent, "--tenant", caller.tenant.id)
    await denied(caller, shared)
    await caller.accepted()


async def test_a_suspended_tenant(caller: Caller, orchestrator: Command) -> None:
    """Suspension shuts out at once, though the answer was cached; resuming lets in at once."""
    await caller.accepted()
    await orchestrator("tenants", "suspend", caller.tenant.id)
    await denied(caller)
    await orchestrator("tenants", "resume", caller.tenant.id)
    await caller.accepted()


async def test_a_tenant_and_an_agent_that_are_created_later(
    caller: Caller, http: httpx.AsyncClient, orchestrator: Command
) -> None:
    """Unknown, then created through the service: let in at once, and under the canonical id."""
    name = unique("t")
    late = Caller(http, Tenant(unique("tenant"), "advance", f"agent-{name}"))
    await denied(late)
    await orchestrator("tenants", "create", late.tenant.id, "--tier", "advance")
    await denied(late)
    await orchestrator("agents", "create", name, "--tenant", late.tenant.id)
    assert (await late.accepted())["context_id"] == f"agent-{name}"


async def test_good_and_bad_answers_are_cached(
    caller: Caller, new_tenant: NewTenant, environment: dict[str, str]
) -> None:
    """A change behind the service's back is not seen while the answer is remembered."""
    owner = await new_tenant()
    await caller.accepted()
    await denied(caller, {"X-Agent-ID": owner.agent})
    async with Store(environment["DATABASE_URL"]) as store:
        await store.update_context(caller.tenant.agent, active=False)
        await store.grant(caller.tenant.id, owner.agent)
    await caller.accepted()
    await denied(caller, {"X-Agent-ID": owner.agent})


async def test_answers_are_remembered_for_the_ttl(
    tenant: Tenant, environment: dict[str, str], service_with: StartService, connect: Connect
) -> None:
    """`ORCHESTRATOR_VALIDATION_CACHE_TTL` later the database is asked again."""
    caller = Caller(connect(service_with(validation_cache_ttl="1")), tenant)
    await caller.accepted()
    async with Store(environment["DATABASE_URL"]) as store:
        await store.suspend_tenant(tenant.id)

    async def shut_out() -> bool:
        return (await caller.send()).status_code == 403

    await wait_until(shut_out)


async def test_many_at_once_are_all_let_in(caller: Caller) -> None:
    """The first sends of a tenant arrive together, before any answer is cached."""
    answers = await asyncio.gather(*(caller.send() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}


async def test_without_validation_anybody_is_let_in(service_with: StartService, connect: Connect) -> None:
    """With `ORCHESTRATOR_ENABLE_ACCESS_VALIDATION=false` the database may be absent."""
    server = service_with(
        enable_access_validation="false", database_url="sqlite+aiosqlite:////nowhere/at/all.db"
    )
    stranger = Caller(connect(server), Tenant(unique("tenant"), "enterprise", f"agent-{unique('a')}"))
    await stranger.accepted()
