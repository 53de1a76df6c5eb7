"""How commands show records: columns for people, a JSON array for programs."""

from collections.abc import Sequence

import click
import msgspec

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def show_json(value: object) -> None:
    """Prints `value`, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints the rows under a header, each column as wide as its widest cell."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def yes_or_no(value: bool) -> str:
    """A flag in a column."""
    return "yes" if value else "no"
