"""docs/errors.md says what the service does about errors, and what a client does."""

from pathlib import Path
from typing import Final

from orchestrator.api.description.endings import CLOSE_CODES, ENDING_CODES
from orchestrator.api.description.problems import REFUSALS
from orchestrator.errors import ALL_CODES, CODES

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "errors.md"


def rows(heading: str) -> list[str]:
    """The rows of the table under a heading, without its head."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ") and "`" in line]


def test_every_code_is_explained() -> None:
    """One row a code, in the table's order: status, code, title, when, and what a client does."""
    assert rows("Refusals") == [
        f"| {CODES[code][0]} | `{code}` | {CODES[code][1]} | {REFUSALS[code].when} | {REFUSALS[code].then} |"
        for code in ALL_CODES
    ]


def test_every_close_code_is_explained() -> None:
    """One row a meaning, with its codes."""
    assert rows("When a WebSocket closes") == [
        f"| {', '.join(f'`{code}`' for code in row.codes)} | {row.meaning} | {row.then} |"
        for row in CLOSE_CODES
    ]


def test_every_ending_code_is_explained() -> None:
    """One row a code of the service's own."""
    assert rows("When a task does not complete") == [
        f"| `{code}` | {when} |" for code, when in ENDING_CODES.items()
    ]
