"""`orchestrator bench plan`: from a load to machines; `bench costs`: what that goes by."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from orchestrator.capacity.amounts import amount, share
from orchestrator.capacity.costs import Figure, costs_of, known_figures, with_own
from orchestrator.capacity.load import Load
from orchestrator.capacity.plan import Plan, plan_of
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table

_COUNT: Final = click.IntRange(min=1)
_POSITIVE: Final = click.FloatRange(min=0, min_open=True)
_SOME: Final = click.FloatRange(min=0)
_WIDTH: Final = 78
_TOGETHER: Final = (
    "On how many processes a balancer keeps the sockets of a tenant together; 0: they are anywhere."
)


class _Input(NamedTuple):
    """An option for a member of `Load`, whose default it has."""

    option: str
    member: str
    type: click.ParamType[Any, Any]
    help: str


_INPUTS: Final = (
    _Input("--sockets", "sockets", _COUNT, "Open WebSockets and event streams, each following a session."),
    _Input("--events-per-second", "events_per_second", _SOME, "Events that reach a socket: pieces, updates, endings."),
    _Input("--events-per-message", "events_per_message", _POSITIVE, "Events that come of one message."),
    _Input("--messages-per-second", "messages_per_second", _SOME, "[default: as many as make those events]"),
    _Input("--tenants", "tenants", _COUNT, "Tenants that talk; they are taken to be alike."),
    _Input("--bytes-per-event", "bytes_per_event", _POSITIVE, "A frame on the wire."),
    _Input("--bytes-per-answer", "bytes_per_answer", _SOME, "The text of a whole answer; a ledger keeps it."),
    _Input("--answer-seconds", "answer_seconds", _POSITIVE, "From a message to its ending."),
    _Input("--session-seconds", "session_seconds", _POSITIVE, "How long a conversation goes on."),
    _Input("--resume-window", "resume_seconds", _SOME, "Seconds: ORCHESTRATOR_EVENT_LOG_TTL."),
    _Input("--task-ttl", "ledger_seconds", _SOME, "Seconds that a ledger is kept: ORCHESTRATOR_TASK_TTL."),
    _Input("--deploy-seconds", "deploy_seconds", _POSITIVE, "How long a deploy takes; every socket comes back once."),
    _Input("--wait", "wait_seconds", _POSITIVE, "Seconds that an event may wait for others of its tenant."),
    _Input("--headroom", "headroom", click.FloatRange(0, 0.95), "Part of each core, memory and line that stays free."),
    _Input("--cores-per-machine", "cores", _COUNT, "Of the service's machines; a process uses one."),
    _Input("--memory-per-process", "memory_gib", _POSITIVE, "GiB."),
    _Input("--memory-per-primary", "shard_gib", _POSITIVE, "GiB, of a primary of Valkey."),
    _Input("--line", "gbit", _POSITIVE, "Gbit/s of a machine and of a primary."),
    _Input("--processes-per-tenant", "processes_per_tenant", click.IntRange(min=0), _TOGETHER),
)  # fmt: skip

_COSTS: Final = click.option(
    "--costs",
    "own",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Figures of a machine of yours, as `make bench` writes them: benchmarks/results.json.",
)


def _inputs(command: Callable[..., None]) -> Callable[..., None]:
    defaults = Load()
    for given in reversed(_INPUTS):
        default = getattr(defaults, given.member)
        option = click.option(
            given.option,
            given.member,
            type=given.type,
            default=default,
            show_default=default is not None,
            help=given.help,
        )
        command = option(command)
    return command


@click.command(
    epilog=example(
        "orchestrator bench plan --sockets 50000 --events-per-second 20000 --tenants 300",
        "orchestrator bench plan --task-ttl 3600 --processes-per-tenant 4",
        "orchestrator bench plan --costs benchmarks/results.json --json",
    )
)
@_inputs
@click.option("--plain-agents", is_flag=True, help="Agents pop their queues themselves: no fair dispatch.")
@_COSTS
@JSON_OPTION
def plan(*, plain_agents: bool, own: Path | None, as_json: bool, **members: Any) -> None:
    """Reckon what a load needs, and what would be too small next.

    It touches nothing: costs that were measured are multiplied by what is asked. Each number comes with
    its reason, and each ceiling of one deployment with what to do when it is reached. docs/capacity.md
    explains the model; `orchestrator bench costs` shows the figures.
    """
    load = Load(dispatched=not plain_agents, **members)
    figures = _figures(own)
    try:
        found = plan_of(load, costs_of(figures))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        return show_json({"load": load, **_members(found), "costs": figures})
    return _print(load, found)


@click.command(
    epilog=example("orchestrator bench costs", "orchestrator bench costs --costs benchmarks/results.json")
)
@_COSTS
@JSON_OPTION
def costs(own: Path | None, as_json: bool) -> None:
    """Show the costs that a plan goes by, and where each is from."""
    figures = _figures(own)
    if as_json:
        return show_json(figures)
    rows = [
        (figure.name, f"{figure.value:g} {figure.unit}", figure.source, figure.means) for figure in figures
    ]
    return show_table(("NAME", "VALUE", "SOURCE", "WHAT FOR"), rows)


def _figures(own: Path | None) -> list[Figure]:
    figures = known_figures()
    return with_own(figures, own.read_bytes(), str(own)) if own else figures


def _members(found: Plan) -> dict[str, Any]:
    return {"needs": found.needs, "ceilings": found.ceilings, "bottleneck": found.bottleneck.name}


def _print(load: Load, found: Plan) -> None:
    click.echo(
        f"For {amount(load.sockets)} sockets, {amount(load.events_per_second)} events/s and"
        f" {amount(load.messages)} messages/s of {amount(load.tenants)} tenants, {share(load.headroom)} kept free:\n"
    )
    for need in found.needs:
        _row(f"{need.shown:>12}  ", f"{need.name}: {need.because}")
    click.echo("\nWhat more machines do not widen, as part of what one deployment can do:\n")
    for ceiling in sorted(found.ceilings, key=lambda ceiling: -ceiling.use):
        _row(f"{share(ceiling.use):>12}  ", f"{ceiling.name}: {ceiling.because}")
    nearest = found.bottleneck
    click.echo(f"\nThe next bottleneck is {nearest.name}. Then: {nearest.then}.")


def _row(head: str, text: str) -> None:
    # A number and what it counts stay on one line.
    glued = re.sub(r"(?<=\d) (?=\S)", "\0", text)
    lines = [line.replace("\0", " ") for line in textwrap.wrap(glued, _WIDTH)]
    click.echo("\n".join([head + lines[0], *(" " * len(head) + line for line in lines[1:])]))
