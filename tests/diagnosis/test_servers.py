"""The checks of Redis, each on a server with that fault and on one without."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.diagnosis.conftest import Beat, Look, Run, client_of, codes, looked
from tests.diagnosis.strange_server import strange_server
from tests.environment import read
from tests.servers import free_port, valkey_server, wait_blocking

from orchestrator.broker.broker import Broker
from orchestrator.broker.libraries import library_of
from orchestrator.diagnosis import servers
from orchestrator.embedded import ValkeyServer
from orchestrator.settings import Settings, Source

HEALTHY: list[Run] = [
    servers.reach,
    servers.version,
    servers.cluster,
    servers.policy,
    servers.memory,
    servers.writes,
    servers.clock,
    servers.functions,
    servers.prefix,
]


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[Any]:
    """An administrator of the server; its configuration is what it was afterwards."""
    with client_of(valkey) as opened:
        before = opened.config_get("maxmemory*", "save")
        yield opened
        for name, value in before.items():
            opened.config_set(name, value)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server of this test's own, which may be harmed."""
    with valkey_server(tmp_path / "own") as server:
        yield server


def at(url: str) -> Settings:
    """Settings that name this Redis and no database."""
    return read(REDIS_URL=url, ENABLE_ACCESS_VALIDATION="false")


@pytest.mark.parametrize("check", HEALTHY, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ["valkey", "valkey_cluster"])
async def test_healthy(check: Run, kind: str, request: pytest.FixtureRequest) -> None:
    """A server without a fault has none, alone or as a Cluster."""
    server: ValkeyServer = request.getfixturevalue(kind)
    assert codes(await looked(check, at(server.url))) == [""]


async def test_unreachable() -> None:
    """Nobody listens: where, and why."""
    port = free_port()
    (finding,) = await looked(servers.reach, at(f"redis://u:hunter2@127.0.0.1:{port}/0"))
    assert finding.code == "redis_unreachable"
    assert f"127.0.0.1:{port}" in finding.what
    assert "hunter2" not in finding.what


@pytest.mark.parametrize(("source", "hinted"), [("default", True), ("environment", False)])
async def test_default_url(own: ValkeyServer, source: Source, hinted: bool) -> None:
    """Where nobody named a server, it says so, whether one answers there or not."""
    settings = msgspec.structs.replace(at(own.url), sources={"REDIS_URL": source})
    (well,) = await looked(servers.reach, settings)
    own.stop()
    (fault,) = await looked(servers.reach, settings)
    assert [finding.code for finding in (well, fault)] == ["", "redis_unreachable"]
    assert ["REDIS_URL is not set" in finding.what for finding in (well, fault)] == [hinted] * 2


async def test_silent(own: ValkeyServer) -> None:
    """A server that is stopped takes the connection and says nothing: unreachable, and in time."""
    os.kill(own.pid, signal.SIGSTOP)
    try:
        assert codes(await looked(servers.reach, at(own.url))) == ["redis_unreachable"]
    finally:
        os.kill(own.pid, signal.SIGCONT)


@pytest.mark.parametrize("login", ["", "default:wrong@", "nobody:x@"])
async def test_login(valkey: ValkeyServer, client: Any, login: str) -> None:
    """No password, a wrong one, or a user that is none: the login is refused."""
    client.execute_command("ACL", "SETUSER", "default", ">right")
    client.execute_command("ACL", "SETUSER", "default", "resetpass", ">right")
    try:
        url = valkey.url.replace("://", f"://{login}")
        assert codes(await looked(servers.reach, at(url))) == ["redis_login"]
    finally:
        client.execute_command("ACL", "SETUSER", "default", "nopass")


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ("redis_version:6.2.14\n", "redis_too_old"),
        ("redis_version:7.2.4\nvalkey_version:7.1.9\n", "redis_too_old"),
        ("redis_version:7.0.0\n", ""),
        ("redis_version:7.2.4\nvalkey_version:8.0.0\n", ""),
    ],
)
async def test_version(info: str, found: str) -> None:
    """Redis before 7.0 and Valkey before 7.2 are too old, whatever version of Redis a Valkey claims."""
    async with strange_server(info) as url:
        assert codes(await looked(servers.version, at(url))) == [found]


async def test_cluster_where_a_server_is(valkey: ValkeyServer) -> None:
    """`redis+cluster://` for a single server."""
    url = valkey.url.replace("redis://", "redis+cluster://")
    assert codes(await looked(servers.cluster, at(url))) == ["cluster_url"]


async def test_server_where_a_cluster_is(valkey_cluster: ValkeyServer) -> None:
    """`redis://` for a node of a Cluster."""
    url = valkey_cluster.url.replace("redis+cluster://", "redis://")
    assert codes(await looked(servers.cluster, at(url))) == ["cluster_url"]


@pytest.fixture
def torn(valkey_cluster: ValkeyServer) -> Iterator[ValkeyServer]:
    """A Cluster of which one slot is nobody's; it is whole again afterwards."""
    with client_of(valkey_cluster) as client:

        def state() -> str:
            return str(client.execute_command("CLUSTER", "INFO"))

        client.execute_command("CLUSTER", "DELSLOTS", 5)
        wait_blocking(lambda: "cluster_state:fail" in state(), why="a Cluster that is not whole")
        yield valkey_cluster
        client.execute_command("CLUSTER", "ADDSLOTS", 5)
        wait_blocking(lambda: "cluster_state:ok" in state(), why="a Cluster that is whole")


async def test_cluster_that_is_not_whole(torn: ValkeyServer) -> None:
    """A slot that nobody serves is found, and how many there are."""
    finding = (await looked(servers.cluster, at(torn.url)))[0]
    assert finding.code == "cluster_not_whole"
    assert "1 of 16384 slots" in finding.what


async def test_read_only(own: ValkeyServer) -> None:
    """A replica of another server takes no writes."""
    with client_of(own) as client:
        client.replicaof("127.0.0.1", str(free_port()))
        assert codes(await looked(servers.cluster, at(own.url))) == ["redis_read_only"]


async def test_eviction(look: Look, client: Any) -> None:
    """Another policy than noeviction does harm once there is a maxmemory, not before."""
    client.config_set("maxmemory-policy", "allkeys-lru")
    assert codes(await look(servers.policy)) == [""]
    client.config_set("maxmemory", "1gb")
    assert codes(await look(servers.policy)) == ["redis_evicts"]


@pytest.mark.parametrize(("share", "code"), [(0.5, ""), (0.88, "redis_nearly_full"), (1.0, "redis_full")])
async def test_memory(look: Look, client: Any, share: float, code: str) -> None:
    """Near maxmemory is a warning, at it is a fault."""
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / share))
    assert codes(await look(servers.memory)) == [code]


@pytest.mark.parametrize(("on", "code"), [("no", "redis_forgets"), ("yes", "")])
async def test_persistence(own: ValkeyServer, on: str, code: str) -> None:
    """Without an append-only file it is said what is lost when the server dies."""
    with client_of(own) as client:
        client.config_set("appendonly", on)
        wait_blocking(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        (finding,) = await looked(servers.persistence, at(own.url))
    assert finding.code == code
    assert ("is lost" in finding.what) == (on == "no")


async def test_saves_that_fail(tmp_path: Path) -> None:
    """A server that could not write its last snapshot."""
    with valkey_server(tmp_path / "own", options={"dbfilename": "blocked"}) as server:
        # A file cannot take the place of a folder that has something in it.
        (tmp_path / "own" / "blocked" / "x").mkdir(parents=True)
        with client_of(server) as client:
            client.set("something", "to save", ex=60)
            client.bgsave()
            wait_blocking(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
            assert codes(await looked(servers.persistence, at(server.url))) == ["redis_cannot_save"]


@pytest.mark.parametrize(("option", "code"), [("min-replicas-to-write", "redis_refuses"), ("maxmemory", "")])
async def test_writes(look: Look, client: Any, option: str, code: str) -> None:
    """A server that refuses writes is told by its words, unless another check names the cause; nothing is written."""
    before = client.config_get(option)[option]
    client.config_set(option, 1)
    try:
        (finding,) = await look(servers.writes)
    finally:
        client.config_set(option, before)
    assert (finding.code, "NOREPLICAS" in finding.what) == (code, bool(code))
    assert finding.level == ("fail" if code else "skip")
    assert client.dbsize() == 0


async def test_functions_flushed(look: Look, beat: Beat, client: Any) -> None:
    """That they were flushed where replicas live is named, and that it does no harm."""
    await beat()
    client.function_flush()
    (finding,) = await look(servers.functions)
    assert (finding.code, finding.level) == ("functions_flushed", "ok")
    assert "harmless" in finding.what

    client.function_load(library_of("deliver").text)
    assert codes(await look(servers.functions)) == [""]


async def test_prefix(look: Look, broker: Broker, client: Any) -> None:
    """Another deployment's callback prefix is found, our own is well."""
    client.set(broker.keys.prefix_owner, "orchestrator", ex=60)
    assert codes(await look(servers.prefix)) == [""]
    client.set(broker.keys.prefix_owner, "another", ex=60)
    (finding,) = await look(servers.prefix)
    assert (finding.code, "'another'" in finding.what) == ("prefix_taken", True)


@pytest.fixture
async def hour_ahead() -> AsyncIterator[str]:
    """A server whose clock is an hour ahead of this machine's."""
    async with strange_server(time=time.time() + 3_600) as url:
        yield url


async def test_clock(hour_ahead: str) -> None:
    """A server with another time than this machine's."""
    (finding,) = await looked(servers.clock, at(hour_ahead))
    assert finding.code == "clock_skew"
    assert "-3600 s" in finding.what
