"""Server-Sent Events: the session's log for whoever has no WebSocket (contract §3)."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.contract.client import Agent, Caller, problem, unique
from tests.contract.conftest import Connect, NewTenant, StartService
from tests.contract.event_stream import events, followed
from tests.servers import wait_until


async def answered(caller: Caller, agent: Agent) -> None:
    """One message, answered in two pieces."""
    await caller.accepted()
    task = await agent.take()
    for seq, delta in enumerate(("Good ", "day")):
        await agent.report(task, "streaming", seq=seq, result={"delta": delta})
    await agent.complete(task, "Good day")


async def test_the_headers_of_a_stream(caller: Caller) -> None:
    """An event stream that no proxy may keep, change or buffer, and a `retry:`."""
    async with followed(caller) as stream:
        headers = stream.response.headers
        assert headers["content-type"].partition(";")[0] == "text/event-stream"
        assert headers["cache-control"] == "no-cache, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert len(stream.retries) == 1


async def test_the_acknowledgement_comes_first_and_has_no_id(caller: Caller) -> None:
    """`connection_ack` is no event of the log: an `id` would become the browser's position."""
    sent = await caller.accepted()
    identity = {"X-Tenant-ID": caller.tenant.id, "X-Tenant-Tier": caller.tenant.tier}
    async with events(caller.http, caller.session_id, identity) as stream:
        event = await stream.event()
    assert set(event) == {"data"}
    frame = json.loads(event["data"])
    assert (frame["type"], frame["session_id"]) == ("connection_ack", caller.session_id)
    assert frame["tenant_id"] == caller.tenant.id
    data = frame["data"]
    names = {"connection_id", "tenant_tier", "position", "recovered", "ping_interval"}
    assert names <= set(data)
    assert (data["tenant_tier"], data["recovered"], data["ping_interval"]) == ("professional", True, 30)
    assert data["position"] != sent["position"]


async def test_each_event_is_a_frame_with_its_position(caller: Caller, agent: Agent) -> None:
    """`data:` is the frame on one line, `id:` its position; no `event:` field anywhere."""
    async with followed(caller) as stream:
        await answered(caller, agent)
        found = await stream.until("agent_response")
    text = "".join(frame["data"]["delta"] for _, frame in found if frame["type"] == "agent_chunk")
    assert text == "Good day"
    for event, frame in found:
        assert set(event) == {"id", "data"}
        assert event["id"] == frame["position"]
        assert {"type", "data", "timestamp", "session_id", "tenant_id", "task_id"} <= set(frame)
    assert found[-1][1]["data"]["response"] == "Good day"


async def test_post_first_and_connect_later(caller: Caller, agent: Agent) -> None:
    """`?position=` of the 202 misses nothing of the task."""
    sent = await caller.accepted()
    await agent.complete(await agent.take())
    async with followed(caller, position=sent["position"]) as stream:
        found = [frame for _, frame in await stream.until("agent_response")]
    assert {frame["task_id"] for frame in found} == {sent["task_id"]}


async def test_everything_that_is_kept(caller: Caller, agent: Agent) -> None:
    """`?position=earliest` begins with the first event of the session."""
    await answered(caller, agent)
    async with followed(caller, position="earliest") as stream:
        first = await stream.event()
    assert first["id"].partition(":")[2].startswith("1-") or json.loads(first["data"])["covers"]


async def test_last_event_id_wins(caller: Caller, agent: Agent) -> None:
    """`EventSource` repeats its URL with the old `?position=`; the header is the newer one."""
    sent = await caller.accepted("first")
    await agent.complete(await agent.take(), "one")
    async with followed(caller, position=sent["position"]) as stream:
        last = (await stream.until("agent_response"))[-1][0]["id"]
    await caller.accepted("second")
    await agent.complete(await agent.take(), "two")
    async with followed(caller, {"Last-Event-ID": last}, position=sent["position"]) as stream:
        found = await stream.until("agent_response")
    assert found[-1][1]["data"]["response"] == "two"


@pytest.mark.parametrize("position", ["nonsense", "0123456789abcdef:1-1"])
async def test_a_position_that_cannot_be_honoured(caller: Caller, position: str) -> None:
    """Unreadable or of another epoch: `recovered:false`, no backlog, live from the position in the ack."""
    await caller.accepted()
    identity = {"X-Tenant-ID": caller.tenant.id, "X-Tenant-Tier": caller.tenant.tier}
    async with events(caller.http, caller.session_id, identity, {"position": position}) as stream:
        assert (await stream.frame())["data"]["recovered"] is False
        later = await caller.accepted()
        assert (await stream.frame())["task_id"] == later["task_id"]


async def test_a_browser_names_itself_in_the_query(caller: Caller) -> None:
    """`EventSource` sets no headers: the WebSocket's parameters do as well."""
    query = {"tenant_id": caller.tenant.id, "tier": "professional"}
    async with events(caller.http, caller.session_id, params=query) as stream:
        assert (await stream.frame())["type"] == "connection_ack"
        sent = await caller.accepted()
        assert (await stream.frame())["task_id"] == sent["task_id"]


async def test_other_sessions_stay_apart(caller: Caller, http: httpx.AsyncClient) -> None:
    """The stream has the events of its own session only."""
    async with followed(caller) as stream:
        await Caller(http, caller.tenant).accepted("elsewhere")
        sent = await caller.accepted("here")
        assert (await stream.frame())["task_id"] == sent["task_id"]


async def test_a_stream_without_a_tenant_is_refused(caller: Caller) -> None:
    """Neither headers nor parameters: 400 that names them."""
    answer = await caller.http.get(f"/api/chat/sessions/{caller.session_id}/events")
    missing = problem(answer, 400, "missing_headers")["missing"]
    assert {"X-Tenant-ID", "tenant_id"} & set(missing)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"X-Tenant-ID": "nobody"}, "access_denied"), ({"X-Tenant-Tier": "free"}, "tier_mismatch")],
    ids=["tenant", "tier"],
)
async def test_tenant_and_tier_are_checked(caller: Caller, change: dict[str, str], code: str) -> None:
    """A tenant that does not exist, or claims another tier, gets no stream."""
    path = f"/api/chat/sessions/{caller.session_id}/events"
    answer = await caller.http.get(path, headers={**caller.headers, **change})
    problem(answer, 403, code)


async def test_a_silent_stream_is_kept_alive(
    caller: Caller, service_with: StartService, connect: Connect
) -> None:
    """A comment every ping interval, so that no proxy takes the stream for dead."""
    server = service_with(websocket_ping_interval="0.3")
    mine = Caller(connect(server), caller.tenant)
    async with followed(mine) as stream:
        for _ in range(3):
            await stream.comment(within=2)


async def test_a_stream_counts_as_a_connection(http: httpx.AsyncClient, new_tenant: NewTenant) -> None:
    """It is in `/ws/stats`, and the tenant's limit holds: one more gets 429 with `Retry-After`."""
    caller = Caller(http, await new_tenant(max_connections=1))

    async def total() -> int:
        answer = await http.get("/ws/stats", params={"tenant_id": caller.tenant.id})
        return answer.json()["total"]

    async def counted(number: int) -> bool:
        return await total() == number

    async with followed(caller):
        await wait_until(lambda: counted(1))
        answer = await caller.get(f"/api/chat/sessions/{unique('sess')}/events")
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
    await wait_until(lambda: counted(0))


async def test_a_slow_agent_is_followed_as_it_speaks(caller: Caller, agent: Agent) -> None:
    """Each piece arrives before the next one is said: nothing is held back until the end."""
    async with followed(caller) as stream:
        await caller.accepted()
        task = await agent.take()
        for seq in range(3):
            await agent.report(task, "streaming", seq=seq, result={"delta": str(seq)})
            chunk: dict[str, Any] = {}
            async with asyncio.timeout(5):
                while chunk.get("type") != "agent_chunk":
                    chunk = await stream.frame()
            assert chunk["data"]["delta"] == str(seq)
