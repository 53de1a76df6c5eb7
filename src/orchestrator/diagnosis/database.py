"""The database: that it answers, is of this program's schema, and has somebody in it."""

import asyncio
from pathlib import Path

from orchestrator.diagnosis.examination import Examination
from orchestrator.diagnosis.faults import Fault, Finding, found, unseen, well
from orchestrator.store.errors import StoreError, StoreUnavailable
from orchestrator.store.schema import schema_state

_OFF = "not asked: ORCHESTRATOR_ENABLE_ACCESS_VALIDATION=false"


async def reach(exam: Examination) -> list[Finding]:
    """It answers."""
    if exam.store is None:
        return [well(_OFF)]
    where = exam.store.database.where
    # To connect to a SQLite file that is not there would make one.
    if exam.store.database.engine == "sqlite" and not await asyncio.to_thread(Path(where).exists):
        return [found(Fault.DATABASE_MISSING, f"there is no file {where}")]
    try:
        await exam.store.ping()
    except StoreUnavailable as error:
        return [found(Fault.DATABASE_UNREACHABLE, str(error).rstrip("."))]
    exam.answering.add("database")
    return [well(f"{exam.store.database.engine} at {where} answers")]


async def schema(exam: Examination) -> list[Finding]:
    """Its schema is this program's."""
    if exam.store is None:
        return [well(_OFF)]
    state = await schema_state(exam.store)
    where = exam.store.database.where
    if state in ("empty", "behind"):
        return [found(Fault.SCHEMA_BEHIND, f"the schema at {where} is {state}")]
    if state == "ahead":
        return [found(Fault.SCHEMA_AHEAD, f"the schema at {where} is of a newer version")]
    return [well("current")]


async def records(exam: Examination) -> list[Finding]:
    """There is a tenant, and an agent."""
    if exam.store is None:
        return [well(_OFF)]
    try:
        if not await exam.store.list_tenants(limit=1):
            return [found(Fault.NO_TENANTS, "there is no tenant")]
        if not await exam.store.list_contexts(limit=1):
            return [found(Fault.NO_AGENTS, "there is no agent, workflow or collection")]
    except StoreError as error:
        return [unseen(str(error).rstrip("."))]
    return [well("there are tenants and agents")]
