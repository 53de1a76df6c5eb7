"""The embedded Valkey: it keeps its data, says who uses a folder, and leaves nothing behind."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from tests.servers import base_environment, wait_blocking

from orchestrator.embedded import (
    DEMO_AGENTS,
    DEMO_TENANT,
    DataInUseError,
    EmbeddedValkey,
    ValkeyError,
    ValkeyServer,
    load_demo,
)
from orchestrator.settings import Settings
from orchestrator.store.store import Store

# Starts Valkey on the folder of its argument and says where it is; ends when its input does.
HOLDER = """
import sys
from pathlib import Path
from orchestrator.embedded import EmbeddedValkey
with EmbeddedValkey(Path(sys.argv[1])) as valkey:
    print(valkey.pid, flush=True)
    sys.stdin.read()
"""


def client_of(valkey: ValkeyServer) -> Any:
    """A client, untyped: the library's own types are incomplete."""
    return redis.Redis(unix_socket_path=str(valkey.socket_path), decode_responses=True)


def test_data_outlives_a_restart(tmp_path: Path) -> None:
    """What was written is there after a stop and after a SIGKILL."""
    with EmbeddedValkey(tmp_path) as valkey, client_of(valkey) as client:
        client.set("stopped", "1")
    with EmbeddedValkey(tmp_path) as valkey:
        with client_of(valkey) as client:
            client.set("killed", "1")
        valkey.kill()
        valkey.start()
        with client_of(valkey) as client:
            assert client.mget("stopped", "killed") == ["1", "1"]


def test_it_runs_with_the_settings_that_the_service_needs(tmp_path: Path) -> None:
    """Every write is appended, nothing is evicted, a large callback fits, nobody else may connect."""
    with EmbeddedValkey(tmp_path) as valkey, client_of(valkey) as client:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "proto-max-bulk-len": str(16 * 1024 * 1024),
            "port": "0",
        }
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        assert stat.S_IMODE(valkey.socket_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(valkey.socket_path.parent.stat().st_mode) == 0o700


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """Where the folder's path is too long for a socket, a private folder holds it, and is removed."""
    with EmbeddedValkey(tmp_path / ("x" * 100)) as valkey, client_of(valkey) as client:
        assert client.ping()
        private = valkey.socket_path.parent
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert not private.exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """The second start names the process to stop; once that has ended, the folder is free."""
    with EmbeddedValkey(tmp_path), pytest.raises(DataInUseError) as caught:
        EmbeddedValkey(tmp_path).__enter__()
    expected = f"the data in {tmp_path} is in use by process {os.getpid()}; stop it or use --data DIR"
    assert str(caught.value) == expected
    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.running


def test_a_failure_shows_the_log(tmp_path: Path) -> None:
    """A Valkey that cannot start says why: the end of its log is in the error."""
    server = ValkeyServer(tmp_path, options={"maxmemory": "a lot"})
    with pytest.raises(ValkeyError, match="argument must be a memory value"):
        server.start()
    assert not server.running


if sys.platform == "linux":  # elsewhere nothing ties a child to its parent

    def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
        """SIGKILL of the process that started Valkey ends Valkey too, and the data can be used at once."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)],
            env=base_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with holder:
            assert holder.stdout is not None
            server = psutil.Process(int(holder.stdout.readline()))
            server.suspend()
            holder.send_signal(signal.SIGKILL)
            holder.wait(5)

            # As long as the old Valkey can still write, nobody else may.
            with (tmp_path / "lock").open() as lock, pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            server.resume()
            with EmbeddedValkey(tmp_path):
                wait_blocking(lambda: not server.is_running(), why="the old Valkey is gone")


async def test_demo_data_is_loaded_once(tmp_path: Path, valkey: ValkeyServer) -> None:
    """The demo tenant and its agents exist after the first start, and a second one changes nothing."""
    settings = Settings.from_environment(
        {"REDIS_URL": valkey.url, "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'demo.db'}"}
    )
    await load_demo(settings)
    async with Store(settings.database_url) as store:
        await store.suspend_tenant(DEMO_TENANT)

    await load_demo(settings)

    async with Store(settings.database_url) as store:
        tenant = await store.get_tenant(DEMO_TENANT)
        agents = await store.list_contexts(DEMO_TENANT)
    assert (tenant.tier, tenant.active) == ("professional", False)
    assert sorted(agent.id for agent in agents) == sorted(DEMO_AGENTS)
