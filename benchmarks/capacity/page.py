"""docs/capacity.md: the costs, and what `orchestrator bench plan` says by them, are those of the code."""

import re
import shlex
from typing import Final

from click.testing import CliRunner

from benchmarks.compare.results import HERE
from orchestrator.capacity.costs import known_figures
from orchestrator.cli.main import main

PAGE: Final = HERE.parent / "docs" / "capacity.md"
_SESSION: Final = re.compile(r"^```text\n\$ orchestrator (.*)\n(?:.*\n)*?```$", re.MULTILINE)
_COSTS: Final = re.compile(r"(?<=<!-- costs -->\n)(?:.*\n)*?(?=<!-- /costs -->)")


def renewed(text: str) -> str:
    """The page with every command in it run again."""
    return _COSTS.sub(_table(), _SESSION.sub(lambda found: _session(found[1]), text))


def _session(command: str) -> str:
    result = CliRunner().invoke(main, shlex.split(command), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return f"```text\n$ orchestrator {command}\n{result.output.rstrip()}\n```"


def _table() -> str:
    rows = [
        f"| `{figure.name}` | {figure.value:g} {figure.unit} | {figure.means} | {figure.source} |"
        for figure in known_figures()
    ]
    return "\n".join(["| figure | | of what | from |", "|---|---|---|---|", *rows, ""])
