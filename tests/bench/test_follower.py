"""The load's WebSocket: it comes back as a good client does, and gives up where that is of no use."""

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from orchestrator.bench.follower import following
from orchestrator.bench.target import BenchError, Target, is_on_this_machine, is_web_address

Talk = Callable[[ServerConnection, dict[str, list[str]]], Awaitable[None]]


def served(talk: Talk) -> AbstractAsyncContextManager[Server]:
    """A server that speaks with each socket as told; `talk` gets the query of its address."""

    async def handle(socket: ServerConnection) -> None:
        assert socket.request
        await talk(socket, parse_qs(urlsplit(socket.request.path).query))

    return serve(handle, "127.0.0.1", 0)


def target(server: Server) -> Target:
    """The server, as a deployment."""
    port = next(iter(server.sockets)).getsockname()[1]
    return Target(url=f"http://127.0.0.1:{port}", tenant="acme", agent="agent-1", tier="free")


def frame(kind: str, position: str | None = None, /, **data: object) -> str:
    """A frame of the contract, of the task `task-1` where it has a position."""
    event = {"position": position, "task_id": "task-1"} if position else {}
    return json.dumps({"type": kind, "data": data, **event})


async def test_it_comes_back_with_its_position() -> None:
    """Closed with 1012 it waits as told, resumes after what it has seen, and misses nothing."""
    asked: list[dict[str, list[str]]] = []

    async def talk(socket: ServerConnection, query: dict[str, list[str]]) -> None:
        asked.append(query)
        await socket.send(frame("connection_ack", None, position="e:7-0", recovered=True))
        if len(asked) == 1:
            await socket.send(frame("agent_chunk", "e:8-1", delta="Hi"))
            await socket.close(1012, '{"retry_after_ms":5}')
        else:
            await socket.send(frame("agent_response", "e:9-2", response="Hi"))
            await socket.wait_closed()

    async with served(talk) as server, following(target(server), "s", 10) as follower:
        seen = await follower.ending("task-1", 10)
        assert (seen.ending, follower.closes) == ("completed", {1012: 1})
    assert seen.first_chunk is not None
    assert seen.ended is not None
    assert seen.first_chunk <= seen.ended
    assert "position" not in asked[0]
    assert asked[1]["position"] == ["e:8-1"]


async def test_a_position_that_is_not_honoured_is_given_up() -> None:
    """`recovered: false` brings a new one, and that is what it comes back with the next time."""
    asked: list[str] = []

    async def talk(socket: ServerConnection, query: dict[str, list[str]]) -> None:
        asked.append(query.get("position", [""])[0])
        position, recovered = (("e:7-0", True), ("f:1-0", False), ("f:1-0", True))[len(asked) - 1]
        await socket.send(frame("connection_ack", None, position=position, recovered=recovered))
        if len(asked) < 3:
            await socket.close(1012, '{"retry_after_ms":5}')
        else:
            await socket.send(frame("error", "f:2-1", status="failed", code="deadline"))
            await socket.wait_closed()

    async with served(talk) as server, following(target(server), "s", 10) as follower:
        assert (await follower.ending("task-1", 10)).ending == "deadline"
    assert asked == ["", "e:7-0", "f:1-0"]


@pytest.mark.parametrize("code", [4401, 4403])
async def test_it_gives_up_where_coming_back_is_of_no_use(code: int) -> None:
    """A close that says so, also in the middle, raises at once whoever waits."""

    async def talk(socket: ServerConnection, _query: dict[str, list[str]]) -> None:
        await socket.send(frame("connection_ack", None, position="e:7-0", recovered=True))
        await socket.close(code, "not yours")

    async with served(talk) as server:
        with pytest.raises(BenchError, match=f"{code} not yours"):
            async with following(target(server), "s", 60) as follower:
                await follower.ending("task-1", 60)


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8008", True),
        ("http://[::1]:8008", True),
        ("https://localhost", True),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1:8008", False),
        ("https://chat.example.com", False),
    ],
)
def test_which_hosts_are_this_machine(url: str, ours: bool) -> None:
    """The loopback, by address or by its name, and no name that looks like it."""
    assert is_web_address(url)
    assert is_on_this_machine(url) is ours
