"""docs/fairness.md says what the rule is worth; its figures are those of the scripts as they are."""

import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from benchmarks.fairness.cases import Case, heavy_and_light, many_tenants
from benchmarks.fairness.rules import Ours, RoundRobin, Strict
from benchmarks.fairness.simulation import simulate
from tests.broker.tenant import KEEPING
from tests.pages import page

from orchestrator.broker.broker import Broker
from orchestrator.broker.dispatch import Dispatch
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

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


async def test_the_clock_of_the_simulation_is_its_own(client: Any, valkey: ValkeyServer) -> None:
    """Functions of a server are there for everybody: the simulation's have names of their own."""
    Ours(client)
    async with Broker(valkey.url, Keys("orchestrator", "orchestrator"), KEEPING) as broker:
        dispatch = Dispatch(broker.run)
        await dispatch.register("w1", ["agent-1"], 1, 15_000)
        assert await dispatch.claim("w1", 15_000, 1) == []
    client.flushall()
