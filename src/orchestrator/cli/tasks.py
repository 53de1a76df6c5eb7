"""`orchestrator tasks`: where is this message?"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

import click
import msgspec

from orchestrator.auth.identity import tenant_wide
from orchestrator.broker.broker import Broker
from orchestrator.broker.explanations import Explanations
from orchestrator.broker.logs import Logs
from orchestrator.broker.tasks import Record, Tasks
from orchestrator.cli.administration import cancellation
from orchestrator.cli.deployment import TENANT_OPTION, tenants_of, with_broker
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json
from orchestrator.delivery.ledgers import Ledgers
from orchestrator.delivery.session_log import SessionLog
from orchestrator.dispatch.explanation import Explainer
from orchestrator.protocol.events import SessionName
from orchestrator.protocol.identifiers import is_valid_task_id
from orchestrator.protocol.ledger import Ledger
from orchestrator.protocol.position import parse_position

LOOK_SECONDS: Final = 0.25

AnswerT = TypeVar("AnswerT")


def _task_id(text: str) -> str:
    if not is_valid_task_id(text):
        raise click.BadParameter(f"{text!r} is no task id: they begin with `task-`")
    return text


_ID = click.argument("task_id", metavar="ID", type=_task_id)


@click.group(epilog=example("orchestrator tasks show task-4nNI3RugqphQ_mea4n-8kw"))
def tasks() -> None:
    """Show, cancel or follow a task."""


@tasks.command(epilog=example("orchestrator tasks show task-4nNI3RugqphQ_mea4n-8kw --tenant acme"))
@_ID
@TENANT_OPTION
@JSON_OPTION
def show(task_id: str, tenant: str | None, as_json: bool) -> None:
    """Show the ledger of a task: its status, when what happened, and its result or error."""
    owner, ledger = _of_owner(task_id, tenant, lambda broker, owner, _: _ledger(broker, owner, task_id))
    if as_json:
        return show_json([{"tenant_id": owner, **msgspec.to_builtins(ledger)}])
    return _print(owner, ledger)


@tasks.command(epilog=example("orchestrator tasks cancel task-4nNI3RugqphQ_mea4n-8kw"))
@_ID
@TENANT_OPTION
def cancel(task_id: str, tenant: str | None) -> None:
    """Cancel a task, at once and for every viewer; one that ended stays as it ended."""

    async def stop(broker: Broker, owner: str, _record: Record) -> Ledger:
        cancelling = cancellation(broker)
        await cancelling.cancel(tenant_wide(owner), task_id)
        await cancelling.settled()
        return await _ledger(broker, owner, task_id)

    _, ledger = _of_owner(task_id, tenant, stop)
    click.echo(f"{task_id} is {ledger.status}")


@tasks.command(epilog=example("orchestrator tasks follow task-4nNI3RugqphQ_mea4n-8kw"))
@_ID
@TENANT_OPTION
def follow(task_id: str, tenant: str | None) -> None:
    """Print a task's events as JSON lines, from the first that is kept until its ending."""
    _of_owner(task_id, tenant, lambda broker, owner, record: _follow(broker, owner, task_id, record))


def _of_owner(
    task_id: str, tenant: str | None, work: Callable[[Broker, str, Record], Awaitable[AnswerT]]
) -> tuple[str, AnswerT]:
    """Do `work` with the record of the task and the tenant that has it."""

    async def found(broker: Broker) -> tuple[str, AnswerT]:
        for owner in await tenants_of(broker, tenant):
            record = await Tasks(broker).record(owner, task_id)
            if record is not None:
                return owner, await work(broker, owner, record)
        where = f"tenant {tenant} has" if tenant else "there is"
        raise click.ClickException(f"{where} no task {task_id}")

    return with_broker(found)


async def _ledger(broker: Broker, owner: str, task_id: str) -> Ledger:
    tasks = Tasks(broker)
    explainer = Explainer(Explanations(broker.run), tasks, broker.keys)
    return await Ledgers(tasks, Logs(broker), explainer, broker.clock).of_task(tenant_wide(owner), task_id)


async def _follow(broker: Broker, owner: str, task_id: str, record: Record) -> None:
    start = parse_position(record["before"].decode())
    if start is None:
        raise click.ClickException("the record of this task does not say where its events begin")
    name, seen = SessionName(owner, record["session"].decode(), start.epoch), start.offset
    log = SessionLog(Logs(broker))
    while True:
        page = await log.read(name, seen)
        if page is None:
            raise click.ClickException(
                "the events of this task are not kept any more; see `orchestrator tasks show`"
            )
        for event in page.events:
            if event.task_id == task_id:
                click.echo(event.frame())
                if event.ends:
                    return
        seen = page.reached
        if seen >= page.top:
            await asyncio.sleep(LOOK_SECONDS)


def _wait(ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Why it waits, and how long yet, as far as anybody knows."""
    if ledger.waiting_for:
        yield (
            "waits",
            f"for {ledger.waiting_for}" if not ledger.waiting_for.endswith("ahead") else ledger.waiting_for,
        )
    if ledger.eta_seconds:
        yield "begins", f"in {ledger.eta_seconds[0]} to {ledger.eta_seconds[1]} s"


def _print(owner: str, ledger: Ledger) -> None:
    click.echo(f"{ledger.task_id}  {ledger.status}" + (f" ({ledger.code})" if ledger.code else ""))
    click.echo(f"  tenant   {owner}\n  session  {ledger.session_id}\n  queue    {ledger.queue}")
    click.echo(f"  attempt  {ledger.attempt}")
    for name, told in _wait(ledger):
        click.echo(f"  {name:<9}{told}")
    for moment, at in ledger.timeline.items():
        if at:
            click.echo(f"  {moment.removesuffix('_at'):<13}{at}")
    outcome = ledger.error or ledger.result
    if outcome:
        click.echo(msgspec.json.format(msgspec.json.encode(outcome)).decode())
