"""Each example in Python, run by the command as its README says."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.examples.conftest import EXAMPLES, Start
from tests.worker.adapters.model_server import ModelServer
from tests.worker.service import CALLBACKS, Service

COMMAND = (sys.executable, "-m", "orchestrator", "worker")


async def callbacks_of(service: Service) -> list[dict[str, Any]]:
    """Up to the ending; the first one takes as long as Python takes to start."""
    first = await service.callback(60)
    return [first, *await service.until_end()]


def details(callbacks: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What was shown beside the text."""
    return [tuple(c["result"].values()) for c in callbacks if c["status"] == "progress"]


async def answer(service: Service, asked: dict[str, Any], given: Any) -> None:
    """As somebody answers in the service."""
    deadline = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    key = f"{{{CALLBACKS}}}:answers:{asked['task_id']}"
    said = json.dumps({"answer": given, "deadline": deadline})
    await service.redis.hset(key, asked["result"]["question"], said)
    await service.redis.expire(key, 60)


async def next_of(service: Service, status: str) -> dict[str, Any]:
    """The next callback with this status."""
    callback = await service.callback(60)
    while callback["status"] != status:
        callback = await service.callback()
    return callback


async def test_echo(start: Start, service: Service) -> None:
    """It streams what it was told."""
    start(*COMMAND, "echo:worker")
    await service.send("two words", context="agent-echo")
    callbacks = await callbacks_of(service)

    assert [c["result"]["delta"] for c in callbacks if c["status"] == "streaming"] == ["two ", "words "]
    assert callbacks[-1]["result"]["response"] == "two words "


async def test_tools(start: Start, service: Service) -> None:
    """Tools and progress are told beside the text, and what it does not know fails in its words."""
    start(*COMMAND, "tools:worker")
    await service.send("apples pears", context="agent-stock")
    callbacks = await callbacks_of(service)
    await service.send("kiwis", context="agent-stock")

    assert callbacks[-1]["result"]["response"] == "12 apples. No pears. "
    assert details(callbacks)[:3] == [
        ("tool_call", "look_up", {"fruit": "apples"}),
        ("tool_result", "look_up", 12),
        ("progress", 50),
    ]
    assert (await service.ending())["result"]["error"]["code"] == "unknown_fruit"


async def test_resources(start: Start, service: Service) -> None:
    """What one task has left, the next one finds; other tenants' is their own."""
    start(*COMMAND, "resources:worker")
    answers: list[str] = []
    for tenant in ("tenant-456", "tenant-456", "other"):
        await service.send("remember this", context="agent-notes", tenant_id=tenant)
        answers.append((await callbacks_of(service))[-1]["result"]["response"])

    assert answers == ["Noted. That makes 1.", "Noted. That makes 2.", "Noted. That makes 1."]


@pytest.mark.parametrize(
    ("given", "response"),
    [
        ({"approved": True}, "Paid back 9 euros."),
        ({"approved": False, "reason": "too late"}, "Not paid back: too late."),
    ],
)
async def test_approval(start: Start, service: Service, given: dict[str, Any], response: str) -> None:
    """It waits for a human, and does what that one says."""
    start(*COMMAND, "approval:worker")
    await service.send("9 euros", context="agent-refund")
    asked = await next_of(service, "input_required")
    await answer(service, asked, given)

    assert asked["result"]["prompt"] == "Pay back 9 euros?"
    assert asked["result"]["schema"]["required"] == ["approved"]
    assert (await service.ending())["result"]["response"] == response


async def test_steering(start: Start, service: Service) -> None:
    """Who is added while it tells appears in the story, and the message counts as answered."""
    start(*COMMAND, "steering:worker")
    task_id = await service.send("Ada", context="agent-story")
    await next_of(service, "streaming")
    added = {"task_id": "task-added", "message": "Grace", "created_at": datetime.now(UTC).isoformat()}
    inbox = f"{{{CALLBACKS}}}:inbox:{task_id}"
    await service.redis.rpush(inbox, json.dumps(added))
    await service.redis.expire(inbox, 60)
    callbacks = await service.until_end()

    assert callbacks[-1]["result"]["response"].startswith("1. Ada went on. ")
    assert callbacks[-1]["result"]["response"].endswith("10. Ada and Grace went on. ")
    assert ["task-added"] in [callback.get("took") for callback in callbacks]


async def test_with_langgraph(start: Start, service: Service) -> None:
    """The graph keeps the conversation, shows what it does and asks where it must."""
    start(*COMMAND, "with_langgraph:worker")
    await service.send("hello", context="agent-graph")
    first = await callbacks_of(service)
    await service.send("forget all that", context="agent-graph")
    await answer(service, await next_of(service, "input_required"), given=True)

    assert first[-1]["result"]["response"] == "You have said 1 things."
    assert ("custom", {"step": "counting"}) in details(first)
    assert (await service.ending())["result"]["response"] == "You have said 2 things.\n\nForgotten."


async def test_with_pydantic_ai(start: Start, service: Service) -> None:
    """The agent uses its tool and says what it gave."""
    start(*COMMAND, "with_pydantic_ai:worker")
    await service.send("When?", context="agent-helper")
    callbacks = await callbacks_of(service)

    assert "is open from 9 to 5." in callbacks[-1]["result"]["response"]
    assert [detail[0] for detail in details(callbacks)] == ["tool_call", "tool_result"]


async def test_with_openai(start: Start, service: Service) -> None:
    """The model that OPENAI_BASE_URL, OPENAI_MODEL and OPENAI_API_KEY name answers, with the tool."""
    async with ModelServer({"OpeningHours": {"city": "Rome"}}, ["From", " 9."]).running() as model:
        environment = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "tiny", "OPENAI_API_KEY": "none"}
        start(*COMMAND, "with_openai:worker", **environment)
        await service.send("When?", context="agent-model")
        callbacks = await callbacks_of(service)

    assert callbacks[-1]["result"]["response"] == "From 9."
    assert model.requests[1]["messages"][-1]["content"] == "The office in Rome is open from 9 to 5."


def test_the_page_knows_them_all() -> None:
    """README.md has a line for each example, with the agent that it serves."""
    page = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        agents = re.findall(r'worker\.agent\("(.*?)"\)', path.read_text())
        assert agents
        assert all(f"| [{path.name}]({path.name}) | `{agent}` |" in page for agent in agents)
