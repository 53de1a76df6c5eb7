"""/asyncapi.json is true: frames, tasks and callbacks of a running server are as it describes them (contract §3).

What is compared may have nothing that the description does not name.
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from tests.api.documents import Document, faults, resolved, strict
from tests.contract.client import Agent, Caller, Tenant
from tests.contract.conftest import Connect
from tests.contract.event_stream import followed
from tests.contract.exchange import callback, push
from tests.contract.socket_client import Frame, Socket, dial, socket_url, watch
from tests.security.user import User
from tests.servers import OrchestratorServer, wait_until


@pytest.fixture
async def asyncapi(http: httpx.AsyncClient) -> Document:
    """The description of the socket and the queues, as the server gives it."""
    return (await http.get("/asyncapi.json")).json()


def message_of(document: Document, channel: str, value: Mapping[str, Any]) -> str:
    """The one message of a channel that a value is."""
    closed = strict(document)
    messages = closed["channels"][channel]["messages"]
    found = {name: faults(closed, resolved(closed, ref)["payload"], value) for name, ref in messages.items()}
    fitting = [name for name, wrong in found.items() if not wrong]
    assert len(fitting) == 1, f"{value} is {fitting or 'no message'} of {channel}: {found}"
    return fitting[0]


async def test_every_frame_of_a_round_trip(
    asyncapi: Document, service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Both directions of the socket and both queues: everything is exactly one message of its channel."""
    async with watch(service, caller) as socket:
        task = await asked_by_frame(asyncapi, socket, caller, agent)
        callbacks = [
            callback(task, "running", attempt=1, lease=30, took=["task-other"]),
            callback(task, "progress", result={"step": "looking"}),
            callback(task, "streaming", seq=0, result={"delta": "Hi"}),
            callback(task, "input_required", result={"prompt": "Hi?", "schema": {}, "expires_in": 9}),
            callback(task, "completed", result={"response": "Hi", "more": 1}, execution_time=1.5),
        ]
        told = [message_of(asyncapi, "callbacks", one) for one in callbacks]
        await push(agent, task, *(json.dumps(one) for one in callbacks))
        await socket.ending(task["task_id"])

        failing = await asked_by_frame(asyncapi, socket, caller, agent)
        failure = callback(failing, "failed", result={"error": "No"})
        told.append(message_of(asyncapi, "callbacks", failure))
        await push(agent, failing, json.dumps(failure))
        last = await socket.ending(failing["task_id"])

        for frame in (
            {"type": "ping"},
            {"type": "ack", "position": last["position"]},
            {"type": "subscribe", "events": ["agent_*"]},
            {"type": "unsubscribe", "events": ["agent_chunk"]},
            {"type": "cancel", "task_id": "task-nobodys", "request_id": "r-2"},
            {"type": "answer", "task_id": "task-nobodys", "answer": [1], "request_id": "r-3"},
            {"type": "auth", "token": "x"},
        ):
            message_of(asyncapi, "session", frame)
            await socket.send(frame)
        while socket.frames[-1]["data"].get("code") != "not_supported":
            await socket.frame()
    kinds = [message_of(asyncapi, "session", frame) for frame in socket.frames]
    described = {name["$ref"].rpartition("/")[2] for name in asyncapi["operations"]["sendFrame"]["messages"]}
    assert described - set(kinds) == {"Authenticated"}, "only tokens bring that one"
    assert set(told) == asyncapi["channels"]["callbacks"]["messages"].keys()


async def test_a_token_by_frame(
    asyncapi: Document, token_service: OrchestratorServer, connect: Connect, tenant: Tenant
) -> None:
    """A first frame that says who it is, and a newer token later; both are answered as described."""
    user = User(connect(token_service), tenant)
    auth = {"type": "auth", "token": user.token}
    assert message_of(asyncapi, "session", auth) == "Auth"
    async with dial(socket_url(token_service, user.session_id)) as connection:
        await connection.send(json.dumps(auth))
        socket = await Socket(connection, user.session_id, tenant.id).start(None)
        first = await socket.frame()
        assert message_of(asyncapi, "session", await socket.answer(auth)) == "Authenticated"
        refused = await socket.answer({"type": "auth", "token": "x"})
    assert [message_of(asyncapi, "session", frame) for frame in (first, refused)] == [
        "Authenticated",
        "Complaint",
    ]


async def asked_by_frame(document: Document, socket: Socket, caller: Caller, agent: Agent) -> dict[str, Any]:
    """A message sent by a frame, and the task that the agent gets of it; both are as described."""
    send = {"type": "send", "agent_id": caller.tenant.agent, "message": "Hello", "request_id": "r-1"}
    assert message_of(document, "session", send) == "Send"
    await socket.send(send)
    task = await agent.take()
    assert message_of(document, "execution", task) == "TaskMessage"
    return task


@pytest.mark.parametrize(
    "text", ["not json", "[]", '{"type":"dance"}', '{"type":"send"}', '{"type":"subscribe","topics":["a"]}']
)
async def test_every_complaint(
    asyncapi: Document, service: OrchestratorServer, caller: Caller, text: str
) -> None:
    """Whatever a client gets wrong, the answer is a `Complaint` as described."""
    async with watch(service, caller) as socket:
        await socket.connection.send(text)
        assert message_of(asyncapi, "session", await socket.frame()) == "Complaint"


async def test_a_merged_backlog(
    asyncapi: Document, service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Frames that stand for several events are described too, on the socket and in a stream."""
    begin = (await caller.accepted())["position"]
    task = await agent.take()
    pieces = [callback(task, "streaming", seq=seq, result={"delta": "a"}) for seq in range(5)]
    await push(agent, task, *(json.dumps(piece) for piece in pieces))

    async def merged() -> list[Frame]:
        async with watch(service, caller, begin) as socket:
            return [frame for frame in await socket.caught_up() if frame.get("covers", 1) > 1]

    await wait_until(merged)
    for frame in await merged():
        assert message_of(asyncapi, "session", frame) == "AgentChunk"
    async with followed(caller, position=begin) as stream:
        found = await stream.until("agent_chunk")
    for event, frame in found:
        message_of(asyncapi, "session", frame)
        assert event["id"] == frame["position"]
