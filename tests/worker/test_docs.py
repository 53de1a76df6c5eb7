"""The examples of docs/agents.md run as they stand there."""

import json
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import SOURCE, base_environment
from tests.worker.service import Service

from orchestrator.embedded import ValkeyServer

PAGE = SOURCE.parent / "docs" / "agents.md"


async def test_the_sdk_example(tmp_path: Path, valkey: ValkeyServer, service: Service) -> None:
    """Both of its agents answer, and the one that can fail does so in the words of the page."""
    (tmp_path / "agents.py").write_text(example("sdk"))
    with process(tmp_path, valkey, "-m", "orchestrator", "worker", "agents:worker"):
        await service.send("two words", context="agent-shout")
        assert (await service.callback(20))["status"] == "running"
        assert (await service.ending())["result"]["response"] == "TWO WORDS "
        await service.send("1 + 2.5", context="agent-sum")
        assert (await service.ending())["result"]["response"] == "3.5"
        await service.send("one", context="agent-sum")
        assert (await service.ending())["result"]["error"]["code"] == "no_sum"


def test_the_example_of_resources(tmp_path: Path) -> None:
    """What the lifespan opens is used, and what is emitted is seen."""
    done = trial(tmp_path, "resources", "paper")

    assert done.stdout == "We have 5.\n"
    assert '[tool] {"name":"stock","output":5}' in done.stderr


async def test_the_example_of_steering(tmp_path: Path, valkey: ValkeyServer, service: Service) -> None:
    """What the user adds is in the next chapter, and acknowledged."""
    (tmp_path / "agents.py").write_text(example("steering"))
    task = service.task("a dog", context="agent-writer")
    added = await service.steer(task["task_id"], "a cat")
    await service.push(json.dumps(task), context="agent-writer")
    with process(tmp_path, valkey, "-m", "orchestrator", "worker", "agents:worker"):
        callbacks = [await service.callback(20), *await service.until_end()]

    assert [callback["took"] for callback in callbacks if "took" in callback] == [[added]]
    assert callbacks[-1]["result"]["response"].startswith("Chapter 1, with a dog and a cat.\nChapter 2")


def test_the_example_of_asking(tmp_path: Path) -> None:
    """The answer decides, and without one nothing is done."""
    assert trial(tmp_path, "asking", "it", "--answer", "true").stdout == "Deleted.\n"
    assert trial(tmp_path, "asking", "it", "--answer", "false").stdout == "As you were.\n"
    assert "left it alone" in trial(tmp_path, "asking", "it").stdout


def test_the_example_of_tests(tmp_path: Path) -> None:
    """The tests of the page pass on the agents of the page."""
    (tmp_path / "agents.py").write_text(example("sdk"))
    (tmp_path / "test_agents.py").write_text(example("testing"))
    code = "import asyncio, test_agents as t\nasyncio.run(t.test_sums())\nasyncio.run(t.test_chunks())"
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=tmp_path, env=base_environment(), check=True, timeout=60)


async def test_the_plain_example(tmp_path: Path, valkey: ValkeyServer, service: Service) -> None:
    """An agent with nothing but BRPOP and LPUSH answers, skips what is late and stops when cancelled."""
    (tmp_path / "plain.py").write_text(example("plain"))
    late = await service.send("late", context="agent-plain", seconds=-1)
    cancelled = await service.send("cancelled", context="agent-plain")
    await service.cancel(cancelled)
    task_id = await service.send("two words", context="agent-plain", attempt=2)
    with process(tmp_path, valkey, "plain.py"):
        callbacks = [await service.callback(20), *await service.until_end()]

    assert late not in {callback["task_id"] for callback in callbacks}
    assert [c["status"] for c in callbacks if c["task_id"] == cancelled] == ["running"]
    mine = [c for c in callbacks if c["task_id"] == task_id]
    assert [c["status"] for c in mine] == ["running", "streaming", "streaming", "completed"]
    assert [c["seq"] for c in mine[1:3]] == [0, 1]
    assert {c["attempt"] for c in mine} == {2}


def example(name: str) -> str:
    """The code block of the page that has this name."""
    found = re.search(rf"<!-- runs: {name} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, f"docs/agents.md has no example {name!r}"
    return found[1]


def trial(directory: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`orchestrator worker test` on an example."""
    (directory / "agents.py").write_text(example(name))
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", "worker", "test", "agents:worker", *arguments],
        cwd=directory,
        env=base_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


@contextmanager
def process(
    directory: Path, valkey: ValkeyServer, *arguments: str, **environment: str
) -> Generator[subprocess.Popen[bytes]]:
    """Runs Python with `arguments` in `directory` for the length of the block."""
    everything = base_environment() | {"REDIS_URL": valkey.url} | environment
    running = subprocess.Popen([sys.executable, *arguments], cwd=directory, env=everything)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
