"""For the tests of an agent: runs one task of it without Redis."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from orchestrator.protocol.tiers import Tier
from orchestrator.worker.agent_worker import AgentWorker
from orchestrator.worker.answer import Handler
from orchestrator.worker.reports import Question
from orchestrator.worker.trial import AS_DECLARED, Outcome, Sample, Trial

__all__ = ["Outcome", "run_task"]


async def run_task(
    target: AgentWorker | Handler,
    message: str,
    *,
    agent: str | None = None,
    tier: Tier = "professional",
    user_info: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    attempt: int = 1,
    timeout: float = 300.0,
    resources: Any = AS_DECLARED,
    messages: Sequence[str] = (),
    answers: Sequence[Any] = (),
) -> Outcome:
    """Runs `message` as a task of `target`, a worker or the function of an agent.

    Of a worker with several agents `agent` names one. `resources` takes the place of what the
    worker's lifespan opens. `task.messages()` gives `messages` the first time; `task.ask()` gets
    `answers`, one after the other, and expires when there are no more. An exception other than
    TaskError is raised as it is, where viewers would see a general sentence.
    """
    left = list(answers)

    async def answer(_: Question) -> Any:
        return left.pop(0) if left else msgspec.UNSET

    sample = Sample(
        message=message,
        agent=agent,
        tier=tier,
        user_info=dict(user_info or {}),
        metadata=dict(metadata or {}),
        attempt=attempt,
        timeout=timeout,
        messages=messages,
    )
    trial = Trial(target, sample, answer=answer)
    outcome = await trial.run(resources)
    if trial.exception:
        raise trial.exception
    return outcome
