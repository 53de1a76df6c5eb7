"""`orchestrator serve`: the service on the Redis and the database of the settings."""

import os
import socket

import click

from orchestrator.app import create_app
from orchestrator.listener import listen
from orchestrator.server import WORKER_GROUP, run, run_workers
from orchestrator.settings import Settings


@click.command()
@click.option("--workers", type=click.IntRange(1, 256), default=1, help="Processes on the one port.")
@click.option("--host", help="Address to listen on, in place of ORCHESTRATOR_HOST.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port, in place of ORCHESTRATOR_PORT.")
@click.option("--fd", type=int, hidden=True, help="A listening socket of the parent process.")
def serve(workers: int, host: str | None, port: int | None, fd: int | None) -> None:
    """Start the service and run it until SIGTERM or Ctrl-C.

    It then takes nothing new, moves its sockets to other replicas, finishes what it has in hand and
    ends with exit code 0. A second Ctrl-C ends it at once.
    """
    environment = dict(os.environ)
    environment.pop(WORKER_GROUP, None)  # from our parent process; no setting of a user's
    if host is not None:
        environment["ORCHESTRATOR_HOST"] = host
    if port is not None:
        environment["ORCHESTRATOR_PORT"] = str(port)
    settings = Settings.from_environment(environment)
    listener = listen(settings.host, settings.port) if fd is None else socket.socket(fileno=fd)
    with listener:
        if workers == 1:
            run(create_app(settings), settings, listener)
        else:
            run_workers(settings, workers, listener, environment)
