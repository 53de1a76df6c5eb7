"""The commands of one type of context; agents, workflows and collections have the same ones."""

from collections.abc import Callable
from typing import Any, Final

import click
from msgspec import UNSET, UnsetType

from orchestrator.cli.administration import administer, look, valid_id
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table, yes_or_no
from orchestrator.protocol.context import ContextType, canonical_id
from orchestrator.protocol.turn_policies import ATTEMPTS_MAX, TURN_POLICIES, TurnPolicy
from orchestrator.store.pages import every
from orchestrator.store.records import ContextRecord

_TENANT = click.option("--tenant", required=True, metavar="ID", type=valid_id, help="The tenant.")

_DEFAULT: Final = "default"


def _number(text: str) -> int:
    """A number of attempts; 0 is `default`."""
    if text == _DEFAULT:
        return 0
    number = int(text) if text.isdecimal() and len(text) < 10 else 0
    if not 1 <= number <= ATTEMPTS_MAX:
        raise click.BadParameter(f"{text!r} is neither a number from 1 to {ATTEMPTS_MAX} nor `{_DEFAULT}`")
    return number


_POLICY: Final = click.option(
    "--turn-policy",
    type=click.Choice((*TURN_POLICIES, _DEFAULT)),
    help="What a message that names none does to the others of its session; default: parallel.",
)
_ATTEMPTS: Final = click.option(
    "--max-attempts",
    metavar="N",
    type=_number,
    help=f"How often a task is tried at most, 1 to {ATTEMPTS_MAX}; default: ORCHESTRATOR_MAX_ATTEMPTS.",
)


def context_commands(kind: ContextType) -> click.Group:
    """`orchestrator agents`, `workflows` or `collections`."""
    group = click.Group(
        f"{kind}s",
        help=f"Create {kind}s, and say which tenants may use them. A change holds at once, on every replica.",
        epilog=example(
            f"orchestrator {kind}s create 123 --tenant acme",
            f"orchestrator {kind}s grant 123 --tenant globex",
            f"orchestrator {kind}s list --tenant globex",
        ),
    )
    for add in (_create, _grant, _revoke, _list, _update):
        add(group, kind)
    return group


def _create(group: click.Group, kind: ContextType) -> None:
    @_command(group, kind, "create 123 --tenant acme")
    @_id(kind)
    @_TENANT
    @_POLICY
    @_ATTEMPTS
    def _(context_id: str, tenant: str, turn_policy: str | None, max_attempts: int | None) -> None:
        """Create {one} that belongs to a tenant.

        It is kept under its canonical id, {kind}-ID, which is unique in the deployment and names queues.
        """
        policy = _policy(turn_policy)
        record = administer(
            lambda administration, actor: administration.create_context(
                tenant,
                kind,
                context_id,
                turn_policy=None if policy is UNSET else policy,
                max_attempts=max_attempts or None,
                actor=actor,
            )
        )
        click.echo(f"{record.id} created, owned by {record.tenant_id}")


def _grant(group: click.Group, kind: ContextType) -> None:
    @_command(group, kind, "grant 123 --tenant globex")
    @_id(kind)
    @_TENANT
    def _(context_id: str, tenant: str) -> None:
        """Let another tenant use {one}. Granting twice changes nothing."""
        administer(lambda administration, actor: administration.grant(tenant, context_id, actor=actor))
        click.echo(f"{context_id} granted to {tenant}")


def _revoke(group: click.Group, kind: ContextType) -> None:
    @_command(group, kind, "revoke 123 --tenant globex")
    @_id(kind)
    @_TENANT
    def _(context_id: str, tenant: str) -> None:
        """Take back what was granted. The owner of {one} keeps it."""
        administer(lambda administration, actor: administration.revoke(tenant, context_id, actor=actor))
        click.echo(f"{context_id} revoked from {tenant}")


def _list(group: click.Group, kind: ContextType) -> None:
    @_command(group, kind, "list --tenant acme --json")
    @click.option(
        "--tenant", metavar="ID", type=valid_id, help="Only those that this tenant owns or may use."
    )
    @JSON_OPTION
    def _(tenant: str | None, as_json: bool) -> None:
        """List {kind}s, their owners and who else may use them."""
        records = look(lambda store: every(lambda after: store.list_contexts(tenant, kind, after=after)))
        if as_json:
            return show_json(records)
        rows = [
            (
                record.id,
                record.tenant_id,
                yes_or_no(record.active),
                record.turn_policy or _DEFAULT,
                str(record.max_attempts or _DEFAULT),
                " ".join(record.granted_to),
            )
            for record in records
        ]
        return show_table(("ID", "OWNER", "ACTIVE", "TURN POLICY", "ATTEMPTS", "GRANTED TO"), rows)


def _update(group: click.Group, kind: ContextType) -> None:
    @_command(group, kind, "update 123 --turn-policy queue")
    @_id(kind)
    @click.option("--active/--inactive", default=None, help="Whether anybody may use it, its owner included.")
    @_POLICY
    @_ATTEMPTS
    def _(context_id: str, active: bool | None, turn_policy: str | None, max_attempts: int | None) -> None:
        """Switch {one} off for everyone or on again, and say how it takes its messages."""
        if active is None and turn_policy is None and max_attempts is None:
            raise click.UsageError(
                "Nothing to change: give --active, --inactive, --turn-policy or --max-attempts."
            )
        record = administer(
            lambda administration, actor: administration.update_context(
                context_id,
                active=UNSET if active is None else active,
                turn_policy=_policy(turn_policy),
                max_attempts=UNSET if max_attempts is None else max_attempts or None,
                actor=actor,
            )
        )
        click.echo(_told(record))


def _policy(given: str | None) -> TurnPolicy | UnsetType | None:
    """What is to be stored: None for `default`, and nothing where nothing was given."""
    if given is None:
        return UNSET
    return next((policy for policy in TURN_POLICIES if policy == given), None)


def _told(record: ContextRecord) -> str:
    """How it stands now, in one line."""
    rules = f"turn policy {record.turn_policy or _DEFAULT}, attempts {record.max_attempts or _DEFAULT}"
    return f"{record.id} is {'active' if record.active else 'inactive'}; {rules}"


def _id(kind: ContextType) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The argument that names a context, however it is spelled; with its type in front it has to be an id too."""

    def canonical(text: str) -> str:
        return valid_id(canonical_id(kind, valid_id(text)))

    return click.argument("context_id", metavar="ID", type=canonical)


def _command(
    group: click.Group, kind: ContextType, line: str
) -> Callable[[Callable[..., Any]], click.Command]:
    """Adds the function as the command that `line` shows the use of; its docstring is the help."""
    one = f"an {kind}" if kind == "agent" else f"a {kind}"

    def add(function: Callable[..., Any]) -> click.Command:
        text = (function.__doc__ or "").format(one=one, kind=kind)
        shown = example(f"orchestrator {kind}s {line}")
        return group.command(line.split(maxsplit=1)[0], help=text, epilog=shown)(function)

    return add
