"""The README's commands do what it says, in both languages."""

import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import redis.asyncio
from tests.pages import Block, blocks, page
from tests.servers import OrchestratorServer, base_environment, orchestrator_server

from orchestrator.embedded import ValkeyServer

README: Final = blocks(page("README.md"))


def test_both_languages_have_the_same_code() -> None:
    """README.es.md has the blocks of README.md, in the same order; only the picture is translated."""
    ours, theirs = (
        [block for block in blocks(page(name)) if block.language != "text"]
        for name in ("README.md", "README.es.md")
    )
    assert ours == theirs


@pytest.mark.parametrize("command", ["make run", "make test"])
def test_the_two_commands(command: str) -> None:
    """The README names both, each in a block of its own."""
    assert Block("sh", f"{command}\n") in README


@pytest.fixture
async def server(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[OrchestratorServer]:
    """A service that asks no database, so that every agent of the README may be addressed."""
    environment = {"REDIS_URL": valkey.url, "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "false"}
    with orchestrator_server(environment, tmp_path / "server.log") as running:
        yield running


async def test_the_commands_to_try(server: OrchestratorServer, valkey: ValkeyServer) -> None:
    """What `redis-cli` answers to what `curl` sent arrives where the other `curl` follows."""
    follow, send = (shlex.split(shell(start)) for start in ("curl -sN", "curl -sS"))
    answer = shlex.split(shell("redis-cli"))
    client: Any = redis.asyncio.Redis(port=valkey.port)
    async with (
        client,
        httpx.AsyncClient(base_url=server.url) as http,
        http.stream("GET", local(follow[2])) as stream,
    ):
        sent = await http.post(local(send[2]), headers=dict(headers(send)), content=send[-1])
        assert sent.status_code == 202, sent.text
        command, queue, callback = answer[3:]
        assert command == "LPUSH"
        await client.lpush(queue, callback.replace("TASK_ID", sent.json()["task_id"]))
        seen = [line async for line in until(stream, "agent_response")]

    assert "Hello from redis-cli" in seen[-1]


@pytest.mark.parametrize(
    ("block", "agent", "answer"), [(0, "agent-echo", "Hello there "), (1, "agent-plain", "HELLO THERE")]
)
async def test_the_agents(
    server: OrchestratorServer, valkey: ValkeyServer, tmp_path: Path, block: int, agent: str, answer: str
) -> None:
    """Both agents of the README answer a message, run as it says."""
    (tmp_path / "my_agents.py").write_text([b.code for b in README if b.language == "python"][block])
    run = ("my_agents.py",) if block else ("-m", "orchestrator", "worker", "my_agents:worker")
    send = shlex.split(shell("curl -sS"))
    with process(tmp_path, valkey, *run):
        async with (
            httpx.AsyncClient(base_url=server.url, timeout=20) as http,
            http.stream("GET", local(shlex.split(shell("curl -sN"))[2])) as stream,
        ):
            named = {**dict(headers(send)), "X-Agent-ID": agent}
            await http.post(local(send[2]), headers=named, content=send[-1])
            seen = [line async for line in until(stream, "agent_response")]

    assert f'"response":"{answer}"' in seen[-1]


def shell(start: str) -> str:
    """The command of the README that begins so."""
    (found,) = [block.code for block in README if block.language == "sh" and block.code.startswith(start)]
    return found.replace("\\\n", " ")


def local(url: str) -> str:
    """The path and query of an address of the README."""
    assert url.startswith("http://127.0.0.1:8008/")
    return url.removeprefix("http://127.0.0.1:8008")


def headers(command: list[str]) -> list[tuple[str, str]]:
    """What `curl -H` sends."""
    given = [value for flag, value in pairwise(command) if flag == "-H"]
    return [(name, value) for name, _, value in (header.partition(": ") for header in given)]


async def until(stream: httpx.Response, kind: str) -> AsyncIterator[str]:
    """The lines of a stream of events, up to the first frame of this type."""
    async for line in stream.aiter_lines():
        yield line
        if f'"type":"{kind}"' in line:
            return


@contextmanager
def process(directory: Path, valkey: ValkeyServer, *arguments: str) -> Generator[None]:
    """Runs Python with `arguments` in `directory` for the length of the block."""
    environment = {**base_environment(), "REDIS_URL": valkey.url}
    running = subprocess.Popen([sys.executable, *arguments], cwd=directory, env=environment)
    try:
        yield
    finally:
        running.kill()
        running.wait()
