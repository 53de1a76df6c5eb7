"""Whose task comes first, where all that waits was pushed by somebody who tells nobody."""

from statistics import mean

from tests.worker.service import Service, running

from orchestrator.broker.agent_queues import PAGE
from orchestrator.protocol.tiers import TIERS
from orchestrator.worker import AgentWorker, Task


async def test_tiers_share_by_weight(service: Service, worker: AgentWorker) -> None:
    """Of tenants that all have work, those of higher tiers get more turns, and everybody gets some at once."""
    served: list[str] = []

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        served.append(task.tier)
        return "done"

    for tier in TIERS:
        for _message in range(20):
            await service.send(tier=tier, callback_queue=f"orchestrator:{tier}:callbacks")
    worker.concurrency = 1
    async with running(worker):
        for tier in TIERS:
            for _message in range(40):  # `running` and the ending of each
                assert await service.redis.brpop([f"orchestrator:{tier}:callbacks"], timeout=10)

    turns = {tier: [turn for turn, other in enumerate(served) if other == tier] for tier in TIERS}
    assert mean(turns["enterprise"]) < mean(turns["free"])
    assert mean(turns["professional"]) < mean(turns["free"])
    assert max(turn[0] for turn in turns.values()) < 12


async def test_a_tenant_gets_its_tasks_in_order(service: Service, worker: AgentWorker) -> None:
    """What one tenant sent to one agent is begun in the order in which it was sent, also over the end of a page."""
    begun: list[str] = []

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        begun.append(task.message)
        return "done"

    sent = [str(number) for number in range(PAGE + 50)]
    for message in sent:
        await service.send(message)
    worker.concurrency = 1
    async with running(worker):
        for _message in sent:
            await service.ending()

    assert begun == sent


async def test_contexts_take_turns(service: Service, worker: AgentWorker) -> None:
    """A tenant's flood for one agent does not keep another tenant waiting who asks another agent of the worker."""
    served: list[str] = []

    @worker.agent("agent-123", "agent-456")
    async def _(task: Task) -> str:
        served.append(task.context.context_id)
        return "done"

    for _message in range(20):
        await service.send()
    await service.send(context="agent-456", callback_queue="orchestrator:other:callbacks")
    worker.concurrency = 1
    async with running(worker):
        for _message in range(20):
            await service.ending()

    assert served.index("agent-456") < 10
