"""Whose task is next, by three rules, on the same load; writes the table and the plot of docs/fairness.md."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import redis

from benchmarks.fairness import plot
from benchmarks.fairness.cases import CASES, Case
from benchmarks.fairness.empty_queues import costs
from benchmarks.fairness.real import measured
from benchmarks.fairness.rules import Ours, RoundRobin, Strict
from benchmarks.fairness.simulation import Run, simulate
from benchmarks.valkey import running_valkey

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
MARKS: Final = ("<!-- table -->\n", "<!-- /table -->")
RULES: Final = (Ours.name, Strict.name, RoundRobin.name)
EMPTY: Final = (
    "**10 000 empty queues**: CPU of Redis for each task, µs, with 10 agents → with 10 000. "
    "Ours has all its steps in it, the others one `BRPOP`"
)  # fmt: skip


def run() -> None:
    """Every case by every rule, then the same first case in real time."""
    with TemporaryDirectory() as folder, running_valkey(Path(folder)) as valkey:
        client: Any = redis.Redis.from_url(valkey.url)  # pyright: ignore[reportUnknownMemberType]
        with client:
            found = [asyncio.run(_by_every_rule(make(), client)) for make in CASES]
            empty = costs(client, valkey.pid)
    lines = [f"| case | {' | '.join(RULES)} |", "|---|---|---|---|"]
    lines += [
        _row(f"**{case.name}**: {case.says}", [case.look(by[name]) for name in RULES]) for case, by in found
    ]
    lines.append(_row(EMPTY, empty))
    table = "\n".join([*lines, "", measured(), ""])
    print(table)
    plot.draw(found, DOCS / "fairness.svg")
    _write(table)


async def _by_every_rule(case: Case, client: Any) -> tuple[Case, dict[str, list[Run]]]:
    makers: tuple[Callable[[], Ours | Strict | RoundRobin], ...] = (lambda: Ours(client), Strict, RoundRobin)
    by_rule: dict[str, list[Run]] = {}
    for make in makers:
        rule = make()
        rule.serve(case.contexts)
        by_rule[rule.name] = await simulate(rule, case.tasks, case.slots, case.until)
    return case, by_rule


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _write(table: str) -> None:
    page = DOCS / "fairness.md"
    before, rest = page.read_text().split(MARKS[0])
    page.write_text(before + MARKS[0] + table + MARKS[1] + rest.split(MARKS[1])[1])
