"""The pages belong together: links lead somewhere, names exist, tables are those of the code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.pages import ROOT, SOURCE, code, page, rows, section

from orchestrator.metrics import Counter, Gauge, Histogram
from orchestrator.protocol.tasks import ENDINGS, OPEN, TRANSITIONS, Status
from orchestrator.telemetry import LogEvent

PAGES: Final = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file that is there, and a heading that it has."""
    for link in _LINK.findall(path.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def anchors(path: Path) -> set[str]:
    """What links may name in a page: its headings, as they are spelled in addresses."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    """docs/README.md leads to each page of docs."""
    index = (ROOT / "docs" / "README.md").read_text()
    linked = {(ROOT / "docs" / link).resolve() for link in _LINK.findall(index)}
    assert {path for path in PAGES if path.parent != ROOT} - linked == {ROOT / "docs" / "README.md"}


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/redis-keys.md", *(
    str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))
)])  # fmt: skip
def test_files_that_are_named_exist(name: str) -> None:
    """A file in backquotes is one of the source, of the scripts or of the project."""
    for named in code(page(name)):
        if re.fullmatch(r"[\w/]+\.(py|lua)", named):
            places = (
                ROOT / named,
                SOURCE / named,
                SOURCE / "broker" / "lua" / named,
                SOURCE / "protocol" / named,
            )
            assert any(place.exists() for place in places), f"{named} does not exist"


def test_every_script_is_explained() -> None:
    """docs/architecture.md names each Lua file."""
    there = {path.name for path in (SOURCE / "broker" / "lua").glob("*.lua")}
    assert there <= set(code(section(page("docs/architecture.md"), "## One script per direction")))


def test_the_tree_is_the_tree() -> None:
    """The tree of the architecture has every package and module of the first level, and no other."""
    tree = section(page("docs/architecture.md"), "## The tree")
    shown = set(re.findall(r"\b([a-z_]+\.py|[a-z_]+/)(?=[\s;,]|$)", tree))
    there = {path.name for path in SOURCE.glob("[a-z]*.py")}
    # A folder that is empty, or has only what Python cached, is none of ours.
    folders = {path.parent for kind in ("py", "js") for path in SOURCE.glob(f"*/*.{kind}")}
    there |= {f"{folder.name}/" for folder in folders}
    assert shown - {"orchestrator/", "lua/", "description/", "routes.py"} == there


def test_the_life_cycle_is_drawn_from_the_table() -> None:
    """docs/architecture.md has the life of a task as protocol/tasks.py has it."""
    text = page("docs/architecture.md")
    drawn = text.split("<!-- transitions -->\n")[1].split("<!-- /transitions -->")[0]
    assert drawn == life_cycle(), f"the page should have:\n{life_cycle()}"


def life_cycle() -> str:
    """The table of transitions: from top to bottom what a task is, from left to right what it may become."""
    statuses: tuple[Status, ...] = (*OPEN, *ENDINGS)
    lines = [["from ↓ to →", *statuses], ["---", *(":-:" for _ in statuses)]]
    lines += [[f"**{was}**", *("●" if to in TRANSITIONS[was] else "" for to in statuses)] for was in statuses]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def test_metrics_are_documented_as_they_are() -> None:
    """docs/operations.md has a row for each metric, with its type and labels."""
    found = [(code(name)[0], kind, code(labels)) for name, kind, labels, _ in section_rows("## Metrics")]
    assert sorted(found) == sorted(metrics())


def metrics() -> Iterator[tuple[str, str, list[str]]]:
    """Name, type and labels of each metric."""
    for kind, declared in (("counter", Counter), ("gauge", Gauge), ("histogram", Histogram)):
        for metric in declared:
            yield metric.value.name, kind, list(metric.value.labels)


def test_log_events_are_documented_as_they_are() -> None:
    """docs/operations.md has a row for each log event; those without a level are those that nobody writes."""
    found = {code(name)[0]: level for name, level, _ in section_rows("## Logs")}
    assert set(found) == {event.value for event in LogEvent}
    source = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    unwritten = {event.value for event in LogEvent if f"LogEvent.{event.name}" not in source}
    assert {name for name, level in found.items() if level == "–"} == unwritten


def section_rows(heading: str) -> list[list[str]]:
    """The rows of a section of docs/operations.md."""
    return list(rows(section(page("docs/operations.md"), heading)))
