"""`orchestrator dead`: callbacks that could not be used."""

import click

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.queues import DeadLetter, Queues
from orchestrator.broker.roster import Roster
from orchestrator.cli.deployment import TENANT_OPTION, tenants_of, with_broker
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table


@click.group(epilog=example("orchestrator dead list --tenant acme"))
def dead() -> None:
    """Show the callbacks that could not be delivered, and why.

    Up to 1000 are kept per tenant, for 7 days.
    """


@dead.command("list", epilog=example("orchestrator dead list", "orchestrator dead list --tenant acme --json"))
@TENANT_OPTION
@JSON_OPTION
def list_(tenant: str | None, as_json: bool) -> None:
    """List dead letters, the newest first: when, why and how large, not what they say."""
    letters = with_broker(lambda broker: _letters(broker, tenant))
    if as_json:
        return show_json([{"tenant_id": owner, **_head(letter)} for owner, letter in letters])
    rows = [
        (letter.id, owner, letter.buried_at, letter.reason, str(letter.size)) for owner, letter in letters
    ]
    return show_table(("ID", "TENANT", "WHEN", "REASON", "BYTES"), rows)


@dead.command(epilog=example("orchestrator dead show 1f0c33a2d4e5 --tenant acme"))
@click.argument("letter_id", metavar="ID")
@TENANT_OPTION
@JSON_OPTION
def show(letter_id: str, tenant: str | None, as_json: bool) -> None:
    """Show one dead letter with the callback itself, as far as it was kept (64 KiB)."""
    letters = with_broker(lambda broker: _letters(broker, tenant))
    for owner, letter in letters:
        if letter.id == letter_id:
            if as_json:
                return show_json({"tenant_id": owner, **_head(letter), "callback": letter.callback})
            click.echo(
                f"{letter.buried_at}  {owner}  {letter.reason}  {letter.size} bytes  {letter.sha1}".rstrip()
            )
            return click.echo(letter.callback)
    raise click.ClickException(
        f"there is no dead letter {letter_id}; `orchestrator dead list` shows their ids"
    )


def _head(letter: DeadLetter) -> dict[str, str | int]:
    return {"id": letter.id, "buried_at": letter.buried_at, "reason": letter.reason, "size": letter.size}


async def _letters(broker: Broker, tenant: str | None) -> list[tuple[str, DeadLetter]]:
    queues = Queues(broker, Agenda(broker), Roster(broker, ""))
    found: list[tuple[str, DeadLetter]] = []
    for owner in await tenants_of(broker, tenant):
        found += [(owner, letter) for letter in await queues.dead_letters(owner)]
    return found
