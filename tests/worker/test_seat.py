"""A worker's seat at dispatch: one call that fails takes nothing else with it."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from tests.servers import free_port, wait_until
from tests.worker.service import Service
from tests.worker.supervisor import Supervisor

from orchestrator.broker.agent_queues import AgentQueues
from orchestrator.broker.dispatch import Claimed
from orchestrator.broker.outages import Outage
from orchestrator.broker.seat import Attempt, Over, Seat, Turn
from orchestrator.embedded import ValkeyServer
from orchestrator.worker.claims import Claims
from orchestrator.worker.heartbeat import Heartbeat
from orchestrator.worker.slots import Slots


@pytest.fixture
def outages() -> list[Outage]:
    """What was told to be out of order."""
    return []


@pytest.fixture
async def seat(server: ValkeyServer, outages: list[Outage]) -> AsyncIterator[Seat]:
    """A seat of a worker with four slots."""
    async with AgentQueues(server.url, outages.append) as queues:
        yield Seat(queues, ["agent-123"], 4, 15)


async def test_a_refused_finish_does_not_lose_the_claim(
    service: Service, supervisor: Supervisor, seat: Seat, outages: list[Outage]
) -> None:
    """What dispatch gave is given on, whatever it thinks of what was told in the same turn."""
    await service.redis.set("{dispatch}:l:task-over", "no hash", px=60_000)
    task = service.task("hi")
    await supervisor.announce(task)

    turn = await seat.turn(Over([("task-over", 1)], []), 4)

    assert [claimed.task for claimed in turn.claimed or []] == [task["task_id"]]
    assert not turn.told
    assert [(outage.operation, "WRONGTYPE" in (outage.error or "")) for outage in outages] == [
        ("finish", True)
    ]
    await service.redis.delete("{dispatch}:l:task-over")
    assert await seat.turn(Over([("task-over", 1)], []), None) == Turn([], told=True)


async def test_a_refused_claim_is_no_empty_one(service: Service, seat: Seat) -> None:
    """Who gets no answer knows nothing; what was told stays told."""
    assert await seat.turn(Over(), 4) == Turn([], told=True)
    await service.redis.set("{dispatch}:idle", "no set", px=60_000)

    assert await seat.turn(Over([("task-over", 1)], []), 4) == Turn(None, told=True)


async def test_who_has_left_hears_of_no_recovery() -> None:
    """A turn that asks Redis nothing does not say that Redis is back."""
    outages: list[Outage] = []
    async with AgentQueues(f"redis://127.0.0.1:{free_port()}/0", outages.append) as queues:
        seat = Seat(queues, ["agent-123"], 4, 15)
        await seat.leave()
        assert await seat.turn(Over(), None) == Turn([], told=True)

    assert [bool(outage.error) for outage in outages] == [True]


class DeafSeat:
    """Dispatch, which gives a task, and hears only the third time what is over."""

    def __init__(self) -> None:
        self.heard: list[list[Attempt]] = []

    async def turn(self, over: Over, slots: int | None) -> Turn:
        """Gives one task in the first turn."""
        self.heard.append(list(over.ran))
        claimed = Claimed("task-new", 1, "agent-123", "free", "home")
        return Turn([claimed] if len(self.heard) == 1 else [], told=len(self.heard) > 2)


async def test_what_was_not_told_is_told_again() -> None:
    """The claim of the same turn is begun meanwhile."""
    seat, begun = DeafSeat(), list[Claimed]()
    claims = Claims(cast("Seat", seat), Slots(4), begun.append)
    claims.ended(("task-over", 1), ran=True)
    run = asyncio.create_task(claims.run())
    await wait_until(lambda: len(seat.heard) == 3)
    claims.look()
    await wait_until(lambda: len(seat.heard) == 4)
    run.cancel()

    assert seat.heard == [[("task-over", 1)]] * 3 + [[]]
    assert [one.task for one in begun] == ["task-new"]


async def test_a_refused_beat_is_told_apart(service: Service, seat: Seat) -> None:
    """It is neither a renewal nor a loss."""
    held = [Claimed("task-1", 1, "agent-123", "free", "home")]
    assert await seat.beat(held) == []
    await service.redis.set("{dispatch}:l:task-1", "no hash", px=60_000)

    assert await seat.beat(held) is None


@pytest.mark.parametrize(("lease", "soon"), [(15.0, 0.5), (0.3, 0.1)])
async def test_a_beat_that_failed_is_repeated_soon(lease: float, soon: float) -> None:
    """Every third of the lease; after one that failed in half a second, or sooner where a third is less."""
    answers, pauses = [True, False, False, True], list[float]()
    over = asyncio.Event()

    async def beat() -> bool:
        if len(answers) == 1:
            over.set()
        return answers.pop(0)

    async def sleep(seconds: float) -> None:
        if over.is_set():
            pauses.append(seconds)
            await asyncio.Event().wait()
        pauses.append(seconds)

    beating = asyncio.create_task(Heartbeat(beat, lease, sleep).run())
    await wait_until(lambda: len(pauses) == 5)
    beating.cancel()

    third = pytest.approx(lease / 3)
    assert pauses == [third, third, pytest.approx(soon), pytest.approx(soon), third]
