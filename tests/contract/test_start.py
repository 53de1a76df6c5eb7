"""How a server starts, refuses to start, and ends (contract §2, §6, §8)."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.contract.client import Caller, Tenant, unique
from tests.contract.conftest import Command, Connect, StartService
from tests.diagnosis.strange_server import strange_server
from tests.servers import (
    OrchestratorServer,
    base_environment,
    free_port,
    orchestrator_server,
    valkey_server,
)

from orchestrator.embedded import ValkeyServer


def refused(environment: Mapping[str, str], code: int) -> list[str]:
    """The lines on stderr of a server that has to end by itself with this exit code."""
    port = {"ORCHESTRATOR_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "serve"],
        env={**base_environment(), **port, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code, f"ended with {done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


BAD_SETTINGS = {
    "REDIS_URL": "http://localhost",
    "DATABASE_URL": "mysql://localhost/x",
    "ORCHESTRATOR_HOST": "a host",
    "ORCHESTRATOR_PORT": "http",
    "ORCHESTRATOR_DOMAIN_NAME": "a b",
    "ORCHESTRATOR_CALLBACK_QUEUE_PREFIX": "a:b",
    "ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS": "many",
    "ORCHESTRATOR_WEBSOCKET_PING_INTERVAL": "-1",
    "ORCHESTRATOR_WEBSOCKET_PING_TIMEOUT": "nan",
    "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "perhaps",
    "ORCHESTRATOR_VALIDATION_CACHE_TTL": "-5",
    "ORCHESTRATOR_MAX_REQUESTS_PER_SESSION": "-1",
    "ORCHESTRATOR_TIER_LIMITS": '{"gold": {}}',
    "ORCHESTRATOR_LOG_LEVEL": "LOUD",
    "ORCHESTRATOR_LOG_FORMAT": "xml",
    "ORCHESTRATOR_TASK_TIMEOUT": "0",
    "ORCHESTRATOR_TASK_TIMEOUT_MAX": "soon",
    "ORCHESTRATOR_TASK_TTL": "x",
    "ORCHESTRATOR_EVENT_LOG_TTL": "1h",
    "ORCHESTRATOR_EVENT_LOG_MAX_EVENTS": "0",
    "ORCHESTRATOR_EVENT_LOG_MAX_BYTES": "8M",
    "ORCHESTRATOR_LEASE": "x",
    "ORCHESTRATOR_MAX_ATTEMPTS": "0",
    "ORCHESTRATOR_DRAIN_TIMEOUT": "-2",
    "ORCHESTRATOR_TRUST_HEADERS": "2",
    "ORCHESTRATOR_ALLOWED_ORIGINS": "*",
    "ORCHESTRATOR_TRUSTED_PROXIES": "somewhere",
}


def test_bad_settings_end_the_server() -> None:
    """Exit code 2, and a line for each bad one: the variable, the value and what is allowed."""
    lines = refused(BAD_SETTINGS, 2)
    assert len(lines) == len(BAD_SETTINGS)
    for name, value in BAD_SETTINGS.items():
        (line,) = [line for line in lines if line.startswith(f"{name}=")]
        assert value in line
        assert "must be" in line


def test_one_bad_setting_is_one_line() -> None:
    """Nothing is printed beside it."""
    (line,) = refused({"REDIS_URL": "redis+sentinel://localhost"}, 2)
    assert line.startswith("REDIS_URL=")


def test_a_secret_is_not_shown() -> None:
    """A bad value that carries a password is masked."""
    (line,) = refused({"REDIS_URL": "ftp://user:hunter2@localhost"}, 2)
    assert "hunter2" not in line


def test_an_open_address_needs_proof_of_who_calls() -> None:
    """A bind beyond loopback with neither tokens nor the gateway's secret: exit 2."""
    (line,) = refused({"ORCHESTRATOR_HOST": "0.0.0.0"}, 2)  # noqa: S104
    assert "ORCHESTRATOR_HOST" in line
    assert "ORCHESTRATOR_TRUST_HEADERS" in line


@pytest.mark.parametrize(
    "settings", [{"trust_headers": "true"}, {"gateway_secret": "planted-secret-of-ours"}]
)
def test_an_open_address_with_it(service_with: StartService, settings: Mapping[str, str]) -> None:
    """With the secret, or told to trust the headers, it starts."""
    assert service_with(host="0.0.0.0", **settings).ready()  # noqa: S104


def test_header_mode_is_warned_of(service: OrchestratorServer) -> None:
    """Start-up logs a warning that identity comes from headers."""
    lines = [line for line in service.log.splitlines() if "header" in line.lower()]
    assert any("warn" in line.lower() for line in lines)


def test_a_policy_that_evicts_is_refused(tmp_path: Path) -> None:
    """With `maxmemory` set, any `maxmemory-policy` but `noeviction` would drop live tasks."""
    options = {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
    with valkey_server(tmp_path / "valkey", options=options) as valkey:
        lines = refused(own(tmp_path, valkey), 1)
    assert "noeviction" in lines[-1]
    assert "allkeys-lru" in lines[-1]


@pytest.mark.parametrize(
    "options",
    [
        {"maxmemory": "100mb", "maxmemory-policy": "noeviction"},
        {"maxmemory": "0", "maxmemory-policy": "allkeys-lru"},
    ],
    ids=["noeviction", "no maxmemory"],
)
def test_a_policy_that_never_evicts_is_fine(tmp_path: Path, options: Mapping[str, str]) -> None:
    """`noeviction`, or no limit of memory at all."""
    with (
        valkey_server(tmp_path / "valkey", options=options) as valkey,
        orchestrator_server(own(tmp_path, valkey), tmp_path / "server.log") as server,
    ):
        assert server.ready()


def test_a_second_deployment_with_the_same_prefix_is_refused(
    start_service: StartService, environment: dict[str, str]
) -> None:
    """Two deployments on one Redis need two callback prefixes, or they would take each other's callbacks."""
    prefix, domain = unique("prefix"), unique("first")
    first = start_service(callback_queue_prefix=prefix, domain_name=domain)
    names = {"ORCHESTRATOR_CALLBACK_QUEUE_PREFIX": prefix, "ORCHESTRATOR_DOMAIN_NAME": unique("second")}
    lines = refused(environment | names, 1)
    assert "ORCHESTRATOR_CALLBACK_QUEUE_PREFIX" in lines[-1]
    assert domain in lines[-1]
    assert first.ready()


def test_a_schema_that_is_behind(environment: dict[str, str], postgres_url: str) -> None:
    """Postgres is not upgraded by a start: exit 1 that names the command."""
    lines = refused(environment | {"DATABASE_URL": postgres_url}, 1)
    assert "orchestrator db upgrade" in lines[-1]


async def test_settings_are_shown_without_secrets(orchestrator: Command, environment: dict[str, str]) -> None:
    """`orchestrator settings` prints values and sources; secrets are masked, also inside URLs."""
    secret = {
        "REDIS_URL": "redis://user:hunter2@localhost/0",
        "DATABASE_URL": "postgresql+psycopg://me:hunter2@localhost/x",
        "ORCHESTRATOR_GATEWAY_SECRET": "hunter2-and-more",
    }
    shown = await orchestrator("settings", "--json", settings=environment | secret)
    assert "hunter2" not in shown.stdout + shown.stderr
    for name in (*secret, "ORCHESTRATOR_LEASE"):
        assert f'"{name}"' in shown.stdout


async def test_a_service_link_is_no_port(orchestrator: Command, environment: dict[str, str]) -> None:
    """What Kubernetes sets for a service of our name is ignored, with a warning."""
    link = {"ORCHESTRATOR_PORT": "tcp://10.0.0.1:8008"}
    shown = await orchestrator("settings", "--json", settings=environment | link)
    row = next(row for row in json.loads(shown.stdout) if row["name"] == "ORCHESTRATOR_PORT")
    assert row["value"] == 8008
    assert "ORCHESTRATOR_PORT" in shown.stderr


async def test_sqlite_is_upgraded_by_a_start(
    start_service: StartService, connect: Connect, tmp_path: Path
) -> None:
    """A file that does not exist yet becomes a database without tenants."""
    server = start_service(database_url=f"sqlite+aiosqlite:///{tmp_path / 'new.db'}")
    caller = Caller(connect(server), Tenant("tenant-456", "professional", "agent-123"))
    assert (await caller.send()).status_code == 403


def test_a_server_ends_when_it_is_told_to(start_service: StartService) -> None:
    """SIGTERM: it finishes and ends with exit code 0."""
    assert start_service().stop(within=15) == 0


def test_a_redis_that_is_not_there(tmp_path: Path) -> None:
    """Exit code 1, and why without the password."""
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    lines = refused({"REDIS_URL": url, **database(tmp_path)}, 1)
    assert not [line for line in lines if "hunter2" in line]


@pytest.mark.parametrize("told", ["redis_version:6.2.14\n", "redis_version:7.2.4\nvalkey_version:7.1.9\n"])
async def test_a_redis_that_is_too_old(tmp_path: Path, told: str) -> None:
    """Exit code 1, and which version it is and which is needed; Valkey is judged by its own."""
    async with strange_server(told) as url:
        lines = await asyncio.to_thread(refused, {"REDIS_URL": url, **database(tmp_path)}, 1)
    kind, version, least = ("valkey", "7.1.9", "7.2") if "valkey" in told else ("redis", "6.2.14", "7.0")
    assert f"REDIS_URL: {kind} {version} is too old, {least} or newer is needed" in lines[-1]


def test_a_redis_that_refuses_writes(tmp_path: Path) -> None:
    """Exit code 1: the setting, where it leads, and the server's own words."""
    with valkey_server(tmp_path / "valkey", options={"min-replicas-to-write": "1"}) as valkey:
        lines = refused(own(tmp_path, valkey), 1)
    assert f"REDIS_URL: 127.0.0.1:{valkey.port} refuses writes: NOREPLICAS" in lines[-1]


def own(directory: Path, valkey: ValkeyServer) -> dict[str, str]:
    """The settings of a server on a Valkey of the test's own."""
    return {"REDIS_URL": valkey.url, **database(directory)}


def database(directory: Path) -> dict[str, str]:
    """A new SQLite file."""
    return {"DATABASE_URL": f"sqlite+aiosqlite:///{directory / 'start.db'}"}
