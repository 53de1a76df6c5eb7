"""Whatever an agent gives or raises, its attempt ends with exactly one report (contract §5)."""

from collections.abc import AsyncGenerator, Callable
from enum import Enum
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.worker.service import Service, running

from orchestrator.worker import AgentWorker, Task, TaskError

Code = Enum("Code", {"CLOSED": "closed"}, type=str)


class SilentError(TaskError):
    """Never says what it is about."""

    def __init__(self) -> None:
        Exception.__init__(self)


class OddError(TaskError):
    """Its message turns out to be no text."""

    def __init__(self) -> None:
        super().__init__("odd")
        self.message: Any = object()


def deep() -> dict[str, Any]:
    """Deeper than anybody reads."""
    inner: dict[str, Any] = {}
    for _ in range(5000):
        inner = {"deeper": inner}
    return inner


def error(message: Any, code: Any = "agent_failed") -> TaskError:
    """A TaskError of what a type checker would not let through."""
    return TaskError(message, code=code)


ERRORS: dict[str, tuple[Callable[[], BaseException], str, str]] = {
    "an exception": (lambda: error(KeyError("Ada")), "'Ada'", "agent_failed"),
    "a lone surrogate": (lambda: error("half \ud83d", "co\ud83dde"), "half ?", "co?de"),
    "numbers": (lambda: error(404, 404), "404", "404"),
    "an enumeration": (lambda: error("Closed.", Code.CLOSED), "Closed.", "closed"),
    "no message at all": (SilentError, "The agent could not answer.", "agent_failed"),
    "no text": (OddError, "The agent could not answer.", "agent_failed"),
    "a group": (
        lambda: BaseExceptionGroup("several", [SystemExit(1)]),
        "The agent could not answer.",
        "agent_failed",
    ),
}


@pytest.mark.parametrize(("raised", "message", "code"), ERRORS.values(), ids=list(ERRORS))
async def test_whatever_is_raised_ends_the_task(
    service: Service, worker: AgentWorker, raised: Callable[[], BaseException], message: str, code: str
) -> None:
    """A TaskError is shown as far as it can be said, anything else in general words; once each."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        raise raised()

    async with running(worker):
        await service.send()
        ending = (await service.until_end())[-1]

    shown = ending["result"]["error"]
    assert (ending["status"], shown["message"], shown["code"]) == ("failed", message, code)
    assert await service.silent()


ANSWERS: dict[str, dict[Any, Any]] = {
    "a lone surrogate": {"response": "half \ud83d"},
    "a name with one": {"response": "", "\ud83d": 1},
    "names that are no text": {"response": "", (1, 2): 3},
    "too many digits": {"response": 10**5000},
    "too deep": {"response": deep()},
    "odd tokens": {"response": "", "tokens_used": object()},
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
async def test_an_answer_that_is_no_json_fails_the_task(
    service: Service, worker: AgentWorker, answer: dict[Any, Any]
) -> None:
    """`agent_failed`, with the reason in the worker's log, and nothing besides."""

    @worker.agent("agent-123")
    async def _(_: Task) -> dict[str, Any]:
        return answer

    with capture_logs() as logs:
        async with running(worker):
            await service.send()
            assert (await service.ending())["result"]["error"]["code"] == "agent_failed"

    assert [line["event"] for line in logs].count("agent_failed") == 1
    assert await service.silent()


async def test_numbers_that_others_cannot_read(service: Service, worker: AgentWorker) -> None:
    """What is not a number becomes null, a large one stays, a number as a name becomes text."""
    odd: dict[Any, Any] = {"response": "x", "nan": float("nan"), "large": 2**70, 7: "seven"}

    @worker.agent("agent-123")
    async def _(_: Task) -> dict[str, Any]:
        return odd

    async with running(worker):
        await service.send()
        ending = await service.ending()

    assert ending["result"] == {"response": "x", "nan": None, "large": 2**70, "7": "seven"}


async def test_a_chunk_that_is_no_unicode_fails_the_task(service: Service, worker: AgentWorker) -> None:
    """What was yielded before it is reported, and the function is closed."""
    closed: list[bool] = []

    @worker.agent("agent-123")
    async def _(_: Task) -> AsyncGenerator[str, None]:
        try:
            yield "whole "
            yield "half \ud83d"
        finally:
            closed.append(True)

    async with running(worker):
        await service.send()
        chunk, ending = (await service.until_end())[1:]

    assert (chunk["result"]["delta"], ending["result"]["error"]["code"]) == ("whole ", "agent_failed")
    assert closed == [True]
    assert await service.silent()
