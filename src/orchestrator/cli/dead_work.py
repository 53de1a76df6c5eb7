"""What `orchestrator dead replay` and `dead purge` do: choose letters, handle them tenant by tenant, note it."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, Literal

import click
import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.broker.dead_letters import DeadLetter, DeadLetters, Outcome
from orchestrator.cli.administration import actor
from orchestrator.cli.deployment import tenants_of
from orchestrator.settings import Settings
from orchestrator.store.errors import StoreError
from orchestrator.store.records import DeadLettersRecord
from orchestrator.store.store import Store

Deed = Literal["replay", "purge"]
DONE: Final[Mapping[Deed, Outcome]] = {"replay": "replayed", "purge": "purged"}


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters are meant."""

    letter_id: str | None = None
    tenant: str | None = None
    reason: str | None = None
    older_than: int = 0
    """Seconds."""

    def of(self, letters: Sequence[DeadLetter], now: int) -> list[DeadLetter]:
        """Those of them that are meant, each once; what was buried after `now` (µs) is not."""
        until = now - self.older_than * 1_000_000
        meant = {letter.id: letter for letter in letters if letter.at <= until and self._names(letter)}
        return list(meant.values())

    def _names(self, letter: DeadLetter) -> bool:
        return self.letter_id in {None, letter.id} and self.reason in {None, letter.reason}


class Row(msgspec.Struct, frozen=True):
    """What became of one letter."""

    tenant_id: str
    id: str
    reason: str
    outcome: Outcome


async def chosen(broker: Broker, choice: Choice, now: int) -> AsyncGenerator[tuple[str, list[DeadLetter]]]:
    """The letters that are meant, tenant by tenant: all at once they might not fit into memory."""
    letters = DeadLetters(broker)
    for tenant in await tenants_of(broker, choice.tenant):
        if meant := choice.of(await letters.of(tenant), now):
            yield tenant, meant


async def count(broker: Broker, choice: Choice) -> tuple[int, dict[str, int]]:
    """The moment, and how many letters of which tenants are meant then."""
    now = broker.clock.now()
    return now, {tenant: len(meant) async for tenant, meant in chosen(broker, choice, now)}


async def carry_out(broker: Broker, settings: Settings, deed: Deed, choice: Choice, now: int) -> list[Row]:
    """Do it to every letter that is meant and note it in the audit table; what became of each."""
    rows: list[Row] = []
    async for tenant, meant in chosen(broker, choice, now):
        letters = DeadLetters(broker)
        work = letters.replay if deed == "replay" else letters.purge
        outcomes = await work(tenant, meant)
        made = [
            Row(tenant, letter.id, letter.reason, outcome)
            for letter, outcome in zip(meant, outcomes, strict=True)
        ]
        await _note(settings, deed, tenant, choice.letter_id or tenant, made)
        rows += made
    return rows


async def _note(settings: Settings, deed: Deed, tenant: str, target: str, rows: Sequence[Row]) -> None:
    """It has happened, so a database that is away is no reason to fail: it may be away at that very hour."""
    reasons = Counter(row.reason for row in rows if row.outcome == DONE[deed])
    if not reasons or not settings.enable_access_validation:
        return
    record = DeadLettersRecord(letters=reasons.total(), reasons=dict(reasons))
    try:
        async with Store(settings.database_url) as store:
            await store.note_dead_letters(
                tenant, "dead.replay" if deed == "replay" else "dead.purge", target, record, actor=actor()
            )
    except StoreError as error:
        click.echo(f"Not noted in the audit table: {error}", err=True)
