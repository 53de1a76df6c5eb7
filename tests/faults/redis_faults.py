"""Faults of a real Valkey: what each does to it, and how it is healed."""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.servers import free_port, wait_blocking

from orchestrator.embedded import ValkeyServer

USER: Final = "service:secret"
_DUMP: Final = "blocked"


def harmless() -> Mapping[str, str]:
    """Options of a server that can be harmed in all these ways."""
    return {"dbfilename": _DUMP, "save": "3600 1"}


def administrator(server: ValkeyServer) -> Any:
    """A client that may do everything; answers are text."""
    return redis.Redis(port=server.port, decode_responses=True)


def set_user(server: ValkeyServer, *rules: str) -> None:
    """Give the service's user every right, and then these rules."""
    name, password = USER.split(":")
    with administrator(server) as client:
        client.execute_command("ACL", "SETUSER", name, "on", f">{password}", "~*", "&*", "+@all", *rules)


@contextmanager
def configured(server: ValkeyServer, name: str, value: str) -> Generator[None]:
    """While one of its options has another value."""
    with administrator(server) as client:
        before = client.config_get(name)[name]
        client.config_set(name, value)
        try:
            yield
        finally:
            client.config_set(name, before)


@contextmanager
def without_rights(server: ValkeyServer, *rules: str) -> Generator[None]:
    """While the service's user lacks rights."""
    set_user(server, *rules)
    try:
        yield
    finally:
        set_user(server)


@contextmanager
def disk_full(server: ValkeyServer) -> Generator[None]:
    """While no snapshot can be written: MISCONF. A file cannot take the place of a folder that has something in it."""
    with administrator(server) as client:
        blocked = Path(client.config_get("dir")["dir"]) / _DUMP
        blocked.unlink(missing_ok=True)
        (blocked / "x").mkdir(parents=True)
        _save(client, "err")
        try:
            yield
        finally:
            (blocked / "x").rmdir()
            blocked.rmdir()
            _save(client, "ok")


def _save(client: Any, status: str) -> None:
    wait_blocking(lambda: not client.info("persistence")["rdb_bgsave_in_progress"])
    client.bgsave()
    wait_blocking(lambda: client.info("persistence")["rdb_last_bgsave_status"] == status)


@contextmanager
def replica(server: ValkeyServer) -> Generator[None]:
    """While it is a replica, of a primary that is not there: READONLY."""
    with administrator(server) as client:
        client.replicaof("127.0.0.1", str(free_port()))
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


@contextmanager
def busy(server: ValkeyServer) -> Generator[None]:
    """While somebody's script does not end: BUSY."""
    # One that waits as long as it takes: after 5 s the usual client sends its script again, and where the first was
    # just killed nobody ends the second.
    patient: Any = redis.Redis(port=server.port, socket_timeout=None, retry=Retry(NoBackoff(), 0))
    with administrator(server) as client, patient as caller:
        caller.ping()
        client.config_set("busy-reply-threshold", 500)  # ms; a call of the service stays below on any machine
        looping = threading.Thread(target=_loop_for_ever, args=(caller,))
        looping.start()
        try:
            wait_blocking(lambda: _is_busy(client))
            yield
        finally:
            client.script_kill()
            looping.join()
            client.config_set("busy-reply-threshold", 5_000)


def _loop_for_ever(caller: Any) -> None:
    with suppress(redis.RedisError):  # until it is killed
        caller.eval("while true do end", 0)


def _is_busy(client: Any) -> bool:
    try:
        client.dbsize()
    except redis.BusyLoadingError:
        return False
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


Break = Callable[[ValkeyServer], Any]

REFUSALS: Final[Mapping[str, Break]] = {
    "MISCONF": disk_full,
    "OOM": lambda server: configured(server, "maxmemory", "1"),
    "READONLY": replica,
    "NOREPLICAS": lambda server: configured(server, "min-replicas-to-write", "1"),
    "NOPERM": lambda server: without_rights(server, "resetkeys"),
}
"""What makes it refuse, by the word that it says."""
