"""The commands of one type of context; agents, workflows and collections have the same ones."""

from collections.abc import Callable
from typing import Any

import click

from orchestrator.cli.administration import administer, look, valid_id
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table, yes_or_no
from orchestrator.protocol.context import ContextType, canonical_id
from orchestrator.store.pages import every

_TENANT = click.option("--tenant", required=True, metavar="ID", type=valid_id, help="The tenant.")


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
    def _(context_id: str, tenant: str) -> None:
        """Create {one} that belongs to a tenant.

        It is kept under its canonical id, {kind}-ID, which is unique in the deployment and names queues.
        """
        record = administer(
            lambda administration, actor: administration.create_context(tenant, kind, context_id, actor=actor)
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
            (record.id, record.tenant_id, yes_or_no(record.active), " ".join(record.granted_to))
            for record in records
        ]
        return show_table(("ID", "OWNER", "ACTIVE", "GRANTED TO"), rows)


def _update(group: click.Group, kind: ContextType) -> None:
    @_command(group, kind, "update 123 --inactive")
    @_id(kind)
    @click.option("--active/--inactive", required=True, help="Whether anybody may use it.")
    def _(context_id: str, active: bool) -> None:
        """Switch {one} off for everyone, its owner included, or on again."""
        administer(
            lambda administration, actor: administration.update_context(
                context_id, active=active, actor=actor
            )
        )
        click.echo(f"{context_id} is {'active' if active else 'inactive'}")


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
