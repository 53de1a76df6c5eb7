"""The checks of replicas, on heartbeats written by hand."""

from typing import Any

import pytest
from tests.diagnosis.conftest import Beat, Look, Run, client_of, codes, looked
from tests.environment import read

from orchestrator.diagnosis import callers, replicas, servers
from orchestrator.diagnosis.examination import examination
from orchestrator.embedded import ValkeyServer
from orchestrator.settings import Settings

# The check, what one of two replicas tells, and what that is.
FAULTS: list[tuple[Run, dict[str, Any], str, str]] = [
    (replicas.alive, {"delivers": False}, "replica_not_ready", "r2 on machine-1"),
    (replicas.versions, {"version": "0.0.1"}, "replica_versions", "0.0.1"),
    (replicas.clocks, {"ahead": 3_600.0}, "replica_clock_skew", "r2 on machine-1 by +3600 s"),
    (replicas.clocks, {"ahead": -60.0}, "replica_clock_skew", "-60 s"),
    (replicas.connections, {"total": 950}, "replica_full", "r2: 950"),
    (replicas.sqlite, {"host": "machine-2"}, "sqlite_shared", "machine-1, machine-2"),
]


@pytest.mark.parametrize(("check", "told", "code", "named"), FAULTS, ids=[code for _, _, code, _ in FAULTS])
async def test_fault(look: Look, beat: Beat, check: Run, told: dict[str, Any], code: str, named: str) -> None:
    """One replica among healthy ones is found and named."""
    await beat("r1")
    assert codes(await look(check)) == [""]
    await beat("r2", **told)
    (finding,) = await look(check)
    assert finding.code == code
    assert named in finding.what


async def test_nobody_lives(look: Look) -> None:
    """Without a replica nothing is served; of replicas that are not there nothing is said."""
    assert codes(await look(replicas.alive)) == ["no_replica"]
    for check in (replicas.versions, replicas.clocks, callers.sends, callers.credentials, callers.websockets):
        assert [finding.level for finding in await look(check)] == ["skip"]


async def test_nobody_can_tell_of_himself(settings: Settings, valkey: ValkeyServer) -> None:
    """Where Redis takes no heartbeat it is not said that nobody lives."""
    with client_of(valkey) as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            async with examination(settings) as exam:
                for check in (servers.reach, servers.writes):
                    await check(exam)
                assert [finding.level for finding in await replicas.alive(exam)] == ["skip"]
        finally:
            client.config_set("min-replicas-to-write", 0)


async def test_one_that_has_just_begun(look: Look, beat: Beat) -> None:
    """A replica that has not heard its first probe yet is no fault."""
    await beat(delivers=False, uptime=2.0)
    assert codes(await look(replicas.alive)) == [""]


async def test_one_of_an_earlier_version(look: Look, beat: Beat) -> None:
    """A replica that tells nothing of all that is alive, and nothing is made up about it."""
    await beat(host=None, version=None, ahead=None, delivers=None)
    assert codes(await look(replicas.alive)) == [""]


async def test_postgres_may_be_shared(beat: Beat, valkey: ValkeyServer) -> None:
    """Several machines are well with Postgres, and where no database is asked."""
    await beat("r1")
    await beat("r2", host="machine-2")
    for database in ({"DATABASE_URL": "postgresql+psycopg://h/x"}, {"ENABLE_ACCESS_VALIDATION": "false"}):
        settings = read(REDIS_URL=valkey.url, **database)
        assert codes(await looked(replicas.sqlite, settings)) == [""]
