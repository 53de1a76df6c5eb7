"""One look serves all tasks that wait for people, and nobody looks for nothing."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.servers import wait_until

from orchestrator.broker.agent_inbox import Asked
from orchestrator.worker import answer_watch
from orchestrator.worker.answer_watch import AnswerWatch

ONE, TWO = Asked("queue", "task-1", "1"), Asked("queue", "task-2", "1")


class Source:
    """Answers that a test gives, and how often somebody looked for which."""

    def __init__(self) -> None:
        self.given: dict[Asked, bytes] = {}
        self.looks: list[list[Asked]] = []

    async def answers(self, asked: Sequence[Asked]) -> list[bytes | None]:
        self.looks.append(list(asked))
        return [self.given.get(one) for one in asked]


@pytest.fixture
def source() -> Source:
    """Nobody has answered anything."""
    return Source()


async def test_an_answer_that_comes_after_the_last_look(source: Source) -> None:
    """When the time is over it is looked once more: what was answered in time counts."""
    watch = AnswerWatch(source)
    waiting = asyncio.create_task(watch.wait(ONE, within=0.05))
    await wait_until(lambda: source.looks)
    source.given[ONE] = b"late"

    assert await waiting == b"late"
    assert len(source.looks) == 2


async def test_one_look_for_all(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that wait are looked for together, two waits for the same answer both get it."""
    monkeypatch.setattr(answer_watch, "_INTERVAL", 0.0)
    watch = AnswerWatch(source)
    waits = [asyncio.create_task(watch.wait(asked, within=30)) for asked in (ONE, TWO, ONE)]
    await wait_until(lambda: [ONE, TWO, ONE] in source.looks)
    source.given |= {ONE: b"one", TWO: b"two"}

    assert await asyncio.gather(*waits) == [b"one", b"two", b"one"]


async def test_nobody_looks_for_nothing(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last wait is over, or was cancelled, the looking ends; the next wait begins it again."""
    monkeypatch.setattr(answer_watch, "_INTERVAL", 0.0)
    watch = AnswerWatch(source)
    waiting = asyncio.create_task(watch.wait(ONE, within=30))
    await wait_until(lambda: source.looks)
    waiting.cancel()
    await asyncio.wait({waiting})
    looked = len(source.looks)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(source.looks) == looked

    source.given[ONE] = b"one"
    assert await watch.wait(ONE, within=30) == b"one"
