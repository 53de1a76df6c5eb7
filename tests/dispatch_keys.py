"""Makes every key of the dispatch come up, as workers of the SDK and the service do."""

from typing import Final

from orchestrator.broker.broker import Broker, Keeping
from orchestrator.broker.dispatch import Dispatch, Waiting
from orchestrator.broker.keys import Keys

_KEEPING: Final = Keeping(3_600, 86_400, 1_000, 2**20, 3, 15.0)


async def use_dispatch(redis_url: str, home: str) -> None:
    """Three workers, a tenant under its cap, a run that was taken away, and something that waits."""
    async with Broker(redis_url, Keys("orchestrator", "orchestrator"), _KEEPING) as broker:
        dispatch = Dispatch(broker.run)
        for worker in ("w1", "w2"):
            await dispatch.register(worker, ["agent-8", "agent-9"], 4, 60_000)
            await dispatch.claim(worker, 60_000, 1)
        await dispatch.register("w3", ["agent-7"], 4, 60_000)
        await dispatch.register("w3", ["agent-7", "agent-8"], 4, 60_000)
        await dispatch.ready(
            [Waiting(f"task-d{number}", 1, "agent-9", "free", home, 1, 2) for number in range(4)]
        )
        await dispatch.claim("w1", 60_000, 3)
        await dispatch.overdue("orchestrator", 1)
        await dispatch.pause("task-d0", 1)
        await dispatch.ready([Waiting("task-d9", 1, "agent-8", "free", home, 1, 2)])
        await dispatch.claim("w2", 60_000, 1)
        await dispatch.finish([("task-d1", 1)], tell=True)
        for worker in ("w1", "w2"):
            await dispatch.claim(worker, 60_000, 9)
        await dispatch.ready([Waiting("task-d8", 1, "agent-8", "free", "other:t2:callbacks")])
