"""The commands of one type of context; agents, workflows and collections have the same ones."""

from collections.abc import Callable
from typing import Any

import click

from orchestrator.cli.administration import administer, valid_id
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table, yes_or_no
from orchestrator.protocol.context import ContextType, canonical_id

_ID = click.argument("name", metavar="ID", type=valid_id)
_TENANT = click.option("--tenant", required=True, metavar="ID", type=valid_id, help="The tenant.")


def context_commands(kind: ContextType) -> click.Group:
    """`orchestrator agents`, `workflows` or `collections`."""
    return click.Group(
        f"{kind}s",
        help=f"Create {kind}s, and say which tenants may use them. A change holds at once, on every replica.",
        epilog=example(
            f"orchestrator {kind}s create 123 --tenant acme",
            f"orchestrator {kind}s grant 123 --tenant globex",
            f"orchestrator {kind}s list --tenant globex",
        ),
        commands=[make(kind) for make in (_create, _grant, _revoke, _list, _update)],
    )


def _create(kind: ContextType) -> click.Command:
    @_command(
        kind,
        "create",
        "123 --tenant acme",
        f"Create {_one(kind)} that belongs to a tenant.\n\n"
        f"It is kept under its canonical id, {kind}-ID, which is unique in the deployment and names queues.",
    )
    @_ID
    @_TENANT
    def create(name: str, tenant: str) -> None:
        record = administer(lambda administration: administration.create_context(tenant, kind, name))
        click.echo(f"{record.id} created, owned by {record.tenant_id}")

    return create


def _grant(kind: ContextType) -> click.Command:
    @_command(
        kind,
        "grant",
        "123 --tenant globex",
        f"Let another tenant use {_one(kind)}. Granting twice changes nothing.",
    )
    @_ID
    @_TENANT
    def grant(name: str, tenant: str) -> None:
        context_id = canonical_id(kind, name)
        administer(lambda administration: administration.grant(tenant, context_id))
        click.echo(f"{context_id} granted to {tenant}")

    return grant


def _revoke(kind: ContextType) -> click.Command:
    @_command(
        kind,
        "revoke",
        "123 --tenant globex",
        f"Take back what was granted. The owner of {_one(kind)} keeps it.",
    )
    @_ID
    @_TENANT
    def revoke(name: str, tenant: str) -> None:
        context_id = canonical_id(kind, name)
        administer(lambda administration: administration.revoke(tenant, context_id))
        click.echo(f"{context_id} revoked from {tenant}")

    return revoke


def _list(kind: ContextType) -> click.Command:
    @_command(kind, "list", "--tenant acme --json", f"List {kind}s, their owners and who else may use them.")
    @click.option(
        "--tenant", metavar="ID", type=valid_id, help="Only those that this tenant owns or may use."
    )
    @JSON_OPTION
    def list_(tenant: str | None, as_json: bool) -> None:
        records = administer(lambda administration: administration.store.list_contexts(tenant, kind))
        if as_json:
            return show_json(records)
        rows = [
            (record.id, record.tenant_id, yes_or_no(record.active), " ".join(record.granted_to))
            for record in records
        ]
        return show_table(("ID", "OWNER", "ACTIVE", "GRANTED TO"), rows)

    return list_


def _update(kind: ContextType) -> click.Command:
    @_command(
        kind,
        "update",
        "123 --inactive",
        f"Switch {_one(kind)} off for everyone, its owner included, or on again.",
    )
    @_ID
    @click.option("--active/--inactive", required=True, help="Whether anybody may use it.")
    def update(name: str, active: bool) -> None:
        context_id = canonical_id(kind, name)
        administer(lambda administration: administration.update_context(context_id, active=active))
        click.echo(f"{context_id} is {'active' if active else 'inactive'}")

    return update


def _command(
    kind: ContextType, name: str, arguments: str, text: str
) -> Callable[[Callable[..., Any]], click.Command]:
    return click.command(name, help=text, epilog=example(f"orchestrator {kind}s {name} {arguments}"))


def _one(kind: ContextType) -> str:
    return f"an {kind}" if kind == "agent" else f"a {kind}"
