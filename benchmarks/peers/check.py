"""Whether a peer keeps its side: it refuses what it has to, and one answer of 50 pieces comes whole and in order."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import redis.asyncio
import websockets
from websockets.asyncio.client import ClientConnection

from benchmarks.measures import CALLBACKS, QUEUE, TENANT, client_of
from benchmarks.peers import langgraph_wire, socketio_wire
from benchmarks.peers.peer import Wire
from benchmarks.peers.running import Running
from benchmarks.peers.script import Script

SESSION: Final = "session-of-the-check"
SCRIPT: Final = Script(chunks=50, delta="word ")
WITHIN_SECONDS: Final = 20

Frame = dict[str, Any]
NextFrame = Callable[[], Awaitable[Frame]]


class BrokenError(Exception):
    """A peer does not do what it has to."""


async def check(found: Running, redis_url: str) -> None:
    """`BrokenError` or a timeout where it is not as it should be."""
    checks: dict[Wire, Callable[[], Awaitable[None]]] = {
        "plain": lambda: _conversation(found, redis_url),
        "socketio": lambda: _conversation(found, redis_url),
        "langgraph": lambda: _run(found),
        "floor": lambda: _floor(found),
    }
    async with asyncio.timeout(WITHIN_SECONDS):
        await checks[found.peer.wire]()


def _http(found: Running) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{found.port}", timeout=WITHIN_SECONDS)


def _expect(what: str, seen: object, wanted: object) -> None:
    if seen != wanted:
        raise BrokenError(f"{what}: {seen!r} instead of {wanted!r}")


async def _conversation(found: Running, redis_url: str) -> None:
    """One message, from the caller over the agent to the session's socket."""
    async with _http(found) as http, _following(found) as frame, client_of(redis_url) as agent:
        _expect("first frame", (await frame())["type"], "connection_ack")
        await _refusals(http)
        headers = {**TENANT, "X-Session-ID": SESSION}
        answer = await http.post("/api/chat/send", headers=headers, json={"message": SCRIPT.message})
        _expect("status of a POST", answer.status_code, 202)
        accepted = answer.json()
        _expect("what a POST says", (accepted["status"], accepted["session_id"]), ("queued", SESSION))
        if not found.peer.scripted:
            await _agent(agent, accepted["task_id"])
        await _answered(frame, accepted["task_id"])


async def _refusals(http: httpx.AsyncClient) -> None:
    good = {**TENANT, "X-Session-ID": SESSION}
    bad: tuple[tuple[dict[str, str], Frame], ...] = (
        (TENANT, {"message": "no session"}),
        ({**good, "X-Tenant-Tier": "gold"}, {"message": "no such tier"}),
        (good, {"massage": "no message"}),
    )
    for headers, body in bad:
        refused = await http.post("/api/chat/send", headers=headers, json=body)
        _expect(f"status of {body}", refused.status_code in {400, 422}, True)


async def _agent(agent: redis.asyncio.Redis, task_id: str) -> None:
    """The agent of those that have lists."""
    popped: Any = await agent.brpop([QUEUE], timeout=WITHIN_SECONDS)  # pyright: ignore[reportGeneralTypeIssues]
    task = json.loads(popped[1])
    told = (task["task_id"], task["session_id"], task["message"], task["callback_queue"])
    _expect("the task", told, (task_id, SESSION, SCRIPT.message, CALLBACKS))
    pieces = [
        {"task_id": task_id, "status": "streaming", "seq": seq, "result": {"delta": SCRIPT.delta}}
        for seq in range(SCRIPT.chunks)
    ]
    whole = {"response": SCRIPT.delta * SCRIPT.chunks}
    end = {"task_id": task_id, "status": "completed", "result": whole}
    await agent.lpush(CALLBACKS, *map(json.dumps, [*pieces, end]))  # pyright: ignore[reportGeneralTypeIssues]


async def _answered(frame: NextFrame, task_id: str) -> None:
    for seq in range(SCRIPT.chunks):
        chunk = await frame()
        seen = (chunk["type"], chunk["task_id"], chunk["data"]["seq"], chunk["data"]["delta"])
        _expect("a piece", seen, ("agent_chunk", task_id, seq, SCRIPT.delta))
    end = await frame()
    seen = (end["type"], end["task_id"], end["session_id"], end["tenant_id"], end["data"]["response"])
    whole = SCRIPT.delta * SCRIPT.chunks
    _expect("the end", seen, ("agent_response", task_id, SESSION, TENANT["X-Tenant-ID"], whole))


@asynccontextmanager
async def _following(found: Running) -> AsyncGenerator[NextFrame]:
    """The session's socket, whatever its wire."""
    who = (TENANT["X-Tenant-ID"], TENANT["X-Tenant-Tier"])
    socketio = found.peer.wire == "socketio"
    path = (
        socketio_wire.path(*who, SESSION) if socketio else f"/ws/{SESSION}?tenant_id={who[0]}&tier={who[1]}"
    )
    url = f"ws://127.0.0.1:{found.port}{path}"
    async with websockets.connect(url, compression=None, max_queue=None) as socket:

        async def plain() -> Frame:
            return json.loads(await socket.recv())

        yield (lambda: _event(socket)) if socketio else plain


async def _event(socket: ClientConnection) -> Frame:
    while True:
        frame = await socket.recv(decode=False)
        if reply := socketio_wire.reply(frame):
            await socket.send(reply, text=True)
        if (event := socketio_wire.event(frame)) is not None:
            return event


async def _run(found: Running) -> None:
    """One run of the graph."""
    body, events = langgraph_wire.run_of(SCRIPT.message), langgraph_wire.Events()
    seen: list[tuple[str, Any]] = []
    async with _http(found) as http, http.stream("POST", langgraph_wire.PATH, json=body) as answer:
        _expect("status of a run", answer.status_code, 200)
        async for data in answer.aiter_bytes():
            seen += events.feed(data)
    pieces = [data for name, data in seen if name == "custom"]
    _expect("the pieces", pieces, [{"seq": seq, "delta": SCRIPT.delta} for seq in range(SCRIPT.chunks)])
    ends = [langgraph_wire.response_of(data) for name, data in seen if name == "updates"]
    _expect("the end", ends, [SCRIPT.delta * SCRIPT.chunks])


async def _floor(found: Running) -> None:
    async with _http(found) as http:
        _expect("status of a POST", (await http.post("/floor/http", json={"message": "go"})).status_code, 202)
    async with websockets.connect(f"ws://127.0.0.1:{found.port}/floor/ws", max_queue=None) as socket:
        for each in (True, False):
            await socket.send(json.dumps({"count": SCRIPT.chunks, "size": 120, "each": each}))
            sizes = {len(await socket.recv()) for _ in range(SCRIPT.chunks)}
            _expect("sizes of frames", sizes, {120})
