"""The checks in their order, each within its time, and what its failure means."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Literal, NamedTuple

import msgspec

from orchestrator.broker.connection import BrokerError, Refused
from orchestrator.diagnosis import callers, configuration, database, queues, replicas, rights, servers
from orchestrator.diagnosis.examination import CHECK_SECONDS, Examination
from orchestrator.diagnosis.faults import Fault, Finding, found, unseen
from orchestrator.store.errors import StoreError

Run = Callable[[Examination], Awaitable[list[Finding]]]


class Check(NamedTuple):
    """One check, and what has to answer for it to see anything."""

    name: str
    run: Run
    needs: Literal["", "server", "redis", "database"] = ""


CHECKS: Final = (
    Check("settings", configuration.settings),
    Check("identity", configuration.identity),
    Check("issuer", configuration.issuer),
    Check("database", database.reach),
    Check("schema", database.schema, "database"),
    Check("records", database.records, "database"),
    Check("redis", servers.reach),
    Check("version", servers.version, "server"),
    Check("cluster", servers.cluster, "server"),
    Check("eviction", servers.policy, "server"),
    Check("memory", servers.memory, "server"),
    Check("persistence", servers.persistence, "server"),
    Check("writes", servers.writes, "server"),
    Check("clock", servers.clock, "server"),
    Check("rights", rights.rights, "server"),
    Check("functions", servers.functions, "redis"),
    Check("prefix", servers.prefix, "redis"),
    Check("replicas", replicas.alive, "redis"),
    Check("versions", replicas.versions, "redis"),
    Check("clocks", replicas.clocks, "redis"),
    Check("sockets", replicas.connections, "redis"),
    Check("sqlite", replicas.sqlite, "redis"),
    Check("agenda", queues.agenda, "redis"),
    Check("tasks", queues.execution, "redis"),
    Check("callbacks", queues.callbacks, "redis"),
    Check("dead letters", queues.dead_letters, "redis"),
    Check("sends", callers.sends, "redis"),
    Check("credentials", callers.credentials, "redis"),
    Check("websockets", callers.websockets, "redis"),
)


async def examine(exam: Examination) -> AsyncGenerator[Finding]:
    """What each check finds, as it finds it; a check that cannot be made says so."""
    for check in CHECKS:
        for finding in await _checked(exam, check):
            yield msgspec.structs.replace(finding, check=check.name)


async def _checked(exam: Examination, check: Check) -> list[Finding]:
    if check.needs and check.needs not in exam.answering:
        return [
            unseen(
                f"not looked at: {'the database' if check.needs == 'database' else 'Redis'} cannot be asked"
            )
        ]
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check.run(exam)
    except TimeoutError:
        return [found(Fault.NO_ANSWER, f"no answer within {CHECK_SECONDS:g} s")]
    except Refused as refused:
        return [unseen(f"refused: {refused}")]
    except BrokerError as error:
        return [found(Fault.REDIS_UNREACHABLE, str(error).rstrip("."))]
    except StoreError as error:
        return [found(Fault.DATABASE_UNREACHABLE, str(error).rstrip("."))]
    except Exception as error:  # noqa: BLE001 - what lies in Redis may be anything, and must not hide the other checks
        return [unseen(f"could not be understood: {type(error).__name__}: {error}")]
