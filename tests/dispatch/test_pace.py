"""What replicas tell of the agents of queues (docs/architecture.md, "Why a task waits")."""

from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import Ended, Move
from orchestrator.broker.explanations import Explanations
from orchestrator.dispatch.pace import Pace

QUEUE = "agent-1", "free"


async def test_an_end_is_told_before_its_beginning(broker: Broker) -> None:
    """Where one replica saw a task begin and another one saw it end, it runs no more, whoever tells first."""
    explanations = Explanations(broker.run)
    one, other = Pace(explanations), Pace(explanations)

    async def running() -> int:
        (supply,) = await explanations.survey([QUEUE])
        return supply.running

    one.note_moves([Move("task-1", *QUEUE, broker.clock.now() + 60_000_000)])
    other.note_ended([Ended("task-1", "cancelled", 0, "s", context=QUEUE[0], tier=QUEUE[1])])
    await other.tell()
    await one.tell()
    assert await running() == 1
    await other.tell()
    assert await running() == 0


async def test_a_task_that_began_and_ended_at_once(broker: Broker) -> None:
    """A queue whose agent reports endings alone has somebody who serves it, and nothing that runs."""
    explanations = Explanations(broker.run)
    pace = Pace(explanations)
    pace.note_moves([Move("task-1", *QUEUE, broker.clock.now() + 60_000_000)])
    pace.note_ended([Ended("task-1", "completed", 0, "s", context=QUEUE[0], tier=QUEUE[1])])
    await pace.tell()
    (supply,) = await explanations.survey([QUEUE])
    assert (supply.running, supply.starts > 0) == (0, True)


async def test_the_next_attempt_runs(broker: Broker) -> None:
    """A task that an agent lost and another one has begun with runs still."""
    explanations = Explanations(broker.run)
    pace = Pace(explanations)
    for until in (broker.clock.now() + 60_000_000, 0, broker.clock.now() + 60_000_000):
        pace.note_moves([Move("task-1", *QUEUE, until)])
    for _ in range(3):
        await pace.tell()
        (supply,) = await explanations.survey([QUEUE])
        assert supply.running == 1
