"""A Redis that lost its last writes is recognised by who had seen them, wherever that reader stands."""

from typing import Any

from tests.broker.tenant import Tenant, chunk

from orchestrator.broker.logs import Page
from orchestrator.protocol.batches import Announced, read_batch
from orchestrator.protocol.events import SessionName, read_event
from orchestrator.protocol.subscriber import Subscriber


class Channel:
    """What was published on the tenant's channel."""

    def __init__(self, tenant: Tenant) -> None:
        self._heard = tenant.client.pubsub(ignore_subscribe_messages=True)
        self._heard.ssubscribe(tenant.key("events"))

    def announced(self) -> list[Announced]:
        """The events of the messages that came since the last time."""
        found: list[Announced] = []
        while (heard := self._heard.get_sharded_message(timeout=0.2)) or not found:
            if heard:
                found += read_batch(heard["data"])
        return found


def state_of(client: Any) -> dict[bytes, bytes]:
    """Every key, as it could be in a file."""
    return {key: client.dump(key) for key in client.scan_iter()}


def set_back(client: Any, state: dict[bytes, bytes]) -> None:
    """The server as it was then."""
    client.flushdb()
    for key, dumped in state.items():
        client.restore(key, 60_000, dumped)


def offer(reader: Subscriber, announced: Announced) -> None:
    """Brings one event of the channel to a reader."""
    name = SessionName("acme", announced.session, announced.epoch)
    reader.offer(read_event(name, announced.offset, announced.entry), announced.after)


async def test_next_event_tells(tenant: Tenant) -> None:
    """An event that follows another one than the reader saw sends it to the log, which is not its log any more."""
    channel, reader = Channel(tenant), Subscriber()
    task = await tenant.task()
    kept = state_of(tenant.client)
    await tenant.deliver(chunk(task, "lost"))
    reader.start(0, 0)
    reader.go_live()
    for announced in channel.announced():
        offer(reader, announced)
    assert (reader.state, reader.offset) == ("live", 3)

    set_back(tenant.client, kept)
    await tenant.deliver(chunk(task, "new", 0))
    await tenant.deliver(chunk(task, "newer", 1))
    for announced in channel.announced():
        offer(reader, announced)
    assert (reader.state, reader.offset) == ("replay", 3)
    assert (await page_after(tenant, reader)).outcome == "gone"


async def test_a_batch_that_passes_the_reader_tells(tenant: Tenant) -> None:
    """A message that begins before where the reader stands and ends behind it brings another event to that place."""
    channel, reader = Channel(tenant), Subscriber()
    task = await tenant.task()
    kept = state_of(tenant.client)
    await tenant.deliver(chunk(task, "lost"))
    reader.start(0, 0)
    reader.go_live()
    for announced in channel.announced():
        offer(reader, announced)
    assert (reader.state, reader.offset) == ("live", 3)

    set_back(tenant.client, kept)
    await tenant.deliver(chunk(task, "new", 0), chunk(task, "newer", 1), chunk(task, "newest", 2))
    for announced in channel.announced():
        offer(reader, announced)
    assert (reader.state, reader.offset) == ("replay", 3)
    assert (await page_after(tenant, reader)).outcome == "gone"


async def test_rest_is_heard_as_before(tenant: Tenant) -> None:
    """Events of one message and of several follow one another; a message of an older replica is believed."""
    channel, reader = Channel(tenant), Subscriber()
    reader.start(0, 0)
    reader.go_live()
    task = await tenant.task()
    await tenant.deliver(*(chunk(task, letter) for letter in "abc"))
    await tenant.deliver(chunk(task, "d"))
    for announced in channel.announced():
        offer(reader, announced)
    assert (reader.state, reader.offset) == ("live", 6)
    assert (await page_after(tenant, reader)).outcome == "read"


async def test_log_that_ends_before_the_reader(tenant: Tenant) -> None:
    """Where nothing comes any more, the look at where the log stands tells: it ends earlier, or with another mark."""
    task = await tenant.task()
    kept = state_of(tenant.client)
    await tenant.deliver(chunk(task, "lost"))
    (top,) = await tenant.touch("sess-1")
    reader = Subscriber()
    reader.start(top.offset, top.mark)

    reader.go_live()
    reader.compare(top.offset, top.mark)
    assert reader.state == "live"
    set_back(tenant.client, kept)
    (top,) = await tenant.touch("sess-1")
    reader.compare(top.offset, top.mark)
    assert reader.state == "replay"
    assert (await page_after(tenant, reader)).outcome == "gone"

    await tenant.deliver(chunk(task, "new"))
    (top,) = await tenant.touch("sess-1")
    reader.go_live()
    reader.compare(top.offset, top.mark)
    assert (top.offset, reader.state) == (reader.offset, "replay")
    assert (await page_after(tenant, reader)).outcome == "gone"


async def page_after(tenant: Tenant, reader: Subscriber) -> Page:
    """What the log answers to the reader, where it stands."""
    (top,) = await tenant.touch("sess-1")
    seen = reader.reached(top.epoch)
    page, _ = await tenant.logs.read("acme", "sess-1", top.epoch, seen.offset, seen.mark)
    return page
