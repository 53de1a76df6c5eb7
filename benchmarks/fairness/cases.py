"""The cases in which a rule shows what it is worth, each with a seed of its own."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import msgspec

from benchmarks.fairness.simulation import Run, Task
from orchestrator.protocol.tiers import TIERS


class Case(msgspec.Struct, frozen=True):
    """A load, who works on it, and what is looked at."""

    name: str
    says: str
    tasks: list[Task]
    slots: int
    until: float
    look: Callable[[Sequence[Run]], str]
    watched: Callable[[Sequence[Run]], Sequence[Run]] | None = None
    """The runs whose waiting times are drawn; none: what each tenant got is."""

    @property
    def contexts(self) -> list[str]:
        """What the workers serve."""
        return sorted({task.context for task in self.tasks})


def _waiting(runs: Sequence[Run]) -> str:
    found = sorted(run.waited for run in runs)
    middle, high = found[len(found) // 2], found[int(len(found) * 0.95)]
    return f"{middle:.1f} / {high:.1f} / {found[-1]:.1f}"


def _of_light(runs: Sequence[Run]) -> Sequence[Run]:
    return [run for run in runs if run.task.tenant == "light"]


def _first_of_each(runs: Sequence[Run]) -> Sequence[Run]:
    return list({run.task.tenant: run for run in reversed(runs)}.values())


def _seconds(tenants: Sequence[str], until: float) -> Callable[[Sequence[Run]], str]:
    def look(runs: Sequence[Run]) -> str:
        each = [
            sum(run.worked_until(until) for run in runs if run.task.tenant == tenant) for tenant in tenants
        ]
        return " : ".join(f"{seconds:.0f}" for seconds in each)

    return look


def _task(number: int, tenant: str, at: float, seconds: float, context: str = "agent-1") -> Task:
    return Task(f"task-{tenant}-{number}", tenant, context, at, seconds)


def _now_and_then(random: Random, tenant: str, count: int, every: float, context: str) -> list[Task]:
    moments = [random.uniform(0.8, 1.2) * every * (number + 1) for number in range(count)]
    return [_task(number, tenant, at, random.uniform(0.8, 1.2), context) for number, at in enumerate(moments)]


def heavy_and_light() -> Case:
    """One tenant pours a thousand tasks in at once, another one sends one now and then."""
    random = Random(1)
    heavy = [_task(number, "heavy", 0, random.uniform(0.8, 1.2)) for number in range(1_000)]
    light = _now_and_then(random, "light", 40, 5, "agent-1")
    return Case(
        "heavy + light",
        "one tenant has 1 000 tasks at once, the other one task every 5 s; 4 slots. "
        "The light one waits (median / p95 / most)",
        heavy + light, 4, 1_000, lambda runs: _waiting(_of_light(runs)), _of_light,
    )  # fmt: skip


def flood_over_agents() -> Case:
    """The same flood, over a hundred agents."""
    random = Random(2)
    flood = [
        _task(number, "heavy", 0, random.uniform(0.8, 1.2), f"agent-{number % 100}")
        for number in range(1_000)
    ]
    light = _now_and_then(random, "light", 40, 5, "agent-7")
    return Case(
        "flood over 100 agents",
        "the same 1 000 tasks over 100 agents; 4 slots. The light one waits (median / p95 / most)",
        flood + light, 4, 1_000, lambda runs: _waiting(_of_light(runs)), _of_light,
    )  # fmt: skip


def few_long_runs() -> Case:
    """One tenant's runs take a hundred times as long."""
    long = [_task(number, "long", 0, 100, "agent-1") for number in range(100)]
    short = [_task(number, "short", 0, 1, "agent-2") for number in range(8_000)]
    return Case(
        "few long runs",
        "runs of 100 s against runs of 1 s, both more than can be done; 8 slots. "
        "Seconds of agents within 800 s (long : short)",
        long + short, 8, 800, _seconds(("long", "short"), 800),
    )  # fmt: skip


def four_tiers() -> Case:
    """A tenant of each tier, all with more than can be done."""
    tasks = [
        msgspec.structs.replace(_task(number, tier, 0, 1), tier=tier)
        for number in range(1_500)
        for tier in TIERS
    ]
    return Case(
        "tiers 1 : 2 : 4 : 8",
        "a tenant of each tier, each with more than can be done; 4 slots. Seconds of agents within 300 s",
        tasks, 4, 300, _seconds(TIERS, 300),
    )  # fmt: skip


def many_tenants() -> Case:
    """Two hundred tenants, three slots."""
    random = Random(5)
    tasks = [
        _task(number, f"tenant-{tenant:03}", tenant * 0.01, random.uniform(0.8, 1.2))
        for tenant in range(200)
        for number in range(5)
    ]
    return Case(
        "more tenants than workers",
        "200 tenants come one after the other with 5 tasks each; 3 slots. "
        "A tenant waits for its first (median / p95 / most)",
        tasks, 3, 1_000, lambda runs: _waiting(_first_of_each(runs)), _first_of_each,
    )  # fmt: skip


CASES: Final = (heavy_and_light, flood_over_agents, few_long_runs, four_tiers, many_tenants)
