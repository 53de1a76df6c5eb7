"""What Redis tells without being asked: the doorbell, tenants' channels, and whether they are heard at all."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
from tests.broker.tenant import KEEPING, Tenant, callback, raw_client
from tests.servers import valkey_server, wait_until

from orchestrator.broker import connection, listener
from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.broker.listener import Listener
from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.batches import read_batch

QUEUE: Final = "orchestrator:acme:callbacks"


class Heard:
    """Everything that was heard."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.rings: list[str] = []
        self.gaps = 0
        self.reasons: list[str] = []

    def on_message(self, channel: str, message: bytes) -> None:
        """A batch came."""
        self.messages.append((channel, message))

    def on_ring(self, queue: str, server: int) -> None:
        """The doorbell rang."""
        self.rings.append(queue)

    def on_gap(self) -> None:
        """Something may have been missed."""
        self.gaps += 1

    def on_deaf(self, reason: str) -> None:
        """Nothing is heard for now."""
        self.reasons.append(reason)


class Ears:
    """A listener with what it heard."""

    def __init__(self, broker: Broker, client: Any) -> None:
        self.client = client
        self.heard = Heard()
        self.listener = Listener(broker, "replica-1", self.heard)

    async def start(self) -> None:
        """Listen, with the doorbell on, and return when the first probe came back."""
        await self.listener.refresh()
        self.listener.ring(lambda _: True)
        await wait_until(lambda: self.listener.healthy)

    def kill(self) -> None:
        """End the listening connection at the server."""
        ids = [row["id"] for row in self.client.client_list() if int(row["ssub"]) > 0]
        assert ids
        for number in ids:
            self.client.client_kill_filter(_id=str(number))


@pytest.fixture
async def ears(broker: Broker, client: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ears]:
    """Ears at the server, which probe often."""
    monkeypatch.setattr(listener, "PROBE_SECONDS", 0.1)
    opened = Ears(broker, client)
    await opened.start()
    yield opened
    await opened.listener.close()


async def test_plain_push_is_heard(ears: Ears, client: Any) -> None:
    """An LPUSH by anyone rings, without any setting of the server; one ring can stand for many pushes."""
    client.lpush(QUEUE, "{}")
    await wait_until(lambda: QUEUE in ears.heard.rings)
    ears.heard.rings.clear()
    for _ in range(500):
        client.lpush(QUEUE, "{}")
    await wait_until(lambda: QUEUE in ears.heard.rings)
    assert len(ears.heard.rings) <= 500


async def test_own_keys_do_not_ring(ears: Ears, tenant: Tenant) -> None:
    """What the scripts write beside the queue rings nobody."""
    await tenant.task()
    tenant.client.lpush("orchestrator:last:callbacks", "{}")
    await wait_until(lambda: "orchestrator:last:callbacks" in ears.heard.rings)
    assert not [name for name in ears.heard.rings if name != "orchestrator:last:callbacks"]


async def test_doorbell_off(ears: Ears, client: Any) -> None:
    """A replica that is no listener is not rung; switched on again, it is."""
    ears.listener.ring(lambda _: False)
    await wait_until(lambda: not any("t" in row["flags"] for row in client.client_list()))
    client.lpush(QUEUE, "{}")
    ears.listener.ring(lambda _: True)
    await wait_until(lambda: any("t" in row["flags"] for row in client.client_list()))
    client.lpush("orchestrator:last:callbacks", "{}")
    await wait_until(lambda: "orchestrator:last:callbacks" in ears.heard.rings)
    assert QUEUE not in ears.heard.rings


async def test_batches_are_heard(ears: Ears, tenant: Tenant) -> None:
    """A channel that was confirmed brings each batch whole; one given up brings nothing more."""
    channel = tenant.broker.keys.events(tenant.name)
    await ears.listener.subscribe(channel)
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"), callback(task, "completed"))
    await wait_until(lambda: len(ears.heard.messages) == 2)
    batches = [[(a.session, a.offset) for a in read_batch(message)] for _, message in ears.heard.messages]
    assert batches == [[("sess-1", 1)], [("sess-1", 2), ("sess-1", 3)]]
    assert {heard for heard, _ in ears.heard.messages} == {channel}

    await ears.listener.unsubscribe(channel)
    await wait_until(lambda: tenant.client.execute_command("PUBSUB", "SHARDNUMSUB", channel)[1] == 0)
    await tenant.task()
    assert len(ears.heard.messages) == 2


async def test_subscribed_once(ears: Ears, tenant: Tenant) -> None:
    """Two sockets of one tenant share its channel."""
    channel = tenant.broker.keys.events(tenant.name)
    for _ in range(2):
        await ears.listener.subscribe(channel)
    await tenant.task()
    await wait_until(lambda: bool(ears.heard.messages))
    assert len(ears.heard.messages) == 1


async def test_wanted_again(ears: Ears, tenant: Tenant) -> None:
    """A channel that is given up and wanted again at once is heard, and nothing else is missed for it."""
    channel = tenant.broker.keys.events(tenant.name)
    gaps = ears.heard.gaps
    for _ in range(3):
        await ears.listener.subscribe(channel)
        await ears.listener.unsubscribe(channel)
    await ears.listener.subscribe(channel)
    await tenant.task()
    await wait_until(lambda: bool(ears.heard.messages))
    assert ears.heard.gaps == gaps


async def test_connection_that_was_killed(ears: Ears, tenant: Tenant) -> None:
    """It is made anew with channels and doorbell, and the gap is told."""
    channel = tenant.broker.keys.events(tenant.name)
    await ears.listener.subscribe(channel)
    gaps = ears.heard.gaps
    ears.kill()
    await wait_until(lambda: ears.heard.gaps > gaps)
    await tenant.task()
    tenant.report(b"?")
    await wait_until(lambda: bool(ears.heard.messages) and tenant.queue in ears.heard.rings)
    assert ears.listener.healthy


async def test_everything_was_flushed(ears: Ears, client: Any) -> None:
    """After FLUSHALL nothing that was known holds: a gap."""
    gaps = ears.heard.gaps
    client.flushall()
    await wait_until(lambda: ears.heard.gaps > gaps)


async def test_more_than_a_ping(server: ValkeyServer, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where publishing stopped to work, the listener is unhealthy, though the server answers; and well again after."""
    monkeypatch.setattr(listener, "PROBE_SECONDS", 0.1)
    user = ["ACL", "SETUSER", "probing", "on", ">secret", "~*", "+@all"]
    client.execute_command(*user, "allchannels")
    url = server.url.replace("://", "://probing:secret@")
    async with Broker(url, Keys("orchestrator", "orchestrator"), KEEPING) as restricted:
        opened = Ears(restricted, client)
        await opened.start()
        client.execute_command(*user, "resetchannels")
        await wait_until(lambda: not opened.listener.healthy)
        assert await restricted.command(QUEUE, "LLEN", QUEUE) == 0
        client.execute_command(*user, "allchannels")
        await wait_until(lambda: opened.listener.healthy)
        await opened.listener.close()
    client.acl_deluser("probing")


async def test_echo_that_does_not_come(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that does not hear itself is unhealthy, however well its commands are answered, and begins anew."""
    monkeypatch.setattr(listener, "ECHO_SECONDS", 0.2)
    (ear,) = ears.listener._ears.values()  # pyright: ignore[reportPrivateUsage]
    gaps = ears.heard.gaps
    ear._probe_channel += "-elsewhere"  # pyright: ignore[reportPrivateUsage]
    await wait_until(lambda: not ears.listener.healthy)
    await wait_until(lambda: ears.listener.healthy)
    assert ears.heard.gaps > gaps


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey that the test may stop."""
    with valkey_server(tmp_path_factory.mktemp("own")) as server:
        yield server


async def test_server_that_goes_and_comes_back(own: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled server is noticed by the missing echo; one that was started anew is heard again."""
    monkeypatch.setattr(listener, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(listener, "ECHO_SECONDS", 0.3)
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.3)
    keys = Keys("orchestrator", "orchestrator")
    with raw_client(own.port) as client:
        async with Broker(own.url, keys, KEEPING) as broker:
            opened = Ears(broker, client)
            await opened.start()
            os.kill(own.pid, signal.SIGSTOP)
            await wait_until(lambda: not opened.listener.healthy)
            os.kill(own.pid, signal.SIGCONT)
            await wait_until(lambda: opened.listener.healthy)

            own.kill()
            await wait_until(lambda: not opened.listener.healthy)
            own.start()
            await wait_until(lambda: opened.listener.healthy)
            client.lpush(QUEUE, "{}")
            await wait_until(lambda: QUEUE in opened.heard.rings)
            await opened.listener.close()
