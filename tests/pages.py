"""The project's pages, read by the tests that hold them to the code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src" / "orchestrator"

_CODE: Final = re.compile(r"`([^`]+)`")


class Block(NamedTuple):
    """A block of code and the language it says it is in."""

    language: str
    code: str


def page(name: str) -> str:
    """The text of a page, by its path below the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading (`## Keys`), up to the next one of that level."""
    marks = heading.split(" ", 1)[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^{marks} |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no heading {heading!r}"
    return found[1]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row, heads left out, of all tables in a text."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code(text: str) -> list[str]:
    """Everything that a text sets in backquotes."""
    return _CODE.findall(text)


def blocks(text: str) -> list[Block]:
    """The blocks of code in a text."""
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
