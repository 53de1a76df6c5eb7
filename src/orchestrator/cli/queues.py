"""`orchestrator queues`: what waits."""

from typing import Final

import click

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.queues import QueueRow, Queues
from orchestrator.broker.roster import Roster
from orchestrator.cli.deployment import with_broker
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table

HEADER: Final = (
    "QUEUE", "KIND", "DEPTH", "OLDEST", "WORKERS", "RUNNING", "RATE", "BEGINS", "WAITING FOR",
)  # fmt: skip


@click.command(epilog=example("orchestrator queues", "orchestrator queues --json"))
@JSON_OPTION
def queues(as_json: bool) -> None:
    """Show the queues: how long they are, how old their oldest task is, and who serves them.

    WORKERS are those of the SDK (- where other agents serve it), RUNNING the tasks that agents have, RATE
    how many they begin a minute of late, BEGINS in how many seconds a new task would be begun. WAITING FOR says
    where nobody serves a queue. A callback queue that grows is not being delivered: check that the service runs.
    """
    rows = with_broker(_survey)
    if as_json:
        return show_json(rows)
    return show_table(HEADER, [_cells(row) for row in rows])


async def _survey(broker: Broker) -> list[QueueRow]:
    return await Queues(broker, Agenda(broker), Roster(broker, "")).survey([])


def _cells(row: QueueRow) -> tuple[str, ...]:
    age = "-" if row.oldest_age_seconds is None else f"{row.oldest_age_seconds:.1f} s"
    eta = "-" if row.eta_seconds is None else "{}-{} s".format(*row.eta_seconds)
    figures = (row.workers, row.running, row.rate_per_minute)
    known = ("-" if figure is None else str(figure) for figure in figures)
    return row.name, row.kind, str(row.depth), age, *known, eta, row.waiting_for or "-"
