"""`orchestrator worker`: runs agents written with the SDK."""

import asyncio
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import click
import uvloop

from orchestrator.cli import worker_target
from orchestrator.cli.examples import example
from orchestrator.cli.worker_test import worker_test
from orchestrator.garbage import collect_rarely
from orchestrator.settings import Settings
from orchestrator.telemetry import Log, configure_logging
from orchestrator.worker import AgentWorker

_SECONDS_BEFORE_RELOAD: Final = 1.0
"""Whoever saves a file wants to see the new code, and tasks that run are tried again with it."""
_LAST_WORDS: Final = 15.0
"""Seconds beyond those, in which a worker hands over its tasks and its agents clean up."""
_CLEANING_UP: Final = 1.0


class _Worker(click.Command):
    """`worker MODULE:WORKER`, except that `worker test …` is a command of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] != ["test"]:
            return super().make_context(info_name, args, parent, **extra)
        return worker_test.make_context(f"{info_name} test", args[1:], parent, **extra)


@click.command(
    cls=_Worker,
    epilog=example(
        "orchestrator worker agents:worker                   the `worker` in agents.py",
        "orchestrator worker agents:worker --concurrency 64  for agents that mostly wait",
        "orchestrator worker agents:worker --reload          again at every change of a .py file",
        "orchestrator worker test agents:worker 'Hello'      one task, without Redis",
        "orchestrator worker test --help                     more about that",
    ),
)
@click.argument("target", metavar="MODULE:WORKER")
@click.option("--concurrency", type=click.IntRange(min=1), help="How many tasks to run at a time.")
@click.option(
    "--stop-timeout",
    type=click.FloatRange(min=0),
    help="How many seconds running tasks may still take once it is asked to stop.",
)
@click.option(
    "--reload",
    is_flag=True,
    help="For development: start again at every change of a .py file below the current directory.",
)
def worker(target: str, concurrency: int | None, stop_timeout: float | None, reload: bool) -> None:
    """Run the agents of WORKER, an AgentWorker in MODULE.

    MODULE is importable from the current directory. REDIS_URL says where the queues are. SIGTERM
    and Ctrl-C let running tasks end; a second one does not wait for them.

    With --reload a module that cannot be imported does no harm: the fault is shown, and the next
    change is waited for. Running tasks get one second then, unless --stop-timeout says otherwise.
    """
    settings = Settings.from_environment(os.environ)
    if reload:
        worker_target.named(target)
        # What watches files is slow to load, and nobody needs it in production.
        reload_module = importlib.import_module("orchestrator.cli.reload")
        seconds = _SECONDS_BEFORE_RELOAD if stop_timeout is None else stop_timeout
        command = _again(target, concurrency, seconds)
        reloader = reload_module.Reloader(command, Path.cwd(), click.echo, seconds + _LAST_WORDS)
        raise click.exceptions.Exit(reloader.run())
    log = configure_logging(settings.log_level, settings.log_format, settings.domain_name)
    found = worker_target.found(target)
    if concurrency:
        found.concurrency = concurrency
    if stop_timeout is not None:
        found.stop_timeout = stop_timeout
    click.echo(f"Serving {', '.join(found.context_ids)}; up to {found.concurrency} tasks at a time.")
    collect_rarely()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        raise click.exceptions.Exit(runner.run(_run(found, log)))


def _again(target: str, concurrency: int | None, stop_timeout: float) -> list[str]:
    """The same command without --reload."""
    more = [] if concurrency is None else ["--concurrency", str(concurrency)]
    return [
        sys.executable,
        "-m",
        "orchestrator",
        "worker",
        target,
        "--stop-timeout",
        f"{stop_timeout:g}",
        *more,
    ]


async def _run(worker: AgentWorker, log: Log) -> int:
    """Runs until a signal asks to stop, and gives 0; the next one cancels: 130."""
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(worker.run(log))
    stops: list[asyncio.Task[None]] = []

    def stop() -> None:
        if stops:
            work.cancel()
        stops.append(loop.create_task(worker.stop()))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    code = 0
    try:
        await work
    except asyncio.CancelledError:
        code = 130
    await _leave(code)
    return code


async def _leave(code: int) -> None:
    """Ends the process at once where an agent goes on that ignores its cancellation."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=_CLEANING_UP))[1]:
        # `asyncio.run` would wait for it for ever.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
