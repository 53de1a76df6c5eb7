"""What waits, and whether anybody takes it."""

import asyncio
from contextlib import suppress
from typing import Final, cast

from orchestrator.broker.dead_letters import DeadLetters
from orchestrator.broker.keys import AGENDA_PARTS
from orchestrator.diagnosis.examination import Examination, age, names
from orchestrator.diagnosis.faults import Fault, Finding, found, well
from orchestrator.store.errors import StoreError

SLOW_SECONDS: Final = 60.0
OVERDUE_SECONDS: Final = 10.0
STUCK_SECONDS: Final = 1.0
"""A callback that lies at the head that long is not being delivered: a live replica takes it in milliseconds."""
TENANTS_MAX: Final = 2_000
"""Of so many it is asked how many dead letters they have."""
_LOOKED_AT: Final = 20
_FRESH_MICROS: Final = 86_400 * 1_000_000


async def execution(exam: Examination) -> list[Finding]:
    """Tasks wait, and an agent takes them."""
    waiting = [row for row in await exam.queues() if row.kind == "execution" and row.depth]
    deserted = [f"{row.name} ({row.depth})" for row in waiting if row.waiting_for]
    slow = [
        f"{row.name} ({row.depth}, the oldest {age(row.oldest_age_seconds)})"
        for row in waiting
        if not row.waiting_for and row.oldest_age_seconds and row.oldest_age_seconds > SLOW_SECONDS
    ]
    findings: list[Finding] = []
    if deserted:
        findings.append(
            found(Fault.TASKS_UNSERVED, f"tasks wait and no worker takes them: {names(deserted)}")
        )
    if slow:
        findings.append(found(Fault.TASKS_SLOW, f"tasks wait long: {names(slow)}"))
    return findings or [well(f"{sum(row.depth for row in waiting)} tasks wait, none of them long")]


async def callbacks(exam: Examination) -> list[Finding]:
    """Callbacks wait, and a replica takes them."""
    waiting = {row.name: row.depth for row in await exam.queues() if row.kind == "callbacks" and row.depth}
    looked_at = list(waiting)[:_LOOKED_AT]
    if waiting and await exam.reports():
        before = await heads(exam, looked_at)
        await asyncio.sleep(STUCK_SECONDS)
        after = await heads(exam, looked_at)
        looked_at = [queue for queue in looked_at if before[queue] and before[queue] == after[queue]]
    stuck = [f"{queue} ({waiting[queue]})" for queue in looked_at]
    if stuck:
        return [found(Fault.CALLBACKS_STUCK, f"callbacks wait and no replica takes them: {names(stuck)}")]
    return [well("none wait" if not waiting else "what waits is being delivered")]


async def agenda(exam: Examination) -> list[Finding]:
    """Tenants are looked at when their time has come."""
    keys = [exam.broker.keys.agenda_part(part) for part in range(AGENDA_PARTS)]
    firsts = await asyncio.gather(
        *(exam.broker.command(key, "ZRANGE", key, 0, 0, "WITHSCORES") for key in keys)
    )
    now = exam.broker.clock.now()
    late = [(now - float(first[1])) / 1e6 for first in firsts if first]
    if late and max(late) > OVERDUE_SECONDS:
        return [found(Fault.AGENDA_OVERDUE, f"tenants should have been looked at {age(max(late))} ago")]
    return [well("no tenant is overdue")]


async def dead_letters(exam: Examination) -> list[Finding]:
    """No callback of the last day was of no use."""
    letters = DeadLetters(exam.broker)
    tenants = await _tenants(exam)
    counts = dict(zip(tenants, await asyncio.gather(*map(letters.count, tenants)), strict=True))
    most = sorted((tenant for tenant in tenants if counts[tenant]), key=lambda tenant: -counts[tenant])
    newest = await asyncio.gather(*(letters.of(tenant, 0, 1) for tenant in most[:_LOOKED_AT]))
    since = exam.broker.clock.now() - _FRESH_MICROS
    fresh = [
        f"{tenant} ({counts[tenant]}, the last: {some[0].reason})"
        for tenant, some in zip(most, newest, strict=False)
        if some and some[0].at > since
    ]
    if fresh:
        return [found(Fault.DEAD_LETTERS, f"callbacks of the last day could not be used: {names(fresh)}")]
    return [well(f"none of the last day; {sum(counts.values())} older ones")]


async def heads(exam: Examination, queues: list[str]) -> dict[str, bytes | None]:
    """What is to be taken next from each."""
    calls = (exam.broker.command(queue, "LINDEX", queue, -1) for queue in queues)
    return dict(zip(queues, cast("list[bytes | None]", await asyncio.gather(*calls)), strict=True))


async def _tenants(exam: Examination) -> list[str]:
    """Those that were active within an hour, and a page of those in the database."""
    tenants = set(await exam.agenda.tenants())
    if exam.store is not None and "database" in exam.answering:
        with suppress(StoreError):  # a check of its own says so
            tenants |= {record.id for record in await exam.store.list_tenants()}
    return sorted(tenants)[:TENANTS_MAX]
