"""`orchestrator dev`: everything on this machine, with demo data."""

import os
from pathlib import Path

import click

from orchestrator.development import Development


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Folder for Valkey's and SQLite's data.",
)
@click.option("--host", help="Address to listen on, in place of ORCHESTRATOR_HOST.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port, in place of ORCHESTRATOR_PORT.")
def dev(data: Path, host: str | None, port: int | None) -> None:
    """Start Valkey, the service and a worker with demo agents, and keep them running.

    Nothing else is needed. Settings in the environment are honoured: with REDIS_URL no Valkey is
    started, with DATABASE_URL no SQLite file is made.
    """
    environment = dict(os.environ)
    if host is not None:
        environment["ORCHESTRATOR_HOST"] = host
    if port is not None:
        environment["ORCHESTRATOR_PORT"] = str(port)
    Development(data, environment, click.echo).run()
