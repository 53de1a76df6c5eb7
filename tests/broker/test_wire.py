"""One connection, shared by every call of a process: order, loss, and what is certain about it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.broker.tenant import KEEPING, raw_client
from tests.servers import free_port, valkey_server, wait_until

from orchestrator.broker import connection
from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import Refused, ReplyLost, Unavailable, Wire
from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.keys import Keys
from orchestrator.broker.link import Link
from orchestrator.embedded import ValkeyServer


@pytest.fixture(scope="module")
def own_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey that a test may stop and kill."""
    with valkey_server(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
def own(own_process: ValkeyServer) -> Iterator[ValkeyServer]:
    """The same, running and empty."""
    if not own_process.running:
        own_process.start()
    with raw_client(own_process.port) as client:
        client.flushall()
    yield own_process
    if own_process.running:
        os.kill(own_process.pid, signal.SIGCONT)


@pytest.fixture
async def states() -> list[bool]:
    """What `on_state` was told."""
    return []


@pytest.fixture
async def wire(own: ValkeyServer, states: list[bool]) -> AsyncIterator[Wire]:
    """A wire to that server, connected."""
    opened = Wire(Endpoint(own.url), lambda up, _: states.append(up))
    opened.start()
    assert await opened.call("PING") == b"PONG"
    yield opened
    await opened.close()


async def test_calls_of_one_tick_leave_together(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred calls of one tick are one write, and each gets its own reply."""
    writes: list[Any] = []
    send = Link.send

    def counted(self: Link, commands: Any) -> None:
        writes.append(commands)
        send(self, commands)

    monkeypatch.setattr(Link, "send", counted)
    replies = await asyncio.gather(*(wire.call("ECHO", str(number)) for number in range(100)))
    assert replies == [str(number).encode() for number in range(100)]
    assert len(writes) == 1


async def test_refusal_is_of_one_call(wire: Wire) -> None:
    """An error in a pipeline belongs to its call; the others get their replies."""
    before, refused, after = (
        wire.call("SET", "a", "text"),
        wire.call("LPUSH", "a", "x"),
        wire.call("GET", "a"),
    )
    with pytest.raises(Refused, match="WRONGTYPE") as raised:
        await refused
    assert raised.value.kind == "WRONGTYPE"
    assert (await before, await after) == (b"OK", b"text")
    await wire.call("DEL", "a")


async def test_primary_that_became_a_replica(wire: Wire, own: ValkeyServer) -> None:
    """Who takes no writes any more is left for whom the address leads to now; each call gets its own reply."""
    number = await wire.call("CLIENT", "ID")
    with raw_client(own.port) as client:
        client.replicaof("127.0.0.1", str(free_port()))
        calls = [wire.call("PING"), wire.call("SET", "a", "text"), wire.call("PING")]
        with pytest.raises(Refused, match="READONLY"):
            await calls[1]
        assert (await calls[0], await calls[2]) == (b"PONG", b"PONG")
        assert await wire.call("CLIENT", "ID") != number
        client.replicaof("NO", "ONE")
    assert await wire.call("SET", "a", "text") == b"OK"
    await wire.call("DEL", "a")


async def test_call_that_nobody_waits_for(wire: Wire) -> None:
    """A caller that gave up does not shift the replies of the others."""
    given_up = wire.call("ECHO", "1")
    given_up.cancel()
    assert await wire.call("ECHO", "2") == b"2"
    late = wire.call("ECHO", "3")
    await asyncio.sleep(0)
    late.cancel()
    assert await wire.call("ECHO", "4") == b"4"


async def test_killed_connection(wire: Wire, own: ValkeyServer, states: list[bool]) -> None:
    """Calls that were sent do not know their outcome; later ones are served by a new connection."""
    number = await wire.call("CLIENT", "ID")
    hanging = wire.call("BLPOP", "never", 0)
    behind = wire.call("PING")
    with raw_client(own.port) as client:
        await wait_until(lambda: any(row["cmd"] == "blpop" for row in client.client_list()))
        client.client_kill_filter(_id=str(number))
    for call in (hanging, behind):
        with pytest.raises(ReplyLost):
            await call
    assert await wire.call("PING") == b"PONG"
    assert states == [True, False, True]


async def test_server_away(wire: Wire, own: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that finds no server is certainly not made, and says so when its patience ends."""
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.2)
    own.kill()
    await wait_until(lambda: not wire.connected)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await wire.call("PING")
    assert 0.1 < time.monotonic() - began < 1.5
    own.start()
    await wait_until(lambda: wire.connected)
    assert await wire.call("PING") == b"PONG"


async def test_server_that_comes_back_in_time(
    wire: Wire, own: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call made while the server was away is served when it comes back within its patience."""
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 30.0)
    own.kill()
    await wait_until(lambda: not wire.connected)
    waiting = wire.call("INCR", "n")
    own.start()
    assert await waiting == 1


async def test_stalled_server(wire: Wire, own: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops answering is given up; what it was sent, it does when it goes on, and only once."""
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.3)
    os.kill(own.pid, signal.SIGSTOP)
    with pytest.raises(ReplyLost):
        await wire.call("INCR", "n")
    os.kill(own.pid, signal.SIGCONT)
    monkeypatch.undo()
    await wait_until(lambda: wire.connected)
    assert await wire.call("GET", "n") == b"1"
    await wire.call("DEL", "n")


async def test_server_that_does_not_read(
    wire: Wire, own: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was not sent because the server reads nothing was certainly not made; the others go on."""
    monkeypatch.setattr(connection, "STALL_SECONDS", 60)
    os.kill(own.pid, signal.SIGSTOP)
    sent = [wire.call("SET", "large", b"x" * 2**22) for _ in range(8)]  # more than the kernel takes
    await asyncio.sleep(0)  # a turn of its own, in which they are written
    kept = wire.call("SET", "small", "x")
    with pytest.raises(Unavailable):
        await kept
    os.kill(own.pid, signal.SIGCONT)
    assert set(await asyncio.gather(*sent)) == {b"OK"}
    assert await wire.call("EXISTS", "large", "small") == 1


async def test_closed(own: ValkeyServer) -> None:
    """A closed wire makes no call, and those that waited for it are told."""
    opened = Wire(Endpoint(f"redis://127.0.0.1:{free_port()}/0"))
    opened.start()
    waiting = opened.call("PING")
    await opened.close()
    for call in (waiting, opened.call("PING")):
        with pytest.raises(Unavailable):
            await call


async def test_wrong_password(own: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not let us in is as good as away, until it does."""
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.2)
    with raw_client(own.port) as client:
        opened = Wire(Endpoint(own.url.replace("://", "://somebody:secret@")))
        opened.start()
        with pytest.raises(Unavailable):
            await opened.call("PING")
        client.execute_command("ACL", "SETUSER", "somebody", "on", ">secret", "~*", "+@all")
        await wait_until(lambda: opened.connected)
        assert await opened.call("PING") == b"PONG"
        await opened.close()
        client.acl_deluser("somebody")


async def test_scripts_are_loaded_again(own: ValkeyServer) -> None:
    """A server that forgot its scripts, as after a restart, is given them again."""
    async with Broker(own.url, Keys("orchestrator", "orchestrator"), KEEPING) as broker:
        assert await broker.run("forget_access", "orchestrator:acme:callbacks", 60) == 1
        with raw_client(own.port) as client:
            client.script_flush()
        assert await broker.run("forget_access", "orchestrator:acme:callbacks", 60) == 1


async def test_right_that_is_missing(own: ValkeyServer) -> None:
    """A call that our user may not make is refused, not tried for ever."""
    with raw_client(own.port) as client:
        client.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "~*", "+@all", "-get")
        opened = Wire(Endpoint(own.url.replace("://", "://weak:secret@")))
        opened.start()
        with pytest.raises(Refused) as raised:
            await opened.call("GET", "a")
        assert raised.value.kind == "NOPERM"
        await opened.close()
        client.acl_deluser("weak")


async def test_unix_socket(tmp_path: Path) -> None:
    """`unix://` reaches a server that has no port."""
    server = ValkeyServer(tmp_path, options={"appendonly": "no"})
    server.start()
    try:
        opened = Wire(Endpoint(server.url))
        opened.start()
        assert await opened.call("PING") == b"PONG"
        await opened.close()
    finally:
        server.stop()
