"""explain.lua and survey.lua: where attempts stand in the fair order, and what serves their queues."""

from typing import Any, Final

import pytest

from orchestrator.broker.broker import Broker
from orchestrator.broker.dispatch import Claimed, Dispatch, Waiting
from orchestrator.broker.explanations import Asked, Explanations, Turnover
from orchestrator.protocol.waiting import Place, Supply

LEASE_MS: Final = 15_000
AGENT: Final = "agent-1"
ACME, GLOBEX, INITECH = (f"orchestrator:{name}:callbacks" for name in ("acme", "globex", "initech"))


class Desk:
    """The dispatch as a test uses it, and what is told of it."""

    def __init__(self, broker: Broker, client: Any) -> None:
        self.client: Final = client
        self.dispatch: Final = Dispatch(broker.run)
        self.explanations: Final = Explanations(broker.run)

    async def wait(self, home: str, *tasks: str, context: str = AGENT, weight: int = 1, cap: int = 0) -> None:
        """Attempts come to their queue, in this order."""
        entries = [Waiting(task, 1, context, "free", home, weight, cap) for task in tasks]
        await self.dispatch.ready(entries)

    async def place(self, home: str, task: str, context: str = AGENT, attempt: int = 1) -> Place | None:
        """Where an attempt stands."""
        return (await self.explanations.explain(home, [Asked(task, attempt, context, "free")]))[0][0]

    async def ahead(self, home: str, task: str) -> int:
        """How many come first."""
        place = await self.place(home, task)
        assert place is not None
        return place.ahead

    async def supply(self, context: str = AGENT) -> Supply:
        """What serves the context's free queue."""
        return (await self.explanations.survey([(context, "free")]))[0]

    async def worker(self, name: str, *contexts: str, slots: int = 1) -> None:
        """A worker of the SDK begins to live."""
        await self.dispatch.register(name, contexts or (AGENT,), slots, LEASE_MS)

    def reads(self) -> int:
        """How many hashes the server has read so far."""
        return int(self.client.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"])

    async def claim(self, worker: str, n: int = 1) -> list[Claimed]:
        """What the worker gets."""
        return await self.dispatch.claim(worker, LEASE_MS, n)


@pytest.fixture
def desk(broker: Broker, client: Any) -> Desk:
    """The dispatch of an empty server."""
    return Desk(broker, client)


async def test_own_tasks_in_order(desk: Desk) -> None:
    """Of one tenant the earlier task comes first; one that ended meanwhile is not counted."""
    await desk.wait(ACME, "t1", "t2", "t3")
    assert [await desk.ahead(ACME, task) for task in ("t1", "t2", "t3")] == [0, 1, 2]
    await desk.dispatch.finish([("t1", 0)])
    assert await desk.ahead(ACME, "t3") == 1


async def test_order_is_that_of_claims(desk: Desk) -> None:
    """Of tenants with weights that number comes first which a worker then really claims first."""
    await desk.wait(ACME, *(f"a{i}" for i in range(6)), weight=1)
    await desk.wait(GLOBEX, *(f"g{i}" for i in range(6)), weight=2)
    await desk.wait(INITECH, *(f"i{i}" for i in range(6)), weight=4)
    homes = {"a": ACME, "g": GLOBEX, "i": INITECH}
    told = {
        f"{letter}{i}": await desk.ahead(homes[letter], f"{letter}{i}") for letter in homes for i in range(6)
    }
    await desk.worker("w", slots=99)
    assert [told[run.task] for run in await desk.claim("w", 18)] == list(range(18))


async def test_who_has_run_comes_later(desk: Desk) -> None:
    """A tenant that was served lately stands behind one that comes anew."""
    await desk.worker("w", slots=99)
    await desk.wait(ACME, "a1", "a2")
    assert [run.task for run in await desk.claim("w")] == ["a1"]
    await desk.wait(GLOBEX, "g1")
    assert (await desk.ahead(ACME, "a2"), await desk.ahead(GLOBEX, "g1")) == (1, 0)


async def test_other_contexts_of_the_workers(desk: Desk) -> None:
    """What the same workers may do first in another context is counted apart."""
    await desk.worker("w", AGENT, "agent-2")
    await desk.wait(GLOBEX, "g1", "g2", context="agent-2")
    await desk.wait(ACME, "a1", "a2", "a3")
    first, last = await desk.place(ACME, "a1"), await desk.place(ACME, "a3")
    assert first is not None
    assert last is not None
    assert (first.own, first.ahead, last.own, last.ahead, last.beside) == (0, 0, 2, 2, 2)


async def test_own_tasks_in_other_contexts(desk: Desk) -> None:
    """A tenant that spreads over contexts has its turns in all of them; what comes first is known all the same."""
    contexts = (AGENT, "agent-2", "agent-3")
    await desk.worker("w", *contexts, slots=99)
    waiting = [(ACME, f"{context}-a{i}", context) for context in contexts for i in range(4)]
    waiting += [(GLOBEX, f"g{i}", AGENT) for i in range(6)]
    for home, task, context in waiting:
        await desk.wait(home, task, context=context)
    places = {task: await desk.place(home, task, context) for home, task, context in waiting}
    for before in range(18):
        (run,) = await desk.claim("w", 1)
        for context in desk.client.zrange(f"{{dispatch}}:where:{ACME}", 0, -1):  # a moment passes
            desk.client.zincrby(f"{{dispatch}}:where:{ACME}", -100, context)
        place = places[run.task]
        assert place is not None
        assert place.beside is not None
        assert before <= place.ahead + place.beside <= before + (0 if run.home == ACME else 2), run.task


async def test_more_than_is_looked_at(desk: Desk) -> None:
    """Behind more than 200 tenants nobody counts: those looked at are the least that come first."""
    for i in range(230):
        await desk.wait(f"orchestrator:t{i:03}:callbacks", f"t{i}")
    await desk.wait("orchestrator:zz:callbacks", "mine")
    place = await desk.place("orchestrator:zz:callbacks", "mine")
    assert place is not None
    assert (place.ahead, place.more) == (200, True)


async def test_own_tasks_that_are_looked_at(desk: Desk) -> None:
    """Of a tenant's own 200 are looked at in a call, not 200 in each of its contexts: each is read from Redis."""
    contexts = [f"agent-{number}" for number in range(20)]
    for context in contexts:
        names = [f"task-{context}-{number}" for number in range(100)]
        await desk.wait(ACME, *names, context=context)
    asked = [Asked(f"task-{context}-99", 1, context, "free") for context in contexts]
    before = desk.reads()
    told = await desk.explanations.explain(ACME, asked)
    assert desk.reads() - before < 300
    assert [place and place.own for place, _ in told] == [99] * 20


async def test_ended_tasks_are_no_longer_ahead(desk: Desk) -> None:
    """Whichever is asked for first, and however far back."""
    await desk.wait(ACME, *[f"task-{number}" for number in range(12)])
    await desk.dispatch.finish([("task-1", 0), ("task-4", 0), ("task-9", 0)])
    asked = [Asked(f"task-{number}", 1, AGENT, "free") for number in (0, 5, 3, 11)]
    told = await desk.explanations.explain(ACME, asked)
    assert [place and place.own for place, _ in told] == [0, 3, 2, 8]


async def test_cap(desk: Desk) -> None:
    """A tenant's runs and its cap are told, and in how many contexts it is held back."""
    await desk.worker("w", slots=99)
    await desk.wait(ACME, "a1", "a2", "a3", cap=2)
    assert len(await desk.claim("w", 9)) == 2
    place = await desk.place(ACME, "a3")
    assert place is not None
    assert (place.own, place.ahead, place.running, place.cap, place.capped_contexts) == (0, 0, 2, 2, 1)


async def test_not_there(desk: Desk) -> None:
    """What does not wait in the dispatch has no place: unknown, another attempt, claimed, or over."""
    await desk.worker("w")
    await desk.wait(ACME, "a1", "a2")
    await desk.claim("w")
    assert await desk.place(ACME, "a1") is None
    assert await desk.place(ACME, "a2", attempt=2) is None
    assert await desk.place(ACME, "nobody") is None
    assert await desk.place(GLOBEX, "a2") is None
    await desk.dispatch.finish([("a2", 0)])
    assert await desk.place(ACME, "a2") is None


async def test_workers(desk: Desk) -> None:
    """Live workers of the context and their slots are told, and whether one of them has a slot left."""
    assert await desk.supply() == Supply()
    await desk.worker("w1", slots=3)
    await desk.worker("w2", "agent-2", slots=5)
    await desk.claim("w1", 3)
    supply = await desk.supply()
    assert (supply.workers, supply.slots, supply.idle, supply.run_seconds) == (1, 3, True, None)
    await desk.wait(ACME, "a1")
    await desk.claim("w1", 1)
    assert not (await desk.supply()).idle
    desk.client.zadd("{dispatch}:workers", {"w1": 1})
    assert (await desk.supply()).workers == 0


async def test_runs_teach_how_long_they_take(desk: Desk) -> None:
    """After a run its seconds and deviation are told."""
    await desk.worker("w")
    await desk.wait(ACME, "a1")
    await desk.claim("w")
    desk.client.hincrby("{dispatch}:l:a1", "start", -10_000)
    await desk.dispatch.finish([("a1", 1)], "w")
    supply = await desk.supply()
    assert supply.run_seconds is not None
    assert 10 <= supply.run_seconds < 11
    assert 4.5 <= supply.deviation < 5.5


async def test_turnover(desk: Desk) -> None:
    """What agents of any kind began and what runs is told by queue; starts count less as they age."""
    until = int(desk.client.time()[0] + 60) * 1_000_000
    await desk.explanations.note([Turnover(AGENT, "free", 4, [("t1", until), ("t2", until)], [])])
    await desk.explanations.note([Turnover(AGENT, "advance", 1, [("t3", until), ("t4", 1)], [])])
    supply = await desk.supply()
    assert (round(supply.starts), supply.running, supply.context_running) == (4, 2, 3)
    assert desk.client.zrange("{dispatch}:runs:agent-1:advance", 0, -1) == [b"t3"]
    assert supply.silence_seconds is not None
    assert supply.silence_seconds < 5

    desk.client.hincrby("{dispatch}:s:agent-1:free", "at", -60_000)
    desk.client.hincrby("{dispatch}:c:agent-1", "started", -90_000)
    await desk.explanations.note([Turnover(AGENT, "free", 0, [], ["t1"])])
    supply = await desk.supply()
    assert 1.3 < supply.starts < 1.5
    assert (supply.running, supply.context_running) == (1, 2)
    assert supply.silence_seconds is not None
    assert 90 <= supply.silence_seconds < 95
