"""docs/troubleshooting.md has what `orchestrator doctor` may say, word for word."""

import re

from tests.pages import code, page, rows, section

from orchestrator.diagnosis.examine import CHECKS
from orchestrator.diagnosis.faults import Fault

PAGE = page("docs/troubleshooting.md")


def test_every_fault_has_its_row() -> None:
    """One row a fault, in their order, with its level and its remedy; and what one sees of it."""
    found = [(code(name)[0], level, remedy) for name, level, _, remedy in rows(PAGE)]
    assert found == [(fault.code, fault.value.level, fault.value.remedy) for fault in Fault]
    assert all(seen for _, _, seen, _ in rows(PAGE))


def test_the_example_is_one() -> None:
    """The page shows what the command prints: checks, codes and remedies that exist."""
    shown = PAGE.split("```text\n")[1].split("```")[0]
    checks = {check.name for check in CHECKS}
    for line in shown.splitlines():
        if line.startswith(" "):
            assert line.strip().removeprefix("-> ") in {fault.value.remedy for fault in Fault}
        else:
            assert line[6:18].strip() in checks
            assert set(re.findall(r"\[(\w+)\]", line)) <= {fault.code for fault in Fault}


def test_every_fault_is_found_in_a_test() -> None:
    """No fault is only in the table: the tests of the checks bring each about."""
    tests = "".join(page(f"tests/diagnosis/test_{name}.py") for name in SUBJECTS)
    untried = {fault.code for fault in Fault if f'"{fault.code}"' not in tests}
    assert untried == set()


SUBJECTS = ("configuration", "database", "servers", "rights", "replicas", "queues", "callers", "examine")


def test_it_is_where_one_looks() -> None:
    """The operations' page for the night leads there."""
    assert "(troubleshooting.md)" in section(page("docs/operations.md"), "## At three in the morning")
