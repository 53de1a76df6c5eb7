"""What one tenant does moves nothing of another's: figures, limits, keys, queues (contract §3, §7)."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.contract.client import Agent, Tenant, problem, unique
from tests.contract.conftest import Command, NewTenant
from tests.contract.exchange import asked, dead_letters, ended
from tests.contract.socket_client import closing, dial, socket_url
from tests.security.marks import BOTH
from tests.security.user import User, attend
from tests.servers import OrchestratorServer, wait_until

pytestmark = BOTH


@pytest.fixture
async def neighbour(http: httpx.AsyncClient, new_tenant: NewTenant) -> User:
    """Ada's namesake: another tenant's user of the same name, in a session of the same name."""
    return User(http, await new_tenant(), "ada", "sess-shared")


@pytest.fixture
def me(http: httpx.AsyncClient, tenant: Tenant) -> User:
    """Ada of the test's tenant, in that session."""
    return User(http, tenant, "ada", "sess-shared")


async def state_of(user: User) -> dict[str, Any]:
    """Everything that a user can see and that does not change by itself."""
    answer = await user.get("/api/chat/stats")
    view = (await user.get(f"/api/chat/sessions/{user.session_id}")).json()
    for task in view["tasks"]:
        del task["eta_seconds"], task["waiting_for"]  # a guess by what agents did of late
    return {
        "stats": answer.json(),
        "view": view,
        "queue": [task["queue_position"] for task in view["tasks"]],
    }


async def busy(user: User, agent: Agent) -> None:
    """A tenant that does all there is to do."""
    key = {"Idempotency-Key": unique("key")}
    for _ in range(3):
        await user.accepted(headers=key)
    _, task = (
        await asked(user, agent) if await agent.redis.llen(agent.queue) == 0 else ({}, await agent.take())
    )
    await agent.report(task, "running")
    await agent.complete(task)
    await ended(user, task["task_id"])
    await agent.redis.lpush(task["callback_queue"], "no callback")
    await user.cancel((await user.accepted())["task_id"])
    for _ in range(4):
        await user.accepted()


async def test_nothing_of_mine_moves(
    me: User, neighbour: User, redis_client: Any, orchestrator: Command
) -> None:
    """Figures, session, queue positions, dead letters: the same before and after a busy neighbour."""
    await me.accepted()
    before, letters = await state_of(me), await dead_letters(orchestrator, me.tenant.id)
    await busy(neighbour, Agent(redis_client, neighbour.tenant))
    assert await state_of(me) == before
    assert await dead_letters(orchestrator, me.tenant.id) == letters
    assert (await state_of(neighbour))["stats"]["last_day"]["accepted"] == 6


async def test_limits_are_ones_own(me: User, neighbour: User) -> None:
    """`RateLimit` of the next answer tells of no send of a neighbour, in a session of the same name either."""
    first = await me.send()
    await asyncio.gather(*(neighbour.send() for _ in range(20)))
    second = await me.send()
    assert first.headers["ratelimit"].startswith('"session";r=99')
    assert second.headers["ratelimit"].startswith('"session";r=98')


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"requests_per_minute": 1}, "rate_limited"), ({"max_outstanding": 1}, "queue_full")],
    ids=["rate", "queue"],
)
async def test_a_neighbour_at_its_limit(
    me: User, http: httpx.AsyncClient, new_tenant: NewTenant, limits: dict[str, Any], code: str
) -> None:
    """Who has spent his own has spent nobody else's."""
    full = User(http, await new_tenant(**limits), "ada", me.session_id)
    answers = [await full.send() for _ in range(7)]
    problem(answers[-1], 429, code)
    await me.accepted()


async def test_a_neighbour_with_all_its_connections(
    me: User, http: httpx.AsyncClient, new_tenant: NewTenant, service: OrchestratorServer
) -> None:
    """`max_connections` counts the tenant's own sockets."""
    full = User(http, await new_tenant(max_connections=1), "ada", me.session_id)
    async with attend(service, full):
        async with dial(socket_url(service, full.session_id), additional_headers=full.credential) as socket:
            assert (await closing(socket))[0] == 4429
        async with attend(service, me) as mine:
            assert (await mine.answer({"type": "ping"}))["type"] == "pong"


async def test_an_idempotency_key_is_ones_own(me: User, neighbour: User, http: httpx.AsyncClient) -> None:
    """The same key, session and body of another tenant is another task; another user's is refused, not replayed."""
    key = {"Idempotency-Key": unique("key")}
    mine = await me.accepted(headers=key)
    theirs = await neighbour.send(headers=key)
    assert theirs.status_code == 202
    assert theirs.headers.get("idempotency-replayed", "false") == "false"
    assert theirs.json()["task_id"] != mine["task_id"]
    eve = await User(http, me.tenant, "eve", me.session_id).send(headers=key)
    assert eve.status_code in (403, 422), eve.text
    assert mine["task_id"] not in eve.text


async def test_a_position_of_another_tenant(me: User, neighbour: User, service: OrchestratorServer) -> None:
    """A position is of one log: in another tenant's session of the same name it cannot be honoured."""
    position = (await neighbour.accepted())["position"]
    await me.accepted()
    async with attend(service, me, position) as socket:
        assert socket.ack["recovered"] is False


async def test_an_agent_reports_on_its_own_tenants_queue(
    me: User, neighbour: User, redis_client: Any, orchestrator: Command
) -> None:
    """A callback about a task on another tenant's queue is of an unknown task there, and moves the task nowhere."""
    agent = Agent(redis_client, me.tenant)
    accepted, task = await asked(me, agent)
    await neighbour.accepted()
    foreign = {**task, "callback_queue": neighbour.tenant.callbacks}
    await agent.complete(foreign, "forged")

    async def is_dead() -> bool:
        return len(await dead_letters(orchestrator, neighbour.tenant.id)) == 1

    await wait_until(is_dead, 10)
    assert await me.status(accepted["task_id"]) in ("accepted", "queued")
    assert await dead_letters(orchestrator, me.tenant.id) == []


async def test_a_callback_claims_no_other_session(
    me: User, neighbour: User, redis_client: Any, service: OrchestratorServer
) -> None:
    """Whatever an agent writes into its report, the task's own tenant and session hear it, and nobody else."""
    agent = Agent(redis_client, me.tenant)
    _, task = await asked(me, agent)
    claims = {
        "tenant_id": neighbour.tenant.id,
        "session_id": neighbour.session_id,
        "user_id": "eve",
        "callback_queue": neighbour.tenant.callbacks,
    }
    async with attend(service, me) as mine, attend(service, neighbour) as theirs:
        await agent.complete(task, "for me", **claims)
        assert (await mine.ending(task["task_id"]))["data"]["response"] == "for me"
        assert (await theirs.answer({"type": "ping"}))["type"] == "pong"
        assert theirs.events == []


async def test_figures_of_the_deployment_name_no_tenant(me: User, http: httpx.AsyncClient) -> None:
    """`/metrics` has no label that tells tenants, users or sessions apart."""
    await me.accepted()
    text = (await User(http, me.tenant, scope="metrics").ask("GET", "/metrics")).text
    for name in (me.tenant.id, me.session_id, me.tenant.agent, '"ada"'):
        assert name not in text


async def test_errors_tell_nothing_of_others(me: User, neighbour: User) -> None:
    """No refusal names what it knows of somebody else."""
    await neighbour.accepted()
    for headers in ({"X-Agent-ID": neighbour.tenant.agent}, {"X-Tenant-ID": neighbour.tenant.id}):
        text = json.dumps((await me.send(headers=headers)).json())
        assert neighbour.tenant.id not in text
        assert "suspended" not in text or "unknown" in text
