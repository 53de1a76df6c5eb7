"""`orchestrator bench`: what a deployment carries, tried and reckoned."""

import click

from orchestrator.cli.bench_plan import costs, plan
from orchestrator.cli.bench_run import run
from orchestrator.cli.examples import example


@click.group(
    epilog=example(
        "orchestrator bench run --messages 200 --concurrency 10",
        "orchestrator bench plan --sockets 50000 --events-per-second 20000 --tenants 300",
    )
)
def bench() -> None:
    """Load a running deployment, and plan a larger one."""


bench.add_command(run)
bench.add_command(plan)
bench.add_command(costs)
