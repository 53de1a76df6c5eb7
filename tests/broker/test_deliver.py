"""deliver.lua: what each callback does to its task and its session (contract §5)."""

import json

from tests.broker.tenant import Tenant, callback, chunk, counted
from tests.packed import run_of, text_of
from tests.servers import wait_until

from orchestrator.protocol.batches import read_batch
from orchestrator.protocol.events import SessionName, read_event
from orchestrator.protocol.tasks import ENDINGS


async def test_running(tenant: Tenant) -> None:
    """The first callback that is no ending starts the task, whatever its status."""
    for status in ("running", "progress", "streaming"):
        task = await tenant.task()
        delivered = await tenant.deliver(callback(task, status, {"delta": "a"}))
        record = await tenant.record(task)
        assert [started.task for started in delivered.started] == [task]
        assert record["status"] == b"running"
        assert int(record["queued_at"]) <= int(record["started_at"])
    assert tenant.client.hget(tenant.key("tenant"), "running") == b"3"


async def test_an_agent_that_only_answers(tenant: Tenant) -> None:
    """An ending tells that an agent had the task, once, also where nothing was reported before it."""
    silent, talkative = await tenant.task(), await tenant.task()
    delivered = await tenant.deliver(callback(silent, "completed"), callback(talkative, "running"))
    assert [move.task for move in delivered.moves if move.until] == [silent, talkative]
    assert (await tenant.deliver(callback(talkative, "completed"))).moves == []


async def test_second_running_is_shown_only_with_a_result(tenant: Tenant) -> None:
    """`running` again says nothing new, unless it brings something to show."""
    task = await tenant.task()
    running = callback(task, "running")
    await tenant.deliver(running, running, callback(task, "running", {"step": 2}))
    frames = (await tenant.frames())[1:]
    assert [frame["data"].get("detail") for frame in frames] == [None, {"step": 2}]


async def test_progress(tenant: Tenant) -> None:
    """Progress reaches the session with its result."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "progress", {"step": 1}))
    frames = await tenant.frames()
    assert [(f["data"]["status"], f["data"].get("detail")) for f in frames] == [
        ("queued", None), ("running", None), ("progress", {"step": 1}),
    ]  # fmt: skip


async def test_chunks_are_numbered_and_joined(tenant: Tenant) -> None:
    """Chunks without `seq` count on; an ending without a response has their text."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "Hello, "), chunk(task, "wörld"))
    first = run_of(tenant.client, tenant.key(f"task:{task}"))
    delivered = await tenant.deliver(chunk(task, "!", 2), callback(task, "completed"))

    ending = (await tenant.frames())[-1]
    assert (first.seq, first.chunks, first.text_bytes) == (1, 2, 13)
    assert ending["data"]["response"] == "Hello, wörld!"
    assert [(ended.task, ended.status, ended.session) for ended in delivered.ended] == [
        (task, "completed", "sess-1")
    ]
    assert (await tenant.record(task))["position"].decode() == ending["position"]


async def test_response_goes_before_the_chunks(tenant: Tenant) -> None:
    """Where the ending has a response, it is the answer."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "draft"), callback(task, "completed", {"response": "final"}))
    assert (await tenant.frames())[-1]["data"]["response"] == "final"


async def test_every_ending(tenant: Tenant) -> None:
    """Each ending ends its task once, frees its place and keeps its record."""
    for status in ENDINGS:
        task = await tenant.task()
        assert (await tenant.deliver(callback(task, status))).ended[0].status == status
        record = await tenant.record(task)
        assert record["status"].decode() == status
        assert record["payload"] == b""
        # Where the deadline is that near, its own end may stand.
        assert 0 < tenant.client.pttl(tenant.key(f"task:{task}")) <= 86_400_000 * 1.01
        assert not tenant.client.exists(
            tenant.key("outstanding"), tenant.key("unpushed"), tenant.key(f"text:{task}")
        )
    assert tenant.client.hmget(tenant.key("tenant"), "bytes", "running") == [b"0", None]


async def test_late(tenant: Tenant) -> None:
    """What comes after the ending is dropped and counted, another ending too."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "completed", {"response": "first"}))
    kept = tenant.dump()
    delivered = await tenant.deliver(chunk(task, "x"), callback(task, "failed"), callback(task, "running"))

    assert counted(delivered) == {"dropped|late": 3}
    assert tenant.dump() == kept


async def test_duplicate_and_gap(tenant: Tenant) -> None:
    """A `seq` not above the highest seen is dropped; a jump passes; both are counted."""
    task = await tenant.task()
    delivered = await tenant.deliver(
        chunk(task, "a", 0), chunk(task, "a", 0), chunk(task, "c", 5), chunk(task, "b", 4)
    )

    assert counted(delivered) == {"taken|streaming": 4, "dropped|duplicate": 2, "seq_gap": 1}
    assert text_of(tenant.client, tenant.key(f"task:{task}"))[0] == b"ac"


async def test_fenced(tenant: Tenant) -> None:
    """What an older attempt says is dropped; the current one may name itself or not."""
    task = await tenant.task()
    tenant.client.hset(tenant.key(f"task:{task}"), "attempt", 2)
    delivered = await tenant.deliver(
        callback(task, "completed", attempt=1), chunk(task, "a", attempt=2), chunk(task, "b")
    )
    assert counted(delivered) == {"dropped|fenced": 1, "taken|streaming": 2}
    assert await tenant.status(task) == "running"


async def test_not_streamed(tenant: Tenant) -> None:
    """With `stream: false` chunks are recorded, not sent."""
    task = await tenant.task(stream=False)
    await tenant.deliver(chunk(task, "Hello"), callback(task, "completed"))
    frames = await tenant.frames()
    assert [frame["type"] for frame in frames] == ["task_update", "task_update", "agent_response"]
    assert frames[-1]["data"]["response"] == "Hello"


async def test_session_is_the_tasks_own(tenant: Tenant) -> None:
    """Whatever a callback claims, its events go to its task's session."""
    task = await tenant.task()
    await tenant.deliver(
        callback(task, "completed", {"response": "ok"}, session_id="sess-2", tenant_id="globex")
    )
    assert [frame["task_id"] for frame in await tenant.frames()] == [task, task]
    assert not tenant.client.exists(tenant.key("session:sess-2"))


async def test_two_tenants_in_one_call(broker: object, tenant: Tenant) -> None:
    """Each queue of a call has its own answer; a Cluster takes only queues of one slot."""
    task = await tenant.task()
    other = tenant.another("globex")
    foreign = await other.task()
    tenant.report(callback(task, "running"))
    other.report(callback(task, "completed"), callback(foreign, "completed"))
    names = [tenant.name, other.name]
    if tenant.broker.topology.is_cluster:
        mine, theirs = [(await tenant.callbacks.deliver([name]))[0] for name in names]
    else:
        mine, theirs = await tenant.callbacks.deliver(names)

    assert (mine.taken, counted(mine)) == (1, {"taken|running": 1})
    assert (theirs.taken, counted(theirs)) == (2, {"taken|completed": 1, "dead|unknown_task": 1})
    assert await tenant.status(task) == "running"


async def test_order_of_one_session(tenant: Tenant) -> None:
    """Events of several tasks stand in the log in the order in which they were pushed."""
    first, second = await tenant.task(), await tenant.task()
    order = [(second, "running"), (first, "running"), (second, "failed"), (first, "completed")]
    await tenant.deliver(*[callback(*report) for report in order])
    frames = (await tenant.frames())[2:]
    assert [frame["task_id"] for frame in frames] == [second, first, second, first]
    offsets = [int(frame["position"].split(":")[1].split("-")[0]) for frame in frames]
    assert offsets == [3, 4, 5, 6]


async def test_empty_queue(tenant: Tenant) -> None:
    """A ring for nothing costs a look and writes nothing."""
    delivered = await tenant.deliver()
    assert (delivered.taken, delivered.left, delivered.stop) == (0, 0, "")
    assert not tenant.dump()


async def test_session_that_was_lost(tenant: Tenant) -> None:
    """A lost session hash begins a new epoch and deletes the old list; the owner is the task's own."""
    task = await tenant.task(user="ana")
    before, _ = await tenant.open(user="ana")
    tenant.client.delete(tenant.key("session:sess-1"))
    await tenant.deliver(callback(task, "running"))
    after, events = await tenant.open(user="ana")

    assert after.epoch != before.epoch
    assert [event.offset for event in events] == [1]
    assert (await tenant.open(user="bob"))[0].outcome == "session_denied"


async def test_session_that_was_lost_while_a_task_streams(tenant: Tenant) -> None:
    """A piece of text begins it anew as any report does, though nothing but the task's record tells whose it was."""
    task = await tenant.task(user="ana")
    await tenant.deliver(chunk(task, "a"))
    tenant.client.delete(tenant.key("session:sess-1"), tenant.key("tasks:sess-1"))
    await tenant.deliver(chunk(task, "b"))

    assert (await tenant.open(user="bob"))[0].outcome == "session_denied"
    assert [frame["data"]["delta"] for frame in await tenant.frames(user="ana")] == ["b"]
    expires = tenant.client.pexpiretime(tenant.key("session:sess-1")) * 1_000
    assert expires > int((await tenant.record(task))["deadline"])


async def test_a_piece_and_the_end_in_one_call(tenant: Tenant) -> None:
    """What the piece changed stands though the record is read in whole for the ending; its text is gone."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "a", 0))
    await tenant.deliver(chunk(task, "b", 1), callback(task, "completed"), chunk(task, "c", 2))
    record = await tenant.record(task)

    assert (record["status"], record["text"]) == (b"completed", b"ab")
    assert not tenant.client.exists(tenant.key(f"text:{task}"))


async def test_names_as_long_as_they_come(tenant: Tenant) -> None:
    """Those of session, context and tier stand behind the text, and do not run into it."""
    for length in (1, 30, 60, 80, 128):
        task = await tenant.task(
            session="s" * length, context="c" * length, contexts=["c" * length], tier="t" * length
        )
        await tenant.deliver(chunk(task, "word ", 0))
        await tenant.deliver(chunk(task, "x" * 300, 1))
        delivered = await tenant.deliver(chunk(task, "", 2), callback(task, "completed"))
        assert (await tenant.record(task))["text"] == b"word " + b"x" * 300
        assert (delivered.ended[0].session, delivered.ended[0].context) == ("s" * length, "c" * length)


async def test_text_that_agents_send_is_kept_byte_for_byte(tenant: Tenant) -> None:
    """A delta's bytes are the text's bytes, escapes resolved."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, 'é\n"\\\u2028🚀'))
    assert text_of(tenant.client, tenant.key(f"task:{task}"))[0].decode() == 'é\n"\\\u2028🚀'
    assert json.loads((await tenant.open())[1][-1].frame())["data"]["delta"] == 'é\n"\\\u2028🚀'


async def test_character_cut_in_two(tenant: Tenant) -> None:
    """An agent that cuts its text between bytes is shown so: the same live, on replay, and in the answer."""
    task = await tenant.task()
    channel = tenant.client.pubsub()
    channel.ssubscribe(tenant.key("events"))
    await wait_until(lambda: channel.get_message(timeout=0.1))
    cut = b'{"task_id":"%b","status":"streaming","result":{"delta":"%b"}}'
    pieces = [b"a\xe2\x82", b"\xacb\xc3", b"\xa9", b"\x80\x80c"]
    await tenant.deliver(*[cut % (task.encode(), piece) for piece in pieces])

    name = SessionName(tenant.name, "sess-1", (await tenant.open())[0].epoch)
    batch = read_batch(channel.get_message(timeout=5)["data"])
    live = [json.loads(read_event(name, told.offset, told.entry).frame())["data"] for told in batch]
    shown = "".join(data["delta"] for data in live if "delta" in data)
    assert (await tenant.frames())[-1]["data"]["delta"] == shown == "a\ufffd\ufffdb\ufffd\ufffd\ufffd\ufffdc"
    await tenant.deliver(callback(task, "completed"))
    assert (await tenant.frames())[-1]["data"]["response"] == shown
    channel.close()
