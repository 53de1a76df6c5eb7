"""`orchestrator bench run`: a bounded load on a running deployment, and what it showed."""

import asyncio
import os
from collections.abc import Mapping
from typing import Final

import click

from orchestrator.bench.load import Order, put_on
from orchestrator.bench.report import Report, Times
from orchestrator.bench.target import Target, is_on_this_machine, is_web_address
from orchestrator.cli.administration import valid_id
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table
from orchestrator.protocol.tiers import TIERS, Tier
from orchestrator.setting_tokens import CALLERS_TOKEN

_GATEWAY_VARIABLE: Final = "ORCHESTRATOR_GATEWAY_SECRET"


def _address(text: str) -> str:
    if not is_web_address(text):
        raise click.BadParameter(f"{text!r} is no http:// or https:// address")
    return text.rstrip("/")


@click.command(
    epilog=example(
        "orchestrator bench run",
        "orchestrator bench run --messages 2000 --concurrency 50 --json",
        "ORCHESTRATOR_TOKEN=$TOKEN orchestrator bench run --url https://chat.example.com --yes-load-this-host",
    )
)
@click.option(
    "--url",
    metavar="URL",
    type=_address,
    default="http://127.0.0.1:8008",
    show_default=True,
    help="Of the service.",
)
@click.option(
    "--tenant", metavar="T", type=valid_id, default="tenant-456", show_default=True, help="Who sends."
)
@click.option(
    "--agent", metavar="A", type=valid_id, default="agent-123", show_default=True, help="Who answers."
)
@click.option(
    "--tier", type=click.Choice(TIERS), default="professional", show_default=True, help="Of the tenant."
)
@click.option(
    "--messages", type=click.IntRange(1, 1_000_000), default=200, show_default=True, help="How many in all."
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1_000),
    default=10,
    show_default=True,
    help="People who talk at once, each one message after the other.",
)
@click.option("--message", metavar="TEXT", default="Hello there", show_default=True, help="What they say.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for a socket, an answer, an ending, and for what a 429 asks a message to wait.",
)
@click.option("--yes-load-this-host", is_flag=True, help="Load a host that is not this machine.")
@JSON_OPTION
def run(
    *,
    url: str,
    tenant: str,
    agent: str,
    tier: Tier,
    messages: int,
    concurrency: int,
    message: str,
    timeout: float,
    yes_load_this_host: bool,
    as_json: bool,
) -> None:
    """Send messages to a running deployment, follow each to its ending, and say how long that took.

    The messages are real: they count against the limits of the tenant, and its agent answers them. A 429 is
    waited for as long as it says, and counted. Where the service asks for tokens, ORCHESTRATOR_TOKEN has one;
    behind a gateway's secret, ORCHESTRATOR_GATEWAY_SECRET is sent.

    Exit code 0: every message was accepted and has its ending; 1: some were not.
    """
    if not yes_load_this_host and not is_on_this_machine(url):
        raise click.UsageError(f"{url} is another host: say --yes-load-this-host if it is yours to load")
    target = Target(
        url=url,
        tenant=tenant,
        agent=agent,
        tier=tier,
        token=os.environ.get(CALLERS_TOKEN, "").strip(),
        gateway_secret=os.environ.get(_GATEWAY_VARIABLE, "").strip(),
    )
    order = Order(
        messages=messages, concurrency=min(concurrency, messages), message=message, patience=timeout
    )
    report = asyncio.run(put_on(target, order))
    if as_json:
        show_json(report)
    else:
        _print(report)
    if not report.whole:
        raise click.exceptions.Exit(1)


def _print(report: Report) -> None:
    click.echo(
        f"{report.accepted} of {report.messages} messages accepted, {report.accepted_per_second:.1f} a second;"
        f" {report.seconds:.1f} s in all"
    )
    rows = [
        ("POST to 202", report.to_accepted),
        ("POST to first chunk", report.to_first_chunk),
        ("POST to ending", report.to_ending),
    ]
    click.echo()
    show_table(
        ("MILLISECONDS", "COUNT", "P50", "P95", "P99", "MOST"),
        [(name, *_cells(times)) for name, times in rows],
    )
    click.echo()
    _tell("endings", report.endings)
    _tell("refused", report.refusals)
    if report.waited:
        click.echo(
            f"messages waited {report.waited:.0f} s in all, as a 429 told them: a limit of the tenant or session"
            " set the pace, not the service"
        )
    _tell("sockets made anew", report.reconnects)
    if report.stopped:
        click.echo(f"stopped before all was sent: {report.stopped}")
    if report.without_ending:
        shown = ", ".join(report.without_ending[:10])
        click.echo(f"without an ending: {len(report.without_ending)}: {shown} (`orchestrator tasks show ID`)")


def _cells(times: Times | None) -> tuple[str, ...]:
    if times is None:
        return ("0", "-", "-", "-", "-")
    return (str(times.count), *(f"{value:.1f}" for value in (times.p50, times.p95, times.p99, times.most)))


def _tell(what: str, counts: Mapping[str, int], more: str = "") -> None:
    if counts:
        click.echo(f"{what}: {', '.join(f'{count} × {name}' for name, count in counts.items())}{more}")
