"""How much one call takes, how much one task may write, and how much of a log is kept."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.broker.tenant import KEEPING, Tenant, callback, chunk, counted
from tests.packed import change_run, run_of, state_of, waiting_endings

from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import ITEMS_PER_CALL
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer


@pytest.fixture
async def narrow(server: ValkeyServer, client: object) -> AsyncIterator[Tenant]:
    """A tenant of a deployment whose logs keep 5 events or 1 000 bytes."""
    keeping = msgspec.structs.replace(KEEPING, log_max_events=5, log_max_bytes=1_000)
    async with Broker(server.url, Keys("orchestrator", "orchestrator"), keeping) as broker:
        await broker.set_clock()
        yield Tenant(broker, client)


async def test_items_of_a_call(tenant: Tenant) -> None:
    """One call takes 128 callbacks and says how many are left."""
    task = await tenant.task()
    delivered = await tenant.deliver(*[chunk(task, "x", seq) for seq in range(300)])
    assert (delivered.taken, delivered.left) == (ITEMS_PER_CALL, 300 - ITEMS_PER_CALL)
    assert run_of(tenant.client, tenant.key(f"task:{task}")).seq == 127
    rest = (await tenant.callbacks.deliver([tenant.name]))[0]
    assert (rest.taken, rest.left) == (128, 44)
    assert run_of(tenant.client, tenant.key(f"task:{task}")).seq == 255


async def test_bytes_of_a_call(tenant: Tenant) -> None:
    """One call takes 40 KiB: what would go beyond is left for the next one."""
    task = await tenant.task()
    delivered = await tenant.deliver(*[chunk(task, "x" * 15_000, seq) for seq in range(5)])
    assert (delivered.taken, delivered.left, delivered.stop) == (2, 3, "")
    rest = (await tenant.callbacks.deliver([tenant.name]))[0]
    assert (rest.taken, rest.left) == (2, 1)


async def test_a_call_takes_any_one_callback(tenant: Tenant) -> None:
    """The largest that is not read by Python fills a call, alone."""
    task = await tenant.task()
    largest = chunk(task, "")[:-3] + b"x" * (40_960 - len(chunk(task, ""))) + b'"}}'
    delivered = await tenant.deliver(chunk(task, "a"), largest, largest, chunk(task, "b"))
    taken = [delivered] + [(await tenant.callbacks.deliver([tenant.name]))[0] for _ in range(3)]
    assert [(reply.taken, reply.stop) for reply in taken] == [(1, "")] * 4


async def test_messages_that_agents_say_they_took(tenant: Tenant) -> None:
    """Each that a callback names may end, so a hundred names are as much as 40 KiB."""
    task = await tenant.task()
    named = [f"task-{number}" for number in range(60)]
    delivered = await tenant.deliver(*[callback(task, "running", took=named)] * 3)
    assert (delivered.taken, delivered.left) == (1, 2)
    delivered = await tenant.deliver(callback(task, "running", took=named * 50))
    assert (delivered.taken, delivered.left) == (1, 2)


async def test_one_large_callback_is_looked_at(tenant: Tenant) -> None:
    """To be looked at it is copied, so of many queues with large ones the first is, and the others are the next."""
    if tenant.broker.topology.is_cluster:
        return  # queues lie in slots of their own there
    others = [tenant.another(f"t-{number}") for number in range(3)]
    for other in others:
        other.report(b"x" * 70_000)
    replies = await tenant.callbacks.deliver([other.name for other in others])
    assert [(reply.taken, reply.left, reply.stop) for reply in replies] == [
        (0, 1, "big"), (0, 1, ""), (0, 1, ""),
    ]  # fmt: skip


async def test_share_of_a_queue(tenant: Tenant) -> None:
    """Many queues share a call, so that a flood of one tenant leaves room for the others."""
    others = [tenant.another(f"t-{number}") for number in range(32)]
    for other in others:
        other.report(*[b"?"] * 20)
    if tenant.broker.topology.is_cluster:
        assert (await others[0].callbacks.deliver([others[0].name]))[0].taken == 20
        return
    replies = await tenant.callbacks.deliver([other.name for other in others])
    assert [(reply.taken, reply.left) for reply in replies] == [(4, 16)] * 32


async def test_two_of_each_queue(tenant: Tenant) -> None:
    """However many queues share a call, each gives two at least."""
    if tenant.broker.topology.is_cluster:
        return  # queues lie in slots of their own there
    others = [tenant.another(f"t-{number}") for number in range(64)]
    for other in others:
        other.report(*[b"?"] * 3)
    replies = await tenant.callbacks.deliver([other.name for other in others])
    assert [(reply.taken, reply.left) for reply in replies] == [(2, 1)] * 64


async def test_stops_at_a_big_one(tenant: Tenant) -> None:
    """A callback of over 40 KiB stays at the head for Python; what came before it is taken."""
    task = await tenant.task()
    big = callback(task, "completed", {"response": "x" * 70_000})
    delivered = await tenant.deliver(callback(task, "running"), big, b"?")
    assert (delivered.taken, delivered.left, delivered.stop) == (1, 2, "big")
    assert await tenant.callbacks.peek(tenant.name) == big


async def test_chunks_of_a_task(tenant: Tenant) -> None:
    """After 20 000 chunks further ones are dropped and counted; an answer that lacks them is none, so it failed."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"))
    change_run(tenant.client, tenant.key(f"task:{task}"), chunks=19_999)
    delivered = await tenant.deliver(chunk(task, "a"), chunk(task, "b"), callback(task, "completed"))
    assert counted(delivered) == {"taken|streaming": 2, "dropped|too_much_text": 1, "taken|completed": 1}
    assert (await tenant.frames())[-1]["data"]["code"] == "result_too_large"


async def test_an_answer_beside_too_many_chunks(tenant: Tenant) -> None:
    """Dropped chunks do not matter where the ending brings the answer itself."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"))
    change_run(tenant.client, tenant.key(f"task:{task}"), chunks=20_000)
    await tenant.deliver(chunk(task, "b"), callback(task, "completed", {"response": "whole"}))
    assert (await tenant.frames())[-1]["data"]["response"] == "whole"


async def test_text_of_a_task(tenant: Tenant) -> None:
    """Nor do more than 4 MiB of text come together; what still fits is taken."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"))
    change_run(tenant.client, tenant.key(f"task:{task}"), text_bytes=4 * 2**20 - 3)
    delivered = await tenant.deliver(chunk(task, "four"), chunk(task, "abc"), chunk(task, "d"))
    assert counted(delivered)["dropped|too_much_text"] == 2
    assert run_of(tenant.client, tenant.key(f"task:{task}")).text_bytes == 4_194_304


async def test_log_keeps_the_newest_events(narrow: Tenant) -> None:
    """The log drops from the left, and offsets go on."""
    task = await narrow.task()
    await narrow.deliver(*[chunk(task, "x", seq) for seq in range(10)])
    assert narrow.client.llen(narrow.key("log:sess-1")) == 5
    assert [event.offset for event in (await narrow.open())[1]] == [12]
    assert (await narrow.frames())[0]["data"]["seq_from"] == 5


def bytes_of(tenant: Tenant) -> int:
    """Of the log, as its session has them."""
    state = state_of(tenant.client, tenant.key("session:sess-1"))
    assert state
    return state.size


async def test_log_keeps_so_many_bytes(narrow: Tenant) -> None:
    """The bytes are those of the events as readers get them, and the newest always stays."""
    task = await narrow.task()
    await narrow.deliver(chunk(task, "x" * 500, 0), chunk(task, "y" * 500, 1), chunk(task, "z" * 2_000, 2))
    assert narrow.client.llen(narrow.key("log:sess-1")) == 1
    assert bytes_of(narrow) == 2_064
    assert (await narrow.frames())[0]["data"]["delta"] == "z" * 2_000


async def test_bytes_are_counted_anew_for_an_empty_log(narrow: Tenant) -> None:
    """A list that was lost takes its bytes with it, and the offsets go on."""
    task = await narrow.task()
    narrow.client.delete(narrow.key("log:sess-1"))
    await narrow.deliver(callback(task, "running"))
    assert bytes_of(narrow) == 64
    assert [event.offset for event in (await narrow.open())[1]] == [2]


async def test_endings_that_wait_for_their_reader(tenant: Tenant) -> None:
    """The newest 1 000 endings of a session wait to be noted as delivered, and no more than half as many beside."""
    session = tenant.key("session:sess-1")
    first, last = await tenant.task(), await tenant.task()
    await tenant.deliver(callback(first, "completed"))
    state = state_of(tenant.client, session)
    assert state
    older = {f"task-{n}": n for n in range(1_499)}
    tenant.client.hset(
        session, mapping={**older, "state": state._replace(top=state.top + 2_000, waiting=1_500).packed()}
    )
    await tenant.deliver(callback(last, "completed"))
    kept = waiting_endings(tenant.client, session)
    assert (len(kept), kept[last], min(kept.values())) == (1_000, 2_004, 500)
