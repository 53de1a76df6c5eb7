"""What a client may send on its WebSocket, and what it gets for it (contract §4)."""

import json
from typing import Any

import pytest
from tests.contract.client import Agent, Caller, unique
from tests.contract.exchange import asked
from tests.contract.socket_client import Frame, Socket, watch
from tests.servers import OrchestratorServer, wait_until


def complaint(frame: Frame) -> dict[str, Any]:
    """The data of an `error` about what the client sent, which is no event."""
    assert frame["type"] == "error", frame
    assert not {"task_id", "position"} & frame.keys(), frame
    data = frame["data"]
    assert data.keys() <= {"code", "message", "request_id", "retry_after"}, frame
    assert isinstance(data["code"], str)
    assert data["code"]
    assert isinstance(data["message"], str)
    assert data["message"]
    return data


async def alive(socket: Socket) -> None:
    """The socket still answers."""
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"


async def test_ping_is_answered_with_the_position(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """`pong` is no event; its data tells the position reached."""
    async with watch(service, caller) as socket:
        first = await socket.answer({"type": "ping"})
        assert first["type"] == "pong"
        assert first["data"]["position"] == socket.ack["position"]
        _, task = await asked(caller, agent)
        await agent.complete(task)
        await socket.ending(task["task_id"])
        again = await socket.answer({"type": "ping"})
    assert again["data"]["position"] == socket.last


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "",
        "{",
        "[]",
        '["ping"]',
        '"ping"',
        "1",
        "null",
        "{}",
        '{"type":null}',
        '{"type":1}',
        '{"type":["ping"]}',
        '{"type":"dance"}',
        '{"type":"connection_ack"}',
        '{"type":"cancel"}',
        '{"type":"cancel","task_id":7}',
        '{"type":"ack"}',
        '{"type":"ack","position":"nowhere"}',
        '{"type":"ack","position":5}',
        '{"type":"subscribe","events":"agent_*"}',
        '{"type":"subscribe","events":[1]}',
        '{"type":"auth"}',
        '{"type":"send"}',
        '{"type":"ping","type":' + "[" * 3000 + "]" * 3000 + "}",
    ],
)
async def test_a_frame_that_is_not_understood(service: OrchestratorServer, caller: Caller, text: str) -> None:
    """Whatever is wrong with a text frame: an `error`, and the socket stays open."""
    async with watch(service, caller) as socket:
        await socket.connection.send(text)
        complaint(await socket.frame())
        await alive(socket)


async def test_auth_in_header_mode(service: OrchestratorServer, caller: Caller) -> None:
    """Where identity comes from headers, `auth` is an error, not a close."""
    async with watch(service, caller) as socket:
        complaint(await socket.answer({"type": "auth", "token": "x.y.z"}))
        await alive(socket)


async def test_send_is_a_post(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """`send` is answered by `accepted` with the body of the 202, and an agent gets the same task."""
    async with watch(service, caller) as socket:
        answer = await socket.answer(
            {
                "type": "send",
                "agent_id": caller.tenant.agent,
                "message": "Hello",
                "user_info": {"name": "Ada"},
                "metadata": {"a": 1},
                "stream": False,
                "max_iterations": 3,
                "user_id": "ada",
                "conversation_id": "conv-1",
                "request_id": "r-1",
            }
        )
        assert answer["type"] == "accepted", answer
        task = await agent.take()
        await agent.complete(task)
        await socket.ending(task["task_id"])

    assert answer["data"] == {
        "request_id": "r-1",
        "task_id": task["task_id"],
        "status": "queued",
        "queue": caller.tenant.queue(),
        "session_id": caller.session_id,
        "context_id": caller.tenant.agent,
        "position": answer["data"]["position"],
        "created_at": task["created_at"],
    }
    assert answer["data"]["position"] == socket.ack["position"]
    assert (task["message"], task["user_info"], task["metadata"]) == ("Hello", {"name": "Ada"}, {"a": 1})
    assert (task["stream"], task["max_iterations"]) == (False, 3)
    assert (task["user_id"], task["conversation_id"]) == ("ada", "conv-1")
    assert task["session_id"] == caller.session_id
    assert [frame["type"] for frame in socket.events] == ["task_update", "agent_response"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"message": ""}, "invalid_body"),
        ({"message": "x" * 32_001}, "invalid_body"),
        ({"message": 5}, "invalid_body"),
        ({"message": None}, "invalid_body"),
        ({"mesage": "typo"}, "invalid_body"),
        ({"stream": "yes"}, "invalid_body"),
        ({"max_iterations": 0}, "invalid_body"),
        ({"turn_policy": "never"}, "invalid_body"),
        ({"context_type": "robot"}, "invalid_context_type"),
        ({"agent_id": "a b"}, "invalid_id"),
        ({"agent_id": "agent-nobody"}, "access_denied"),
        ({"conversation_id": "{x}"}, "invalid_id"),
    ],
)
async def test_a_send_that_is_refused(
    service: OrchestratorServer, caller: Caller, agent: Agent, change: dict[str, Any], code: str
) -> None:
    """The `error` has the code that POST would give, and the `request_id`; nothing is queued."""
    send = {"type": "send", "agent_id": caller.tenant.agent, "message": "Hello", "request_id": "r-2"}
    async with watch(service, caller) as socket:
        data = complaint(await socket.answer(send | change))
        assert (data["code"], data["request_id"]) == (code, "r-2")
        await alive(socket)
    assert await agent.redis.llen(agent.queue) == 0


async def test_a_send_with_an_idempotency_key(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """The same key and message give the first answer again, another message `idempotency_conflict`."""
    send = {"type": "send", "agent_id": caller.tenant.agent, "message": "Hi", "idempotency_key": unique("k")}
    async with watch(service, caller) as socket:
        first = await socket.answer(send | {"request_id": "r-1"})
        second = await socket.answer(send | {"request_id": "r-2"})
        conflict = complaint(await socket.answer(send | {"message": "Ho", "request_id": "r-3"}))
    assert second["data"]["task_id"] == first["data"]["task_id"]
    assert second["data"]["request_id"] == "r-2"
    assert (conflict["code"], conflict["request_id"]) == ("idempotency_conflict", "r-3")
    assert await agent.redis.llen(agent.queue) == 1


async def test_a_send_above_the_limit(service: OrchestratorServer, new_tenant: Any, http: Any) -> None:
    """A limit of §7 is an `error` with its code and `retry_after`, not a close."""
    caller = Caller(http, await new_tenant(max_outstanding=1))
    send = {"type": "send", "agent_id": caller.tenant.agent, "message": "Hi", "request_id": "r-1"}
    async with watch(service, caller) as socket:
        assert (await socket.answer(send))["type"] == "accepted"
        data = complaint(await socket.answer(send | {"request_id": "r-2"}))
        assert (data["code"], data["request_id"]) == ("queue_full", "r-2")
        assert data["retry_after"] > 0
        await alive(socket)


async def test_cancel(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """`cancel` ends the task, for every viewer."""
    async with watch(service, caller) as socket, watch(service, caller) as viewer:
        accepted = await caller.accepted()
        await socket.send({"type": "cancel", "task_id": accepted["task_id"], "request_id": "r-1"})
        for one in (socket, viewer):
            frame = await one.ending(accepted["task_id"])
            assert frame["type"] == "error"
            assert (frame["data"]["status"], frame["data"]["code"]) == ("cancelled", "cancelled")
    assert await caller.status(accepted["task_id"]) == "cancelled"


@pytest.mark.parametrize("whose", ["nobody's", "another tenant's"])
async def test_cancel_of_what_is_not_ours(
    service: OrchestratorServer, caller: Caller, new_tenant: Any, whose: str
) -> None:
    """A task that is not the tenant's is `not_found`, whether it exists or not."""
    other = Caller(caller.http, await new_tenant())
    task_id = (await other.accepted())["task_id"] if whose == "another tenant's" else f"task-{'0' * 32}"
    async with watch(service, caller) as socket:
        answer = await socket.answer({"type": "cancel", "task_id": task_id, "request_id": "r-1"})
        data = complaint(answer)
        assert (data["code"], data["request_id"]) == ("not_found", "r-1")
        await alive(socket)
    if whose == "another tenant's":
        assert await other.status(task_id) == "queued"


async def test_ack_is_noted_in_the_ledger(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """`delivered_at` when the ending reached a socket, `acknowledged_at` when the client says it has it."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        await agent.complete(task)
        ending = await socket.ending(task["task_id"])

        async def noted(moment: str) -> bool:
            return bool((await caller.ledger(task["task_id"]))["timeline"].get(moment))

        await wait_until(lambda: noted("delivered_at"))
        assert not await noted("acknowledged_at")
        await socket.send({"type": "ack", "position": ending["position"]})
        await wait_until(lambda: noted("acknowledged_at"))


async def test_an_ack_counts_for_all_before_it(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """An `ack` settles every ending up to its position, and none after it."""
    async with watch(service, caller) as socket:
        tasks: list[str] = []
        endings: list[Frame] = []
        for _ in range(3):
            _, task = await asked(caller, agent)
            await agent.complete(task)
            endings.append(await socket.ending(task["task_id"]))
            tasks.append(task["task_id"])
        await socket.send({"type": "ack", "position": endings[1]["position"]})

        async def acknowledged() -> list[bool]:
            ledgers = [await caller.ledger(task) for task in tasks]
            return [bool(ledger["timeline"].get("acknowledged_at")) for ledger in ledgers]

        async def first_two() -> bool:
            return await acknowledged() == [True, True, False]

        await wait_until(first_two)


async def test_unusual_json_is_json(service: OrchestratorServer, caller: Caller) -> None:
    """White space and escapes where JSON allows them change nothing."""
    async with watch(service, caller) as socket:
        await socket.connection.send('  {"type" : "ping"}\n')
        assert (await socket.frame())["type"] == "pong"
        await socket.connection.send(json.dumps({"type": "ping"}).replace("ping", "p\\u0069ng"))
        assert (await socket.frame())["type"] == "pong"
