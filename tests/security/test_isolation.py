"""Another tenant's and another user's things are as if they were not there (contract §3, §6).

Driven by `probes.py`, which test_routes.py holds against the table of routes.
"""

import json
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Agent, Tenant, problem
from tests.contract.conftest import NewContext, NewTenant
from tests.contract.event_stream import events
from tests.contract.exchange import asked, say
from tests.contract.socket_client import closing, dial, socket_url
from tests.contract.test_http_tasks import reaches
from tests.security.marks import BOTH
from tests.security.probes import PROBES, Probe, Things, by_answer, by_cancel, by_stats, by_task, nobodys
from tests.security.user import User, attend
from tests.servers import OrchestratorServer

pytestmark = BOTH

VOLATILE: Final = {"date", "ratelimit"}
probes = pytest.mark.parametrize("probe", PROBES.values(), ids=[path for _, path in PROBES])


@pytest.fixture
async def theirs(
    http: httpx.AsyncClient, new_tenant: NewTenant, new_context: NewContext, redis_client: Any
) -> Things:
    """What another tenant has: a session in which an agent is at work."""
    tenant = await new_tenant()
    user, agent = User(http, tenant, "bob"), Agent(redis_client, tenant)
    accepted, task = await asked(user, agent)
    await agent.report(task, "running")
    await say(agent, task, ["secret of another tenant"])
    collection = await new_context(tenant, "collection")
    return Things(tenant.id, tenant.agent, collection, user.session_id, task["task_id"], accepted["position"])


def told(answer: httpx.Response, them: Things) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Everything that an answer says, but for the names asked about and what changes by itself."""
    headers = [
        (name.lower(), them.hidden(value))
        for name, value in answer.headers.raw
        if name.lower().decode() not in VOLATILE
    ]
    return answer.status_code, headers, them.hidden(answer.content)


@probes
async def test_another_tenants_things(user: User, theirs: Things, probe: Probe) -> None:
    """Byte for byte the answers about things that do not exist; never a success, never their names' content."""
    nothing = nobodys()
    about_theirs = [told(answer, theirs) for answer in await probe(user, theirs)]
    about_nothing = [told(answer, nothing) for answer in await probe(user, nothing)]
    assert about_theirs == about_nothing
    assert all(status in (403, 404) for status, _, _ in about_theirs) or probe is by_stats
    assert b"secret of another tenant" not in b"".join(content for _, _, content in about_theirs)


@pytest.mark.parametrize("probe", [by_task, by_cancel, by_answer], ids=["task", "cancel", "answer"])
async def test_another_users_tasks(http: httpx.AsyncClient, user: User, probe: Probe) -> None:
    """A user of the same tenant learns as little: a task is not there."""
    task = (await user.accepted())["task_id"]
    eve = User(http, user.tenant, "eve")
    nothing = nobodys()
    theirs = nothing._replace(task=task)
    found = [told(answer, theirs) for answer in await probe(eve, theirs)]
    assert found == [told(answer, nothing) for answer in await probe(eve, nothing)]
    assert await user.status(task) in ("accepted", "queued")


async def test_another_users_question(
    http: httpx.AsyncClient, user: User, agent: Agent, new_tenant: NewTenant
) -> None:
    """What an agent asks is for its own user: others learn as little as of nothing, and change nothing."""
    task = (await user.accepted())["task_id"]
    await agent.report(await agent.take(), "input_required", result={"prompt": "Which secret?"})
    await reaches(user, task, "input_required")
    nothing = nobodys()
    theirs = nothing._replace(task=task)
    for stranger in (User(http, user.tenant, "eve"), User(http, await new_tenant(), "ada")):
        found = [told(answer, theirs) for answer in await by_answer(stranger, theirs)]
        assert found == [told(answer, nothing) for answer in await by_answer(stranger, nothing)]
    assert await user.status(task) == "input_required"
    (named, *_) = await by_answer(user, theirs)
    assert named.json()["status"] == "running"


async def test_another_users_session(
    http: httpx.AsyncClient, user: User, service: OrchestratorServer
) -> None:
    """403 `session_denied` and 4403 for whoever of the same tenant comes second, and nothing of it."""
    accepted = await user.accepted("secret of another user")
    eve = User(http, user.tenant, "eve", user.session_id)
    path = f"/api/chat/sessions/{user.session_id}"
    for answer in (await eve.ask("GET", path), await eve.ask("GET", f"{path}/events"), await eve.send()):
        problem(answer, 403, "session_denied")
        assert accepted["task_id"] not in answer.text
    for position in (None, "earliest", accepted["position"]):
        async with dial(
            socket_url(service, user.session_id, position=position), additional_headers=eve.credential
        ) as socket:
            assert (await closing(socket))[0] == 4403


async def test_what_another_user_sent(user: User) -> None:
    """A refused send tells nobody how busy a foreign session is, nor which keys were used there."""
    assert (await user.send(headers={"Idempotency-Key": "k"})).status_code == 202
    eve = User(user.http, user.tenant, "eve", user.session_id)
    for answer in (
        await eve.send("Another message", headers={"Idempotency-Key": "k"}),
        await eve.send(headers={"Idempotency-Key": "new"}),
    ):
        problem(answer, 403, "session_denied")
        assert '"session"' not in answer.headers["RateLimit"]
    malformed = await eve.send(123)
    problem(malformed, 400, "invalid_body")
    assert '"session"' not in malformed.headers["RateLimit"]


async def test_a_session_that_is_only_followed(
    http: httpx.AsyncClient, user: User, service: OrchestratorServer
) -> None:
    """Who opens a session first owns it, though nothing was said there yet."""
    async with attend(service, user):
        problem(await User(http, user.tenant, "eve", user.session_id).send(), 403, "session_denied")
    problem(await User(http, user.tenant, "eve", user.session_id).send(), 403, "session_denied")


async def test_the_same_session_of_another_tenant(
    user: User, theirs: Things, service: OrchestratorServer, http: httpx.AsyncClient
) -> None:
    """Its id names one's own session: as empty as any new one, and it hears nothing of theirs."""
    mine = User(http, user.tenant, "ada", theirs.session)
    for position in ("earliest", theirs.position):
        async with attend(service, mine, position) as socket:
            assert socket.ack["recovered"] is (position == "earliest")
            assert (await socket.answer({"type": "ping"}))["type"] == "pong"
            assert socket.events == []
    async with events(http, theirs.session, {**mine.credential, "Last-Event-ID": theirs.position}) as stream:
        assert (await stream.frame())["data"]["recovered"] is False
        accepted = await mine.accepted()
        assert (await stream.frame())["task_id"] == accepted["task_id"]
    view = (await mine.ask("GET", f"/api/chat/sessions/{theirs.session}")).json()
    assert [task["task_id"] for task in view["tasks"]] == [accepted["task_id"]]


FRAMES: Final[list[Callable[[Things], dict[str, Any]]]] = [
    lambda them: {"type": "send", "agent_id": them.agent, "message": "Hello"},
    lambda them: {"type": "send", "agent_id": them.agent, "message": "Hello", "context_type": "agent"},
    lambda them: {"type": "cancel", "task_id": them.task},
    lambda them: {"type": "answer", "task_id": them.task, "question": "1", "answer": "yes"},
    lambda them: {"type": "ack", "position": them.position},
    lambda them: {"type": "subscribe", "events": ["agent_*"], "topics": [them.session]},
    lambda them: {"type": "subscribe", "events": [f"{them.tenant}:*"]},
    lambda them: {"type": "subscribe", "events": [them.session]},
]


@pytest.mark.parametrize("made", FRAMES)
async def test_frames_about_another_tenants_things(
    user: User, theirs: Things, service: OrchestratorServer, made: Callable[[Things], dict[str, Any]]
) -> None:
    """Every frame that can name something: answered the same for theirs and for nobody's."""
    nothing = nobodys()
    heard: list[list[bytes]] = []
    for them in (theirs, nothing):
        async with attend(service, user) as socket:
            await socket.send(made(them))
            await socket.answer({"type": "ping"})
            said = [
                {**frame, "timestamp": "", "data": {**frame["data"], "connection_id": ""}}
                for frame in socket.frames
            ]
            heard.append([them.hidden(json.dumps(frame).encode()) for frame in said])
    assert heard[0] == heard[1]


async def test_nothing_of_theirs_was_touched(
    user: User, theirs: Things, http: httpx.AsyncClient, service: OrchestratorServer
) -> None:
    """After every probe their task runs on, and their session has the events that it had."""
    bob = User(http, Tenant(theirs.tenant, "professional", theirs.agent), "bob", theirs.session)
    before = (await bob.ask("GET", "/api/chat/stats")).json()
    for probe in PROBES.values():
        await probe(user, theirs)
    async with attend(service, user) as socket:
        for made in FRAMES:
            await socket.send(made(theirs))
        await socket.answer({"type": "ping"})
    assert await bob.status(theirs.task) == "running"
    assert (await bob.ask("GET", "/api/chat/stats")).json() == before
    async with attend(service, bob, theirs.position) as socket:
        assert {event["task_id"] for event in await socket.caught_up()} == {theirs.task}
