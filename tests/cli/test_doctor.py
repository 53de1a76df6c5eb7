"""`orchestrator doctor`: what it shows, how it ends, and what it leaves alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from click.testing import CliRunner, Result
from tests.servers import OrchestratorServer, free_port, orchestrator_server, wait_blocking

from orchestrator.cli.main import main
from orchestrator.diagnosis.examine import CHECKS
from orchestrator.embedded import ValkeyServer

PASSWORD = "hunter2-of-redis"
SECRET = "hunter2-of-the-gateway-which-is-long-enough"


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[Any]:
    """An administrator of Redis; the users that a test made are gone afterwards."""
    opened: Any = redis.Redis(port=valkey.port)
    with opened:
        yield opened
        opened.acl_deluser("svc")


@pytest.fixture
def settings(valkey: ValkeyServer, client: Any, tmp_path: Path) -> dict[str, str]:
    """A deployment with secrets, a tenant and an agent."""
    client.execute_command("ACL", "SETUSER", "svc", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    environment = {
        "REDIS_URL": valkey.url.replace("://", f"://svc:{PASSWORD}@"),
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}",
        "ORCHESTRATOR_GATEWAY_SECRET": SECRET,
    }
    for command in ("tenants create acme --tier free", "agents create 1 --tenant acme"):
        assert CliRunner().invoke(main, command.split(), env=environment).exit_code == 0
    return environment


@pytest.fixture
def service(settings: dict[str, str], log_path: Path, client: Any) -> Iterator[OrchestratorServer]:
    """A replica of it that has told of itself since its listener is well."""
    with orchestrator_server(settings, log_path) as server:
        names: list[bytes] = client.zrange("{orchestrator}:replicas", 0, -1)
        key = f"{{orchestrator}}:replica:{names[0].decode()}"
        wait_blocking(
            lambda: b"delivers\xc3" in (client.get(key) or b""), why="a heartbeat after the first probe"
        )
        yield server


def doctor(settings: dict[str, str], *arguments: str) -> Result:
    """The command on these settings."""
    return CliRunner().invoke(main, ["doctor", *arguments], env=settings)


def rows(ended: Result) -> list[dict[str, str]]:
    """What `--json` prints."""
    found: list[dict[str, str]] = json.loads(ended.stdout)
    return found


def test_healthy(service: OrchestratorServer, settings: dict[str, str]) -> None:
    """A deployment that serves has nothing that fails: exit code 0, a line for each check in order, no secret."""
    ended = doctor(settings, "--json")
    assert [row for row in rows(ended) if row["level"] not in ("ok", "warn")] == []
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert [row["code"] for row in rows(ended) if row["code"]] == ["redis_forgets"]
    assert [row["check"] for row in rows(ended)] == [check.name for check in CHECKS]

    shown = doctor(settings)
    assert shown.exit_code == 0
    for secret in (PASSWORD, SECRET):
        assert secret not in shown.output + ended.output


def test_callers_that_were_refused(service: OrchestratorServer, settings: dict[str, str]) -> None:
    """What a real caller gets wrong is told with the next heartbeats, and how to find out who it was."""
    with httpx.Client(base_url=service.url, headers={"X-Gateway-Secret": SECRET}) as http:
        assert http.post("/api/chat/send", json={"message": "Hi"}).json()["code"] == "missing_headers"
        named = {"X-Tenant-ID": "acme", "X-Agent-ID": "1", "X-Session-ID": "s", "X-Tenant-Tier": "gold"}
        assert (
            http.post("/api/chat/send", json={"message": "Hi"}, headers=named).json()["code"]
            == "invalid_tier"
        )

    def told() -> set[str]:
        return {row["code"] for row in rows(doctor(settings, "--json"))}

    wait_blocking(lambda: {"missing_headers", "invalid_tier"} <= told(), within=20)
    assert "send_refused" in service.log


def test_it_changes_nothing(service: OrchestratorServer, settings: dict[str, str], client: Any) -> None:
    """No key comes, goes or changes, whatever waits; those of the live replica apart."""
    service.kill()
    client.lpush("execution:agent-1:free", "{}")
    client.lpush("orchestrator:acme:callbacks", "{}")
    client.zadd("{orchestrator}:queues", {"execution:agent-1:free": 1})
    client.expire("{orchestrator}:queues", 600)

    def everything() -> dict[bytes, bytes]:
        return {
            key: client.dump(key)
            for key in client.scan_iter()
            if b"replica" not in key and b"owner" not in key
        }

    before = everything()
    doctor(settings)
    assert everything() == before


def test_without_redis(settings: dict[str, str]) -> None:
    """While Redis is away the database is looked at all the same, and what needs Redis is left out and said so."""
    away = settings | {"REDIS_URL": f"redis://svc:{PASSWORD}@127.0.0.1:{free_port()}/0"}
    ended = doctor(away, "--json")
    levels = {row["check"]: row["level"] for row in rows(ended)}
    assert ended.exit_code == 1
    assert (levels["database"], levels["records"], levels["redis"]) == ("ok", "ok", "fail")
    assert {levels[check.name] for check in CHECKS if check.needs in ("server", "redis")} == {"skip"}

    shown = doctor(away).stdout
    assert shown.count("Redis cannot be asked") == 1
    assert "[redis_unreachable]\n                    -> Start the server" in shown
    assert PASSWORD not in shown


def test_without_the_database(settings: dict[str, str]) -> None:
    """While the database is away Redis is looked at all the same."""
    away = settings | {"DATABASE_URL": f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:{free_port()}/x"}
    levels = {row["check"]: row["level"] for row in rows(doctor(away, "--json"))}
    assert (levels["database"], levels["schema"], levels["records"]) == ("fail", "skip", "skip")
    assert (levels["redis"], levels["rights"], levels["dead letters"]) == ("ok", "ok", "ok")


def test_rights_that_are_missing(settings: dict[str, str], client: Any) -> None:
    """A user who may not even ask INFO: what is missing is named, and what needs it is left out."""
    client.execute_command("ACL", "SETUSER", "svc", "-info", "-acl", "-zscore")
    found = {row["check"]: row for row in rows(doctor(settings, "--json"))}
    assert found["version"]["level"] == "skip"
    assert "NOPERM" in found["version"]["what"]
    assert "INFO" in found["rights"]["what"]
    assert "ZSCORE" in found["rights"]["what"]
    assert found["agenda"]["level"] == "ok"


def test_wrong_settings(settings: dict[str, str]) -> None:
    """Exit code 2 and a line for each; nothing is asked."""
    ended = doctor(settings | {"ORCHESTRATOR_PORT": "x", "ORCHESTRATOR_LEASE": "y"}, "--json")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 2


@pytest.mark.parametrize("name", ["execution:agent-\x1b[31m\n:free", "execution", "a:b:c:d", "\xff"])
def test_names_that_anybody_wrote(settings: dict[str, str], client: Any, name: str) -> None:
    """Whatever somebody put into Redis, each finding is one line that a terminal can show, and all are made."""
    client.zadd("{orchestrator}:queues", {name: 1})
    client.expire("{orchestrator}:queues", 60)
    client.lpush(name, "?")
    client.expire(name, 60)
    shown = doctor(settings).stdout
    assert "\x1b" not in shown
    assert {line[:4] for line in shown.splitlines()} <= {"ok  ", "warn", "fail", "skip", "    "}
    assert "websockets" in shown
