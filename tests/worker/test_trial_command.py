"""`orchestrator worker test` runs one task from the shell (docs/agents.md)."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.servers import base_environment

AGENTS = """
import asyncio
from orchestrator.worker import AgentWorker, TaskError

worker = AgentWorker()
lonely = AgentWorker()

@worker.agent("agent-words")
async def words(task):
    await task.emit("tool", name="search", input={"q": task.message})
    for word in task.message.split():
        yield word + " "

@worker.agent("agent-dict")
async def members(task):
    return {"response": task.tier, "given": [task.user_info, task.metadata, task.attempt]}

@worker.agent("agent-list")
async def listed(task):
    return {"found": [1, 2]}

@worker.agent("agent-fails")
async def fails(task):
    raise TaskError("Closed today.", code="closed", retry=task.attempt == 1)

@worker.agent("agent-fault")
async def fault(task):
    raise LookupError("no such luck")

@worker.agent("agent-slow")
async def slow(task):
    await asyncio.Event().wait()

@worker.agent("agent-asks")
async def asks(task):
    first = await task.ask("Sure?", {"type": "boolean"})
    return f"{first!r} {await task.ask('Who?')!r}"

@lonely.agent("agent-123")
async def alone(task):
    return task.message
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `worker test` beside a module `agents` of a user, without any Redis."""
    (tmp_path / "agents.py").write_text(AGENTS)

    def run(
        *arguments: str, target: str = "agents:worker", text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", "worker", "test", target, *arguments],
            cwd=tmp_path,
            env=base_environment() | {"REDIS_URL": "redis://127.0.0.1:1"},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_the_answer_is_on_stdout_and_progress_on_stderr(run: Run) -> None:
    """Chunks make a text with a line end; a pipe gets nothing but the answer."""
    done = run("one two", "--agent", "words")

    assert (done.stdout, done.returncode) == ("one two \n", 0)
    assert done.stderr == '[tool] {"name":"search","input":{"q":"one two"}}\n'


def test_the_ending_as_json(run: Run) -> None:
    """`--json`: stdout is one object, text and progress go to stderr; every member can be chosen."""
    words = run("one two", "--agent", "words", "--json")
    chosen = ("--user-info", '{"name": "Ada"}', "--metadata", '{"n": 1}', "--tier", "free", "--attempt", "2")
    members = run("x", "--agent", "agent-dict", "--json", *chosen)

    assert json.loads(words.stdout)["result"] == {"response": "one two "}
    assert words.stderr.endswith("one two \n")
    ending = json.loads(members.stdout)
    assert (ending["status"], members.returncode) == ("completed", 0)
    assert ending["result"] == {"response": "free", "given": [{"name": "Ada"}, {"n": 1}, 2]}


def test_an_answer_that_is_no_text(run: Run) -> None:
    """A dict without a text in `response` is shown whole."""
    assert run("x", "--agent", "agent-list").stdout == '{"found":[1,2]}\n'


def test_a_failure(run: Run) -> None:
    """Exit code 1, code and message on stderr, and whether the service would try again."""
    first, second = (run("x", "--agent", "agent-fails", "--attempt", str(number)) for number in (1, 2))

    assert (first.stdout, first.returncode) == ("", 1)
    assert first.stderr == "failed (closed): Closed today.; it would be tried again\n"
    assert second.stderr == "failed (closed): Closed today.\n"


def test_a_fault_of_the_agent(run: Run) -> None:
    """Its author sees the traceback, beside what viewers would see."""
    done = run("x", "--agent", "agent-fault")

    assert "LookupError: no such luck" in done.stderr
    assert "agents.py" in done.stderr
    assert done.stderr.endswith("failed (agent_failed): The agent could not answer.\n")
    assert done.returncode == 1


def test_a_task_that_takes_too_long(run: Run) -> None:
    """`--timeout` is the task's deadline."""
    done = run("x", "--agent", "agent-slow", "--timeout", "0.05", "--json")

    assert json.loads(done.stdout)["result"]["error"]["code"] == "deadline"
    assert done.returncode == 1


def test_questions(run: Run) -> None:
    """`--answer` gives JSON, or text that is none; without answers, and nobody to type one, they expire."""
    answered = run("x", "--agent", "agent-asks", "--answer", "true", "--answer", "Ada")
    expired = run("x", "--agent", "agent-asks", "--answer", "true")

    assert answered.stdout == "True 'Ada'\n"
    assert "[asks] Sure?\n[answer] true\n[asks] Who?\n" in answered.stderr
    assert "failed (ask_expired)" in expired.stderr


def test_the_only_agent_needs_no_name_and_the_message_may_come_on_stdin(run: Run) -> None:
    """The shortest forms."""
    assert run("hello", target="agents:lonely").stdout == "hello\n"
    assert run(target="agents:lonely", text="a letter\n").stdout == "a letter\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("x",), "say which agent is meant: agent-words, agent-dict"),
        (("x", "--agent", "nobody"), "say which agent is meant"),
        (("x", "--agent", "words", "--metadata", "[]"), "Expected `object`"),
        (("x", "--agent", "words", "--tier", "gold"), "gold"),
        (("--agent", "words"), "the message is empty"),
    ],
    ids=["no agent", "unknown agent", "metadata", "tier", "no message"],
)
def test_wrong_use(run: Run, arguments: tuple[str, ...], complaint: str) -> None:
    """Exit code 2 and a line that says what is allowed."""
    done = run(*arguments)

    assert complaint in done.stderr
    assert done.returncode == 2


def test_a_wrong_target(run: Run) -> None:
    """The same complaints as those of `orchestrator worker`."""
    done = run("x", target="agents:nobody")

    assert "has no 'nobody'" in done.stderr
    assert done.returncode == 2


def test_both_commands_teach() -> None:
    """`worker --help` leads to `worker test --help`, and both have lines to copy."""
    for arguments, line in (
        (("--help",), "orchestrator worker test agents:worker 'Hello'"),
        (("test", "--help"), "orchestrator worker test agents:worker 'two words'"),
    ):
        command = [sys.executable, "-m", "orchestrator", "worker", *arguments]
        shown = subprocess.run(command, env=base_environment(), capture_output=True, text=True, check=True)
        assert line in shown.stdout
