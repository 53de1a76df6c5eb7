"""The root of all commands."""

import click


@click.group()
def main() -> None:
    """The Orchestrator."""
