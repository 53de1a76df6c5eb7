"""`orchestrator settings`: what the service would run with."""

import os
from collections.abc import Sequence
from typing import Any, cast

import click
import msgspec

from orchestrator.settings import Settings, ShownSetting


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def settings(as_json: bool) -> None:
    """Show every setting with its value and where the value came from.

    Secrets are masked, also inside URLs. A bad setting ends this command as it would end the
    service: exit code 2, and one line for each.
    """
    found = Settings.from_environment(os.environ)
    for warning in found.warnings:
        click.echo(warning, err=True)
    rows = found.shown()
    click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode() if as_json else _table(rows))


def _table(rows: Sequence[ShownSetting]) -> str:
    width = max(len(row.name) for row in rows)
    return "\n".join(f"{row.name:<{width}}  {row.source:<11}  {_text(row.value)}".rstrip() for row in rows)


def _text(value: Any) -> str:
    """A value as one would type it into the environment."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ",".join(cast("tuple[str, ...]", value))
    if isinstance(value, float):
        return f"{value:g}"
    return msgspec.json.encode(value).decode()
