"""`orchestrator audit`: who changed what."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import click

from orchestrator.cli.administration import look, valid_id
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json, show_table, yes_or_no
from orchestrator.store.records import AuditRecord

_HEADER: Final = ("WHEN", "WHO", "WHAT", "TENANT", "TARGET", "CHANGE")
# Other columns say these, or they say nothing.
_ELSEWHERE: Final = frozenset({"id", "type", "tenant_id", "subject", "created_at"})


@click.command(epilog=example("orchestrator audit", "orchestrator audit --tenant acme --limit 20 --json"))
@click.option(
    "--tenant", metavar="ID", type=valid_id, help="Only changes of this tenant, and of what belongs to it."
)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most."
)
@JSON_OPTION
def audit(tenant: str | None, limit: int, as_json: bool) -> None:
    """List who changed tenants, agents, limits and tokens, the newest first.

    WHO is `cli:` and the user of the machine for a command, and `token:` and the token's `sub` for a request
    to /api/admin. With --json there is the whole record, before and after.
    """
    entries = look(lambda store: store.audit(tenant, limit))
    if as_json:
        return show_json(entries)
    return show_table(_HEADER, [_row(entry) for entry in entries])


def _row(entry: AuditRecord) -> tuple[str, ...]:
    when = f"{entry.at:%Y-%m-%dT%H:%M:%SZ}"
    change = ", ".join(_differences(entry.before or {}, entry.after or {}))
    return when, entry.actor, entry.action, entry.tenant_id or "-", entry.target, change


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What is different, a few words each."""
    for name in {**before, **after}:
        was, now = before.get(name), after.get(name)
        if was == now or name in _ELSEWHERE:
            continue
        if isinstance(now, dict):
            yield from _differences(was or {}, cast("dict[str, Any]", now))
        elif isinstance(now, list):
            yield from _members(was or [], cast("list[str]", now))
        else:
            yield f"{name}={_word(now)}" if was is None else f"{name} {_word(was)} -> {_word(now)}"


def _members(was: list[str], now: list[str]) -> Iterator[str]:
    yield from (f"+{name}" for name in now if name not in was)
    yield from (f"-{name}" for name in was if name not in now)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return yes_or_no(value)
    return "none" if value is None else str(value)
