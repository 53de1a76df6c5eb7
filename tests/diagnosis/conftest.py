"""What the checks are tried on: real servers, and heartbeats written by hand."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.environment import read

from orchestrator import current_version
from orchestrator.broker.access_cache import open_broker
from orchestrator.broker.broker import Broker
from orchestrator.broker.roster import Roster
from orchestrator.diagnosis import database, servers
from orchestrator.diagnosis.examination import Examination, examination
from orchestrator.diagnosis.faults import Finding
from orchestrator.embedded import ValkeyServer
from orchestrator.settings import Settings

Run = Callable[[Examination], Awaitable[list[Finding]]]
Look = Callable[..., Awaitable[list[Finding]]]
Beat = Callable[..., Awaitable[None]]


async def looked(run: Run, settings: Settings) -> list[Finding]:
    """What a check finds, after those that it needs."""
    async with examination(settings) as exam:
        for before in (database.reach, servers.reach):
            if before is run:
                break
            await before(exam)
        return await run(exam)


def client_of(server: ValkeyServer) -> Any:
    """A client for what administrators, agents and accidents do; answers are text."""
    return redis.Redis(port=server.port, decode_responses=True)


def codes(findings: list[Finding]) -> list[str]:
    """The codes of what was found; '' is well."""
    assert all(finding.what for finding in findings)
    assert all(bool(finding.code) == bool(finding.remedy) for finding in findings)
    return [finding.code for finding in findings]


@pytest.fixture
def settings(valkey: ValkeyServer, tmp_path: Path) -> Settings:
    """Settings that name an empty Valkey, and a SQLite file that is not there yet."""
    return read(REDIS_URL=valkey.url, DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}")


@pytest.fixture
def look(settings: Settings) -> Look:
    """What a check finds with these settings."""

    async def found(run: Run) -> list[Finding]:
        return await looked(run, settings)

    return found


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[Broker]:
    """The Redis of the settings."""
    async with open_broker(settings) as opened:
        await opened.set_clock()
        yield opened


@pytest.fixture
def beat(broker: Broker) -> Beat:
    """Writes the heartbeat of a replica that tells this of itself, else that all is well."""

    async def written(name: str = "r1", **told: Any) -> None:
        well = {"host": "machine-1", "version": current_version(), "ahead": 0.01, "delivers": True}
        usual: dict[str, Any] = {"uptime": 100.0, "total": 3, "metrics": {}}
        await Roster(broker, "orchestrator").beat(name, {**usual, **well, **told})

    return written
