"""`orchestrator queues`: what waits."""

import click

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.queues import QueueRow, Queues
from orchestrator.broker.roster import Roster
from orchestrator.cli.deployment import with_broker
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table


@click.command(epilog=example("orchestrator queues", "orchestrator queues --json"))
@JSON_OPTION
def queues(as_json: bool) -> None:
    """Show the queues, how long they are and how old their oldest task is.

    An execution queue that grows has no agent: check that its worker runs. A callback queue that grows
    is not being delivered: check that the service runs.
    """
    rows = with_broker(_survey)
    if as_json:
        return show_json(rows)
    return show_table(("QUEUE", "KIND", "DEPTH", "OLDEST"), [_cells(row) for row in rows])


async def _survey(broker: Broker) -> list[QueueRow]:
    return await Queues(broker, Agenda(broker), Roster(broker, "")).survey([])


def _cells(row: QueueRow) -> tuple[str, str, str, str]:
    age = "-" if row.oldest_age_seconds is None else f"{row.oldest_age_seconds:.1f} s"
    return row.name, row.kind, str(row.depth), age
