"""docs/fairness.md says what the rule is worth; its figures are those of the scripts as they are."""

import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from benchmarks.fairness.cases import Case, heavy_and_light, many_tenants
from benchmarks.fairness.rules import Ours, RoundRobin, Strict
from benchmarks.fairness.simulation import simulate
from tests.pages import page

# Case, what is looked at, and a cell for each rule.
_ROW: Final = re.compile(r"^\| \*\*(.*?)\*\*.*? \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)
TABLE: Final = {row[1]: list(row.groups()[1:]) for row in _ROW.finditer(page("docs/fairness.md"))}


@pytest.mark.parametrize("make", [heavy_and_light, many_tenants], ids=lambda make: make.__name__)
async def test_the_table_is_what_is_measured(make: Callable[[], Case], client: Any) -> None:
    """The same load by the same rules has the figures of the page: seeds and clock are the simulation's own."""
    case, cells = make(), list[str]()
    for rule in (Ours(client), Strict(), RoundRobin()):
        rule.serve(case.contexts)
        cells.append(case.look(await simulate(rule, case.tasks, case.slots, case.until)))
    client.delete("{dispatch}:clock")  # the simulation's, which needs no end
    assert cells == TABLE[case.name]
