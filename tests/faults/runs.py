"""Whole runs: a deployment, an experiment on it, the verdict."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.deployment import deployment
from tests.faults.experiment import Experiment
from tests.faults.fault import Fault
from tests.faults.plan import Load, Plan
from tests.faults.report import histories, summary
from tests.faults.verdict import judge


class Outcome(NamedTuple):
    """What a run came to; `histories` are those of its violations."""

    figures: dict[str, Any]
    histories: list[str]


async def run(
    seconds: float,
    seed: int,
    faults: Sequence[type[Fault]],
    *,
    load: Load | None = None,
    replicas: int = 3,
    at_once: int = 2,
    keep: Path | None = None,
) -> Outcome:
    """Loads a new deployment for so many seconds, lets these faults strike it, and judges."""
    tell("starting Valkey, Postgres, replicas and workers")
    plan = Plan(seed, load or Load())
    # Of a task whose last callback was taken back nobody knows any more that it is over: its deadline ends it.
    loses = any(fault.takes_back for fault in faults)
    settings = {"ORCHESTRATOR_TASK_TIMEOUT": "30"} if loses else {}
    async with deployment(plan, replicas=replicas, keep=keep, **settings) as made:
        record = await Experiment(made, plan, seed, tell, at_once=at_once).run(seconds, faults)
        verdict = judge(record)
        return Outcome(summary(record, verdict), list(histories(record, verdict, made.logs())))


def tell(line: str) -> None:
    """Progress, beside the result."""
    print(line, file=sys.stderr, flush=True)
