"""`orchestrator tenants`: the customers."""

from collections.abc import Iterable
from typing import Final

import click

from orchestrator.cli.administration import administer, limit_pair, look, valid_id
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table, yes_or_no
from orchestrator.protocol.tiers import LIMIT_NAMES, TIERS, Tier
from orchestrator.store.pages import every
from orchestrator.store.records import TenantRecord

_HEADER: Final = ("ID", "TIER", "ACTIVE", "OWN LIMITS")
_ID = click.argument("tenant_id", metavar="ID", type=valid_id)
_TIER = click.Choice(TIERS)


@click.group(
    epilog=example(
        "orchestrator tenants create acme --tier professional",
        "orchestrator tenants update acme --limit max_outstanding=50",
    )
)
def tenants() -> None:
    """Create, list, change, suspend and resume tenants.

    A change holds at once, on every replica.
    """


@tenants.command(epilog=example("orchestrator tenants create acme --tier free"))
@_ID
@click.option("--tier", required=True, type=_TIER, help="What the tenant has booked.")
def create(tenant_id: str, tier: Tier) -> None:
    """Create a tenant."""
    administer(lambda administration, actor: administration.create_tenant(tenant_id, tier, actor=actor))
    click.echo(f"tenant {tenant_id} created, tier {tier}")


@tenants.command("list", epilog=example("orchestrator tenants list --json"))
@JSON_OPTION
def list_(as_json: bool) -> None:
    """List all tenants."""
    records = look(lambda store: every(lambda after: store.list_tenants(after=after)))
    if as_json:
        return show_json(records)
    return _show(records)


@tenants.command(epilog=example("orchestrator tenants show acme"))
@_ID
@JSON_OPTION
def show(tenant_id: str, as_json: bool) -> None:
    """Show one tenant."""
    record = look(lambda store: store.get_tenant(tenant_id))
    if as_json:
        return show_json(record)
    return _show([record])


@tenants.command(
    epilog=example(
        "orchestrator tenants update acme --tier enterprise",
        "orchestrator tenants update acme --limit max_outstanding=50 --limit weight=",
    )
)
@_ID
@click.option("--tier", type=_TIER, help="What the tenant has booked.")
@click.option(
    "limits",
    "--limit",
    metavar="NAME=NUMBER",
    type=limit_pair,
    multiple=True,
    help=f"A limit of its own, out of {', '.join(LIMIT_NAMES)}; NAME= goes back to the tier's.",
)
def update(tenant_id: str, tier: Tier | None, limits: tuple[tuple[str, int | None], ...]) -> None:
    """Change a tenant's tier or give it limits of its own."""
    if tier is None and not limits:
        raise click.UsageError("Nothing to change: give --tier or --limit.")
    record = administer(
        lambda administration, actor: administration.update_tenant(
            tenant_id, tier=tier, limits=dict(limits), actor=actor
        )
    )
    _show([record])


@tenants.command(epilog=example("orchestrator tenants suspend acme"))
@_ID
def suspend(tenant_id: str) -> None:
    """Let a tenant in no more: its open tasks end, and its sockets are closed within a second.

    Its records stay as they are. Suspending again finishes what an interrupted command left.
    """
    suspended = administer(
        lambda administration, actor: administration.suspend_tenant(tenant_id, actor=actor)
    )
    click.echo(f"tenant {tenant_id} is suspended; open tasks ended: {suspended.tasks_ended}")


@tenants.command(epilog=example("orchestrator tenants resume acme"))
@_ID
def resume(tenant_id: str) -> None:
    """Let a suspended tenant in again."""
    administer(lambda administration, actor: administration.resume_tenant(tenant_id, actor=actor))
    click.echo(f"tenant {tenant_id} is active")


def _show(records: Iterable[TenantRecord]) -> None:
    rows = [
        (
            record.id,
            record.tier,
            yes_or_no(record.active),
            " ".join(f"{name}={number}" for name, number in sorted(record.limits.items())),
        )
        for record in records
    ]
    show_table(_HEADER, rows)
