"""docs/redis-keys.md says what lies in Redis, and nothing else does."""

import asyncio
import fnmatch
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import redis.asyncio
from tests.dispatch_keys import use_dispatch
from tests.pages import SOURCE, code, page, rows, section
from tests.security.minting import HS256, SECRET, bearer
from tests.servers import OrchestratorServer, orchestrator_server, wait_until

from orchestrator.broker.keys import PERMANENT, Keys, execution_queue
from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.context import canonical_id
from orchestrator.store.schema import ensure_schema
from orchestrator.store.store import Store

PAGE: Final = page("docs/redis-keys.md")
TENANT: Final = "acme"
QUEUE: Final = "orchestrator:acme:callbacks"
FOLLOW: Final = "/api/chat/sessions/s1/events?ticket="


def spelled(name: str) -> str:
    """A documented name with `T` written out."""
    return name.replace("T:", "{<prefix>:<tenant>:callbacks}:", 1) if name.startswith("T:") else name


def pattern(name: str) -> re.Pattern[str]:
    """What a documented name stands for."""
    parts = re.split(r"<\w+>", spelled(name))
    return re.compile(r"[A-Za-z0-9._@+-]+".join(map(re.escape, parts)) + r"\Z")


KEYS: Final = {code(row[0])[0]: row for row in rows(PAGE.split("## Channels")[0])}
CHANNELS: Final = [code(row[0])[0] for row in rows(section(PAGE, "## Channels"))]


def documented(key: str) -> str:
    """The one row of the page that a key belongs to."""
    found = [name for name in KEYS if pattern(name).match(key)]
    assert len(found) == 1, f"{key} is documented {len(found)} times: {found}"
    return found[0]


def fields(name: str) -> set[str]:
    """The fields that the page gives a hash, in its row or in the sentence that begins with its name."""
    sentence = re.search(rf"^Fields of `{re.escape(name)}`:(.*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    return set(code(sentence[1] if sentence else KEYS[name][2]))


def test_every_name_of_the_key_book_is_documented() -> None:
    """Each key and channel that broker/keys.py can spell has its row."""
    keys = Keys("dom", "pre")
    spelled_keys = [
        keys.callbacks("t"),
        keys.task("t", "task-1"),
        keys.cancel("t", "task-1"),
        keys.agenda("t"),
    ]
    spelled_keys += [keys.agenda_part(3), keys.replica("r"), keys.bell_probe("r-1"), keys.replicas]
    spelled_keys += [
        keys.changes,
        keys.ticket("0f"),
        keys.totals,
        keys.queues,
        keys.prefix_owner,
        execution_queue("agent-1", "free"),
    ]

    assert len({documented(key) for key in spelled_keys}) == len(spelled_keys) - 1  # agenda, twice
    assert any(pattern(name).match(keys.events("t")) for name in CHANNELS)


def test_every_name_in_the_scripts_is_documented() -> None:
    """Each `T .. 'name'` that a Lua script builds is a key or a channel of the page."""
    names = {
        spelled(name).split("}:")[1].split(":")[0] for name in [*KEYS, *CHANNELS] if name.startswith("T:")
    }
    for script in sorted((SOURCE / "broker" / "lua").glob("*.lua")):
        built = set(re.findall(r"\bT \.\. '([a-z]+)", script.read_text()))
        assert built <= names, f"{script.name}: {built - names}"


def test_what_lives_for_ever_is_what_may() -> None:
    """The rows marked so are those of the list of permanent keys."""
    for name, row in KEYS.items():
        example = re.sub(r"<\w+>", "x", spelled(name))
        permanent = any(fnmatch.fnmatchcase(example, p) for p in PERMANENT)
        assert row[4].startswith("**for ever**") is permanent, name


@pytest.fixture
async def server(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[OrchestratorServer]:
    """A service with one tenant that has two agents."""
    database = f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}"
    async with Store(database) as store:
        await ensure_schema(store)
        await store.create_tenant(TENANT, "free")
        for name in ("1", "2"):
            await store.create_context(TENANT, "agent", name)
    environment = {"REDIS_URL": valkey.url, "DATABASE_URL": database, "ORCHESTRATOR_JWT_SECRET": SECRET}
    with orchestrator_server(environment, tmp_path / "server.log") as running:
        yield running


async def test_every_key_of_a_busy_service(server: OrchestratorServer, valkey: ValkeyServer) -> None:
    """Each key that comes up is documented with its type and its fields, and each documented key comes up."""
    client: Any = redis.asyncio.Redis(port=valkey.port, decode_responses=True)
    seen: set[str] = set()
    async with client, user(server) as http:
        ticket = (await http.post("/api/auth/ticket")).json()["ticket"]
        await note_keys(client, seen)
        async with browser(server) as page, page.stream("GET", FOLLOW + ticket) as stream:
            lines = stream.aiter_lines()
            await note_keys(client, seen)
            running = await send(http, "1", {"Idempotency-Key": "once"})
            await note_keys(client, seen)
            await report(client, running, status="running", lease=60)
            await report(client, running, status="streaming", result={"delta": "Hel"})
            await until(lines, "agent_chunk")
            await wait_until(lambda: client.exists("{dispatch}:runs:agent-1:free"))
            await note_keys(client, seen)
            await ask_and_answer(client, http, running)
            await send(http, "1", turn_policy="steer")
            await note_keys(client, seen)
            await end_in_every_way(client, http, running)
            await until(lines, "agent_response")
            await note_keys(client, seen)
        await wait_until(lambda: settled(client, running))
        await note_keys(client, seen)
        await note_the_callback_queue(client, seen)
        await use_dispatch(valkey.url, QUEUE)
        await note_keys(client, seen)

    assert set(KEYS) == seen


def user(server: OrchestratorServer) -> httpx.AsyncClient:
    """A client with a token that begins now, however long the tests before this one took."""
    token = HS256.mint(sub="ann", tenant_id=TENANT, tier="free", scope="chat admin")
    headers = {**bearer(token), "X-Session-ID": "s1"}
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10)


def browser(server: OrchestratorServer) -> httpx.AsyncClient:
    """A client that sends no token."""
    return httpx.AsyncClient(base_url=server.url, timeout=10)


async def ask_and_answer(client: Any, http: httpx.AsyncClient, running: str) -> None:
    """The agent asks its user, who answers."""

    async def answered() -> bool:
        answer = await http.post(f"/api/chat/tasks/{running}/answer", json={"answer": 1})
        return answer.status_code == 200

    await report(client, running, status="input_required", result={"prompt": "How many?"})
    await wait_until(answered)


async def end_in_every_way(client: Any, http: httpx.AsyncClient, running: str) -> None:
    """A task that cannot be pushed, one that is cancelled, a dead letter, a changed record, an answer."""
    blocked = execution_queue(canonical_id("agent", "2"), "free")
    await client.set(blocked, "in the way", ex=60)
    await send(http, "2")
    await client.delete(blocked)
    cancelled = await send(http, "1")
    await http.post(f"/api/chat/tasks/{cancelled}/cancel")
    await http.patch(f"/api/admin/tenants/{TENANT}", json={"limits": {"weight": 2}})
    await client.lpush(QUEUE, "no JSON")
    await report(client, running, status="completed")


async def note_keys(client: Any, seen: set[str]) -> None:
    """Look at every key, and hold its type and fields against the page."""
    async for key in client.scan_iter(count=1000):
        kind = {"zset": "sorted set"}.get(found := await client.type(key), found)
        if kind == "none":
            continue  # it has just ended
        name = documented(key)
        assert kind == KEYS[name][1], f"{key} is a {kind}"
        if name in ("T:task:<task>", "T:session:<session>", "T:tenant", "{dispatch}:l:<task>"):
            # Endings that wait for their reader are named by their tasks.
            named = {field for field in await client.hkeys(key) if not field.startswith("task-")}
            unknown = named - fields(name)
            assert not unknown, f"{key} has {unknown}"
        seen.add(name)


async def note_the_callback_queue(client: Any, seen: set[str]) -> None:
    """The same for a queue that is empty again before anybody could look."""
    async with client.pipeline(transaction=True) as at_once:
        at_once.lpush(QUEUE, "no JSON").type(QUEUE)
        _, kind = await at_once.execute()
    assert kind == KEYS[documented(QUEUE)][1]
    seen.add(documented(QUEUE))


async def send(
    http: httpx.AsyncClient, agent: str, headers: dict[str, str] | None = None, **members: Any
) -> str:
    """A message to an agent; the id of its task."""
    answer = await http.post(
        "/api/chat/send",
        headers={"X-Agent-ID": agent, **(headers or {})},
        json={"message": "Hello", **members},
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


async def report(client: Any, task_id: str, **members: Any) -> None:
    """A callback about a task."""
    await client.lpush(QUEUE, json.dumps({"task_id": task_id, **members}))


async def until(lines: AsyncIterator[str], kind: str) -> None:
    """Read the stream up to a frame of this type."""
    async with asyncio.timeout(10):
        async for line in lines:
            if f'"type":"{kind}"' in line:
                return


async def settled(client: Any, task_id: str) -> bool:
    """Whether the delivery of the task's ending is noted."""
    return await client.hexists(f"{{{QUEUE}}}:task:{task_id}", "delivered_at")
