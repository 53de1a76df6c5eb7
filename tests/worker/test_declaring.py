"""Declaring agents: mistakes are told where they are made."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from orchestrator.worker import AgentWorker, Task


async def answer(_: Task) -> str:
    """An agent."""
    return ""


def test_ids_are_canonical() -> None:
    """`123` and `agent-123` are the same agent; contexts are named whole."""
    worker = AgentWorker()
    worker.agent("123", "agent-4")(answer)
    worker.context("collection-789")(answer)

    assert worker.context_ids == ("agent-123", "agent-4", "collection-789")


def test_the_function_stays_itself() -> None:
    """A decorated function can still be called and tested."""
    assert AgentWorker().agent("agent-123")(answer) is answer


@pytest.mark.parametrize("again", ["123", "agent-123"])
def test_an_id_is_declared_once(again: str) -> None:
    """A second function for the same agent would never run."""
    worker = AgentWorker()
    worker.agent("agent-123")(answer)

    with pytest.raises(ValueError, match="agent-123 is declared twice"):
        worker.agent(again)(answer)


@pytest.mark.parametrize("bad", ["", "a b", "x:y", "{a}", "a" * 200])
def test_bad_ids_are_refused(bad: str) -> None:
    """What cannot be an id of the contract cannot be declared."""
    with pytest.raises(ValueError, match="not a valid id"):
        AgentWorker().agent(bad)(answer)


def test_a_context_has_a_type() -> None:
    """`context` takes no bare ids: it could not know the type."""
    with pytest.raises(ValueError, match="does not begin with a context type"):
        AgentWorker().context("789")


def test_nothing_named() -> None:
    """At least one id."""
    with pytest.raises(ValueError, match="at least one id"):
        AgentWorker().agent()


def test_handlers_are_asynchronous() -> None:
    """A plain function would hold up every other task."""

    def plain(_: Task) -> str:
        return ""

    handler: Any = plain
    with pytest.raises(TypeError, match="async def"):
        AgentWorker().agent("agent-123")(handler)


def test_arguments_are_checked() -> None:
    """A worker that could never run is refused when it is made."""
    with pytest.raises(ValueError, match="concurrency"):
        AgentWorker(concurrency=0)
    with pytest.raises(ValueError, match="redis\\+cluster://"):
        AgentWorker(redis_url="http://localhost")


@pytest.mark.parametrize("lease", [0, 0.09, -1, 3601, float("nan"), float("inf")])
def test_a_lease_has_its_bounds(lease: float) -> None:
    """With less than a tenth of a second, or with no number, nothing that runs could be kept."""
    with pytest.raises(ValueError, match=r"^lease=.+ is not a number of seconds from 0\.1 to 3600$"):
        AgentWorker(lease=lease)


@pytest.mark.parametrize("lease", ["0", "-1", "nan", "inf", "3600.1", "soon"])
async def test_the_lease_of_the_environment_too(monkeypatch: pytest.MonkeyPatch, lease: str) -> None:
    """It is refused before anything is opened, by its name, with what is allowed."""
    monkeypatch.setenv("ORCHESTRATOR_LEASE", lease)
    opened: list[bool] = []
    worker = AgentWorker()
    worker.agent("agent-123")(answer)

    @worker.lifespan
    async def _() -> AsyncGenerator[None, None]:
        opened.append(True)
        yield

    with pytest.raises(
        ValueError, match=r"^ORCHESTRATOR_LEASE=.+ is not a number of seconds from 0\.1 to 3600$"
    ):
        await worker.run()
    assert not opened


async def test_a_worker_without_agents_does_not_run() -> None:
    """It would wait for nothing."""
    with pytest.raises(ValueError, match="no agents"):
        await AgentWorker().run()
