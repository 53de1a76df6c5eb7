"""`orchestrator worker`: runs agents written with the SDK."""

import asyncio
import importlib
import os
import signal
import sys
import traceback
from pathlib import Path

import click

from orchestrator.settings import Settings
from orchestrator.telemetry import Log, configure_logging
from orchestrator.worker import AgentWorker


@click.command()
@click.argument("target", metavar="MODULE:WORKER")
@click.option("--concurrency", type=click.IntRange(min=1), help="How many tasks to run at a time.")
@click.option(
    "--stop-timeout",
    type=click.FloatRange(min=0),
    help="How many seconds running tasks may still take once it is asked to stop.",
)
def worker(target: str, concurrency: int | None, stop_timeout: float | None) -> None:
    """Run the agents of WORKER, an AgentWorker in MODULE.

    MODULE is importable from the current directory. REDIS_URL says where the queues are. SIGTERM
    and Ctrl-C let running tasks end; a second one does not wait for them.
    """
    settings = Settings.from_environment(os.environ)
    log = configure_logging(settings.log_level, settings.log_format, settings.domain_name)
    found = _found(target)
    if concurrency:
        found.concurrency = concurrency
    if stop_timeout is not None:
        found.stop_timeout = stop_timeout
    if not found.context_ids:
        raise click.UsageError(f"{target} serves nothing: declare an agent with @worker.agent(…)")
    click.echo(f"Serving {', '.join(found.context_ids)}; up to {found.concurrency} tasks at a time.")
    try:
        asyncio.run(_run(found, log))
    except asyncio.CancelledError:
        raise click.exceptions.Exit(130) from None


def _found(target: str) -> AgentWorker:
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise click.UsageError(f"{target!r} is not of the form MODULE:WORKER")
    module = _imported(module_name)
    found: object = getattr(module, attribute, None)
    if found is None:
        raise click.UsageError(f"module {module_name!r} has no {attribute!r}")
    if not isinstance(found, AgentWorker):
        raise click.UsageError(f"{target} is of type {type(found).__name__}, not AgentWorker")
    return found


def _imported(name: str) -> object:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise click.UsageError(f"there is no module {name!r} here or among the installed ones") from error
        raise _import_failed(name, error) from error
    except Exception as error:
        raise _import_failed(name, error) from error


def _import_failed(name: str, error: Exception) -> click.ClickException:
    """One line with the place in the author's file, which is what they need to mend it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{last.filename}:{last.lineno}"
    return click.ClickException(f"importing {name!r} failed: {type(error).__name__}: {error} ({place})")


async def _run(worker: AgentWorker, log: Log) -> None:
    """Runs until a signal asks to stop; the next one cancels, which raises CancelledError here."""
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(worker.run(log))
    stops: list[asyncio.Task[None]] = []

    def stop() -> None:
        if stops:
            work.cancel()
        stops.append(loop.create_task(worker.stop()))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await work
