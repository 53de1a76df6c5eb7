"""`orchestrator limits`: what tenants of each tier may use."""

import os
from collections.abc import Mapping
from typing import Final, Literal

import click
import msgspec

from orchestrator.admission.limit_rules import overlaid
from orchestrator.cli.administration import administer, limit_pair, look
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table
from orchestrator.protocol.tiers import DEFAULT_LIMITS, LIMIT_NAMES, TIERS, Tier, TierLimits
from orchestrator.settings import Settings

_HEADER: Final = ("TIER", "LIMIT", "VALUE", "FROM")


Source = Literal["default", "environment", "store"]


class LimitRow(msgspec.Struct, frozen=True):
    """One limit of one tier, and what set it."""

    tier: Tier
    limit: str
    value: int
    source: Source


@click.group(
    epilog=example("orchestrator limits list", "orchestrator limits set free --limit max_outstanding=50")
)
def limits() -> None:
    """Show and change what tenants of a tier may use.

    What is set here goes before ORCHESTRATOR_TIER_LIMITS, and a tenant's own limits (see
    `orchestrator tenants update --help`) before both. A change needs no restart.
    """


@limits.command("list", epilog=example("orchestrator limits list --json"))
@JSON_OPTION
def list_(as_json: bool) -> None:
    """List the limits that hold, and where each comes from.

    FROM is `default`, `environment` (ORCHESTRATOR_TIER_LIMITS says something else) or `store`
    (`orchestrator limits set` does).
    """
    rows = _rows(look(lambda store: store.tier_limits()))
    if as_json:
        return show_json(rows)
    return _show(rows)


@limits.command(
    "set",
    epilog=example(
        "orchestrator limits set free --limit max_outstanding=50 --limit weight=2",
        "orchestrator limits set free --limit weight=",
    ),
)
@click.argument("tier", type=click.Choice(TIERS))
@click.option(
    "changes",
    "--limit",
    metavar="NAME=NUMBER",
    type=limit_pair,
    multiple=True,
    required=True,
    help=f"A limit, out of {', '.join(LIMIT_NAMES)}; NAME= goes back to the environment's, or the default.",
)
def set_(tier: Tier, changes: tuple[tuple[str, int | None], ...]) -> None:
    """Change limits of a tier, on every replica within a second."""
    record = administer(
        lambda administration, actor: administration.set_tier_limits(tier, dict(changes), actor=actor)
    )
    _show([row for row in _rows({tier: record.limits}) if row.tier == tier])


def _rows(changed: Mapping[Tier, Mapping[str, int]]) -> list[LimitRow]:
    configured = Settings.from_environment(os.environ).tier_limits
    holding = overlaid(configured, changed)
    return [
        LimitRow(tier, name, getattr(holding[tier], name), _source(tier, name, configured[tier], changed))
        for tier in TIERS
        for name in LIMIT_NAMES
    ]


def _source(
    tier: Tier, name: str, configured: TierLimits, changed: Mapping[Tier, Mapping[str, int]]
) -> Source:
    if name in changed.get(tier, {}):
        return "store"
    return "default" if getattr(configured, name) == getattr(DEFAULT_LIMITS[tier], name) else "environment"


def _show(rows: list[LimitRow]) -> None:
    show_table(_HEADER, [(row.tier, row.limit, str(row.value), row.source) for row in rows])
