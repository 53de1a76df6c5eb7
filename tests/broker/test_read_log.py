"""read_log.lua and its pages: what a reader that comes later is told (contract §4)."""

import json
from typing import Any

from tests.broker.tenant import Tenant, callback, chunk
from tests.packed import change_run, state_of

from orchestrator.broker.logs import Page
from orchestrator.protocol.events import Event, SessionName, read_event


async def read(tenant: Tenant, seen: int = 0, epoch: str = "") -> tuple[Page, list[Event]]:
    """The page after an offset."""
    if not epoch:
        state = state_of(tenant.client, tenant.key("session:sess-1"))
        assert state
        epoch = state.epoch
    page, entries = await tenant.logs.read(tenant.name, "sess-1", epoch, seen)
    name = SessionName(tenant.name, "sess-1", epoch)
    return page, [read_event(name, *pair) for pair in zip(page.offsets, entries, strict=True)]


async def told(tenant: Tenant, seen: int = 0) -> list[tuple[int, Any]]:
    """Offset and data of the events of a page."""
    return [(event.offset, json.loads(event.frame())["data"]) for event in (await read(tenant, seen))[1]]


async def test_chunks_of_a_running_task_are_one(tenant: Tenant) -> None:
    """Chunks that follow one another come as one, from the first seq to the last."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "Hel", 0), chunk(task, "lo ", 1), chunk(task, "wörld", 2))
    assert (await told(tenant, 2)) == [(5, {"delta": "Hello wörld", "seq": 2, "seq_from": 0, "attempt": 1})]
    assert (await told(tenant, 3)) == [(5, {"delta": "lo wörld", "seq": 2, "seq_from": 1, "attempt": 1})]
    page, events = await read(tenant, 5)
    assert (page.outcome, page.reached, page.top, events) == ("read", 5, 5, [])


async def test_chunks_are_merged_only_with_their_neighbours(tenant: Tenant) -> None:
    """Another event between two chunks keeps its place, also when it is another task's chunk."""
    task, other = await tenant.task(), await tenant.task()
    await tenant.deliver(chunk(task, "a"), chunk(task, "b"), callback(task, "progress", {"n": 1}))
    await tenant.deliver(chunk(task, "c"), chunk(other, "x"), chunk(task, "d"))
    found = [(offset, data.get("delta", data.get("status"))) for offset, data in await told(tenant, 3)]
    assert found == [(5, "ab"), (6, "progress"), (7, "c"), (8, "running"), (9, "x"), (10, "d")]


async def test_chunks_of_an_ended_task_are_covered(tenant: Tenant) -> None:
    """The ending stands for them: they are passed over, and the offsets prove it."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "Hello "), chunk(task, "world"), callback(task, "completed"))
    found = await told(tenant, 2)
    assert [(offset, data["response"]) for offset, data in found] == [(5, "Hello world")]


def follow(tenant: Tenant, task: str) -> None:
    """Let the second attempt run."""
    key = tenant.key(f"task:{task}")
    tenant.client.hset(key, "attempt", 2)
    change_run(tenant.client, key, attempt=2, next_seq=0)


async def test_chunks_of_an_older_attempt_are_covered(tenant: Tenant) -> None:
    """Only the current attempt's text is shown to who comes later."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "old"))
    follow(tenant, task)
    await tenant.deliver(chunk(task, "new", 0))
    assert [(offset, data["delta"]) for offset, data in await told(tenant, 2)] == [(4, "new")]


async def test_covered_to_the_end(tenant: Tenant) -> None:
    """A page that ends in covered chunks reaches behind them, though no event says so."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "old"))
    follow(tenant, task)
    page, events = await read(tenant, 2)
    assert (page.reached, page.top, events) == (3, 3, [])
    assert int(page.mark) > 0


async def test_pages(tenant: Tenant) -> None:
    """A page has 1 000 events at most; the next begins where it ended, and nothing is left out."""
    task = await tenant.task()
    for _ in range(12):
        await tenant.deliver(*[callback(task, "progress", {"n": 1})] * 100)
    first, events = await read(tenant)
    second, rest = await read(tenant, first.reached)
    assert (first.reached, len(events), second.reached) == (1_000, 1_000, 1_202)
    assert [event.offset for event in events + rest] == list(range(1, 1_203))
    assert int(first.mark) == events[-1].at


async def test_bytes_of_a_page(tenant: Tenant) -> None:
    """A page ends with the event that fills 256 KiB."""
    task = await tenant.task()
    await tenant.deliver_all(*[callback(task, "progress", {"x": "y" * 30_000})] * 8)
    await tenant.deliver_all(*[callback(task, "progress", {"x": "y" * 30_000})] * 8)
    page, events = await read(tenant)
    assert page.reached == len(events) == 11


async def test_answers_in_a_page(tenant: Tenant) -> None:
    """Answers, which lie beside the log, count with all that they bring: the text of a stream as well as a result."""
    for _ in range(8):
        task = await tenant.task()
        await tenant.deliver_all(
            chunk(task, "x" * 30_000), callback(task, "completed", {"pad": "y" * 30_000})
        )
    page, events = await read(tenant)
    answers = [event for event in events if event.type == "agent_response"]
    assert (len(answers), page.reached) == (5, events[-1].offset)


async def test_gone(tenant: Tenant) -> None:
    """Another epoch, what was trimmed, and what does not exist yet cannot be read on from."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"), callback(task, "completed"))
    tenant.client.ltrim(tenant.key("log:sess-1"), 2, -1)
    assert (await read(tenant, 2))[0].outcome == "read"
    assert (await read(tenant, 1))[0].outcome == "gone"
    assert (await read(tenant, 4))[0].outcome == "gone"
    assert (await read(tenant, 2, "0" * 16))[0].outcome == "gone"


async def test_no_session(tenant: Tenant) -> None:
    """Reading makes no session."""
    assert (await read(tenant, 0, "0" * 16))[0].outcome == "gone"
    assert not tenant.dump()


async def test_ending_whose_record_has_gone(tenant: Tenant) -> None:
    """What cannot be told any more is no silent hole: the log cannot be read on from before it."""
    gone, task = await tenant.task(), await tenant.task()
    await tenant.deliver(callback(gone, "completed"), callback(task, "completed", {"response": "ok"}))
    opened, _ = await tenant.open()
    tenant.client.delete(tenant.key(f"task:{gone}"))
    assert (await read(tenant, 2))[0].outcome == "gone"
    assert [offset for offset, _ in await told(tenant, 3)] == [4]

    # "All that is kept" begins behind it.
    again, events = await tenant.open("earliest")
    assert (again.recovered, again.start, [event.offset for event in events]) == (True, 3, [4])
    assert again.epoch == opened.epoch


async def test_large_event_is_read_whole(tenant: Tenant) -> None:
    """A result of 1 MiB is told on replay as it was live."""
    task = await tenant.task()
    raw = callback(task, "completed", {"response": "x" * 1_000_000})
    tenant.report(raw)
    envelope = {"task_id": task, "status": "completed", "has_response": True}
    await tenant.callbacks.deliver_big(tenant.name, raw, envelope, "")
    assert len((await told(tenant))[-1][1]["response"]) == 1_000_000
