"""`orchestrator dead`: callbacks that could not be used."""

import os
import re
from collections.abc import Sequence
from typing import Final

import click

from orchestrator.broker.broker import Broker
from orchestrator.broker.dead_letters import DeadLetter, DeadLetters, Outcome
from orchestrator.cli.dead_work import DONE, Choice, Deed, Row, carry_out, count
from orchestrator.cli.deployment import TENANT_OPTION, tenants_of, with_broker
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table
from orchestrator.settings import Settings

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SHOWN_TENANTS: Final = 5


def _age(text: str) -> int:
    """`90s`, `15m`, `12h` or `3d`, in seconds."""
    if not re.fullmatch("[0-9]{1,6}[smhd]", text):
        raise click.BadParameter(f"{text!r} is no age such as 90s, 15m, 12h or 3d")
    return int(text[:-1]) * _UNITS[text[-1]]


_ID: Final = click.argument("letter_id", metavar="[ID]", required=False)
_ALL: Final = click.option("--all", "every", is_flag=True, help="Every dead letter that the options name.")
_REASON: Final = click.option("--reason", metavar="R", help="Only letters of this reason.")
_OLDER: Final = click.option(
    "--older-than", metavar="AGE", type=_age, help="Only letters that are older: 90s, 15m, 12h, 3d."
)
_YES: Final = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(
    epilog=example(
        "orchestrator dead list --tenant acme",
        "orchestrator dead show 1f0c33a2d4e5",
        "orchestrator dead replay 1f0c33a2d4e5",
        "orchestrator dead purge --older-than 3d",
    )
)
def dead() -> None:
    """Show the callbacks that could not be delivered, and why; try them again, or throw them away.

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
    raise _no_letter(letter_id)


@dead.command(
    epilog=example(
        "orchestrator dead replay 1f0c33a2d4e5 --tenant acme",
        "orchestrator dead replay --all --reason unknown_task --tenant acme --yes",
    )
)
@_ID
@TENANT_OPTION
@_ALL
@_REASON
@_YES
@JSON_OPTION
def replay(
    letter_id: str | None, tenant: str | None, *, every: bool, reason: str | None, yes: bool, as_json: bool
) -> None:
    """Put callbacks on their tenants' queues again, the oldest first, as if the agents had just pushed them.

    What was wrong with a callback has to be mended first: one that is still wrong comes back with a new id.
    One that was cut at 64 KiB cannot be replayed, and stays. Two operators at once replay each letter once.
    """
    choice = _choice(letter_id, tenant, reason, 0, some=every, needs="--all")
    _do("replay", choice, yes=yes, as_json=as_json)


@dead.command(
    epilog=example(
        "orchestrator dead purge 1f0c33a2d4e5",
        "orchestrator dead purge --older-than 3d --yes",
        "orchestrator dead purge --all --tenant acme --reason not_json",
    )
)
@_ID
@TENANT_OPTION
@_ALL
@_OLDER
@_REASON
@_YES
@JSON_OPTION
def purge(
    letter_id: str | None,
    tenant: str | None,
    *,
    every: bool,
    older_than: int | None,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Throw dead letters away. Nothing brings them back."""
    some = every or older_than is not None
    choice = _choice(letter_id, tenant, reason, older_than or 0, some=some, needs="--all, --older-than")
    _do("purge", choice, yes=yes, as_json=as_json)


def _choice(
    letter_id: str | None, tenant: str | None, reason: str | None, older_than: int, *, some: bool, needs: str
) -> Choice:
    """Wrong use unless one letter is named, or it is said that several are meant."""
    if bool(letter_id) == some:
        raise click.UsageError(f"say which: an ID, or {needs}; not both")
    if letter_id and reason:
        raise click.UsageError("--reason goes with --all: an ID names one letter already")
    return Choice(letter_id=letter_id, tenant=tenant, reason=reason, older_than=older_than)


def _do(deed: Deed, choice: Choice, *, yes: bool, as_json: bool) -> None:
    now, found = with_broker(lambda broker: count(broker, choice))
    if choice.letter_id and not found:
        raise _no_letter(choice.letter_id)
    if found and not choice.letter_id and not yes:
        click.confirm(_question(deed, found), abort=True, err=True)
    settings = Settings.from_environment(os.environ)
    rows = with_broker(lambda broker: carry_out(broker, settings, deed, choice, now)) if found else []
    if as_json:
        show_json(rows)
    else:
        _tell(rows, DONE[deed])
    if choice.letter_id:
        _require_done(choice.letter_id, rows)


def _question(deed: Deed, found: dict[str, int]) -> str:
    tenants = ", ".join(list(found)[:_SHOWN_TENANTS])
    more = len(found) - _SHOWN_TENANTS
    whose = f"{tenants} and {more} more" if more > 0 else tenants
    return f"{deed.capitalize()} {sum(found.values())} dead letters of {whose}?"


def _tell(rows: Sequence[Row], done: Outcome) -> None:
    def number(outcome: Outcome) -> int:
        return sum(row.outcome == outcome for row in rows)

    click.echo(f"{number(done)} {done}")
    if gone := number("gone"):
        click.echo(f"{gone} were gone: somebody else was faster")
    if cut := number("cut"):
        click.echo(f"{cut} stay: they were cut at 64 KiB when they were buried, and the rest is lost")


def _require_done(letter_id: str, rows: Sequence[Row]) -> None:
    """Raise where the letter that was named was left as it was."""
    if any(row.outcome in DONE.values() for row in rows):
        return
    if any(row.outcome == "cut" for row in rows):
        raise click.ClickException(
            f"{letter_id} was cut at 64 KiB: `orchestrator dead show` has what is left"
        )
    raise click.ClickException(f"{letter_id} is gone: somebody else was faster")


def _no_letter(letter_id: str) -> click.ClickException:
    return click.ClickException(
        f"there is no dead letter {letter_id}; `orchestrator dead list` shows their ids"
    )


def _head(letter: DeadLetter) -> dict[str, str | int]:
    return {"id": letter.id, "buried_at": letter.buried_at, "reason": letter.reason, "size": letter.size}


async def _letters(broker: Broker, tenant: str | None) -> list[tuple[str, DeadLetter]]:
    found: list[tuple[str, DeadLetter]] = []
    for owner in await tenants_of(broker, tenant):
        found += [(owner, letter) for letter in await DeadLetters(broker).of(owner)]
    return found
