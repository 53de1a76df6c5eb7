"""What viewers see of a question, and answers by WebSocket (contract §4)."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.contract.client import Agent, Caller
from tests.contract.conftest import NewTenant
from tests.contract.questions import give, read, waiting
from tests.contract.socket_client import watch
from tests.contract.test_http_tasks import reaches
from tests.servers import OrchestratorServer


def frame(task: Mapping[str, Any], answer: Any, **members: Any) -> dict[str, Any]:
    """A client's answer."""
    return {"type": "answer", "task_id": task["task_id"], "answer": answer, **members}


async def test_everybody_learns_of_it(caller: Caller, agent: Agent, service: OrchestratorServer) -> None:
    """Each viewer sees the question, and that it was answered on whichever device; not the answer."""
    async with watch(service, caller) as socket, watch(service, caller) as other:
        task = await waiting(caller, agent)
        for viewer in (socket, other):
            update = await viewer.until("task_update", status="input_required")
            assert update["data"]["detail"]["prompt"] == "Shall I?"
        await give(caller, task, "yes")
        for viewer in (socket, other):
            update = await viewer.event()
            assert update["data"] == {
                "status": "running",
                "attempt": 1,
                "detail": {"question": "1", "answered": True},
            }


async def test_viewer_who_resumes(caller: Caller, agent: Agent, service: OrchestratorServer) -> None:
    """On replay the question is what it was, and its answer behind it."""
    async with watch(service, caller) as socket:
        task = await waiting(caller, agent)
        live = await socket.until("task_update", status="input_required")
        await give(caller, task, "yes")
        await socket.until("task_update", status="running")
    async with watch(service, caller, "earliest") as later:
        replayed = [
            frame for frame in await later.caught_up() if frame["data"].get("status") == "input_required"
        ]
    assert replayed == [live]


async def test_answer_by_socket(caller: Caller, agent: Agent, service: OrchestratorServer) -> None:
    """The task's update is the answer to the frame, as for everybody else."""
    async with watch(service, caller) as socket:
        task = await waiting(caller, agent)
        await socket.send(frame(task, "yes", question="1", request_id="r-1"))
        update = await socket.until("task_update", status="running", task=task["task_id"])
        while update["data"].get("detail") is None:
            update = await socket.until("task_update", status="running", task=task["task_id"])
        assert update["data"]["detail"] == {"question": "1", "answered": True}
        assert (await read(agent, task))["answer"] == "yes"
        # The same again is no complaint: what comes next is the answer to the ping.
        await socket.send(frame(task, "yes", request_id="r-2"))
        assert (await socket.answer({"type": "ping"}))["type"] == "pong"


@pytest.mark.parametrize(
    ("members", "code", "said"),
    [
        ({"answer": "perhaps"}, "invalid_body", '"enum"'),
        ({"answer": "yes", "question": "2"}, "not_waiting", "does not wait"),
        ({"answer": "yes", "question": 1}, "invalid_body", "question"),
        ({"answer": "yes", "to": "1"}, "invalid_body", "unknown members: to"),
        ({}, "invalid_body", "answer"),
        ({"answer": "yes", "task_id": "task-gone"}, "not_found", "no such task"),
        ({"answer": "yes", "task_id": None}, "not_found", "no such task"),
        ({"answer": "yes", "task_id": 7}, "invalid_body", "task_id"),
    ],
    ids=["schema", "question", "question-type", "unknown", "missing", "gone", "none", "task-type"],
)
async def test_refused(
    caller: Caller, agent: Agent, service: OrchestratorServer, members: dict[str, Any], code: str, said: str
) -> None:
    """An `error` with the request's id says why; the socket and the question stay open."""
    async with watch(service, caller) as socket:
        task = await waiting(caller, agent)
        given = {"type": "answer", "task_id": task["task_id"], "request_id": "r-7"} | members
        told = await socket.answer(given)
        assert (told["type"], told["data"]["code"], told["data"]["request_id"]) == ("error", code, "r-7")
        assert said in told["data"]["message"]
        assert await caller.status(task["task_id"]) == "input_required"


async def test_stranger_on_a_socket(
    caller: Caller, agent: Agent, service: OrchestratorServer, new_tenant: NewTenant
) -> None:
    """For another tenant, or another user of the same one, the task does not exist."""
    accepted = await caller.accepted(headers={"X-User-ID": "ada"})
    task = await agent.take()
    await agent.report(task, "input_required", result={"prompt": "?"})
    await reaches(caller, accepted["task_id"], "input_required")
    other = Caller(caller.http, await new_tenant())
    eve = Caller(caller.http, caller.tenant)
    async with watch(service, other) as socket, watch(service, eve, user_id="eve") as second:
        for stranger in (socket, second):
            told = await stranger.answer(frame(task, "yes"))
            assert told["data"]["code"] == "not_found"
    async with watch(service, caller, user_id="ada") as owner:
        await owner.send(frame(task, "yes"))
        await owner.until("task_update", status="running")
