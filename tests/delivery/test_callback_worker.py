"""When whose callbacks are taken: at once when it is quiet, together when it is not (DESIGN §3.3)."""

import asyncio

import pytest
from tests.broker.tenant import Tenant, callback, chunk
from tests.delivery.parts import Parts
from tests.delivery.scripted import Scripted
from tests.servers import wait_until

from orchestrator.broker.connection import Unavailable
from orchestrator.delivery import callback_worker
from orchestrator.delivery.callback_handler import CallbackHandler, Handled


async def test_a_plain_push_is_taken(parts: Parts, tenant: Tenant) -> None:
    """An LPUSH alone brings a callback to its task: no command of ours is needed."""
    task = await tenant.task()
    async with parts.listening():
        tenant.report(callback(task, "running"))
        await wait_until(lambda: tenant.client.hget(tenant.key(f"task:{task}"), "status") == b"running")


async def test_whole_backlog(parts: Parts, tenant: Tenant) -> None:
    """One ring is enough for any number of callbacks, in their order."""
    task = await tenant.task()
    tenant.report(*[chunk(task, chr(97 + n % 26), n) for n in range(400)], callback(task, "completed"))
    async with parts.pumping():
        parts.worker.ring(tenant.name)
        await parts.worker.settled(tenant.name)
        await wait_until(lambda: tenant.client.llen(tenant.queue) == 0)
    assert (await tenant.frames())[-1]["data"]["response"] == ("abcdefghijklmnopqrstuvwxyz" * 16)[:400]


async def test_one_call_per_tenant(parts: Parts, scripted: Scripted) -> None:
    """Rings during a call are one further call after it, and another tenant need not wait."""
    async with parts.pumping():
        parts.worker.ring("a")
        await wait_until(lambda: scripted.calls == [["a"]])
        for _ in range(5):
            parts.worker.ring("a")
        parts.worker.ring("b")
        await wait_until(lambda: scripted.calls == [["a"], ["b"]])
        scripted.gate.set()
        await wait_until(lambda: scripted.calls == [["a"], ["b"], ["a"]])
        await parts.worker.settled("a")
    assert len(scripted.calls) == 3


async def test_rings_are_collected(parts: Parts, scripted: Scripted) -> None:
    """Tenants that ring while the worker is busy share a call, 64 at most."""
    scripted.gate.set()
    parts.worker.ring_all(f"t-{number}" for number in range(150))
    async with parts.pumping():
        await parts.worker.settled("t-149")
    assert [len(call) for call in scripted.calls] == [64, 64, 22]


async def test_who_has_more_comes_again(parts: Parts, scripted: Scripted) -> None:
    """A tenant with more waiting is taken again after the others, without a ring."""
    scripted.gate.set()
    scripted.answers = [Handled(["b"], [])]
    parts.worker.ring_all(["a", "b"])
    async with parts.pumping():
        await wait_until(lambda: len(scripted.calls) == 2)
    assert scripted.calls == [["a", "b"], ["b"]]


async def test_who_was_passed_over_comes_first(parts: Parts, scripted: Scripted) -> None:
    """One whose large callback did not fit into a call is not passed over again for one that has ever more."""
    scripted.answers = [Handled(["b", "a"], [])]
    parts.worker.ring_all(["a", "b"])
    async with parts.pumping():
        await wait_until(lambda: scripted.calls == [["a", "b"]])
        parts.worker.ring("a")
        scripted.gate.set()
        await wait_until(lambda: len(scripted.calls) == 2)
    assert scripted.calls[1] == ["b", "a"]


@pytest.mark.parametrize("error", [Unavailable("away"), RuntimeError("a fault of ours")])
async def test_call_that_fails(
    parts: Parts, scripted: Scripted, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis away, or a fault of ours: the same tenants are tried again, and the pump goes on."""
    monkeypatch.setattr(callback_worker, "_RETRY_SECONDS", 0.01)
    scripted.gate.set()
    scripted.answers = [error]
    parts.worker.ring("a")
    async with parts.pumping():
        await wait_until(lambda: scripted.calls == [["a"], ["a"]])
    assert ("unexpected_error" in parts.events) == isinstance(error, RuntimeError)


async def test_queue_that_cannot_be_taken(
    parts: Parts, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the server does not let us take is tried again a while later, not in a circle."""
    monkeypatch.setattr(callback_worker, "_AGAIN_SECONDS", 0.05)
    scripted.gate.set()
    scripted.answers = [Handled([], ["a"])]
    parts.worker.ring("a")
    async with parts.pumping():
        await parts.worker.settled("a")
        assert scripted.calls == [["a"]]
        await wait_until(lambda: scripted.calls == [["a"], ["a"]])


async def test_stopped(parts: Parts, scripted: Scripted) -> None:
    """What is under way is finished before the worker has stopped, and nothing is begun any more."""
    scripted.answers = [Handled(["a"], [], many=frozenset("a"))]
    parts.worker.ring("a")
    running = asyncio.create_task(parts.worker.run())
    await wait_until(lambda: scripted.calls == [["a"]])
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    scripted.gate.set()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert scripted.calls == [["a"]]


async def test_backlog_is_taken_ahead(parts: Parts, scripted: Scripted) -> None:
    """Of a tenant with a backlog the next call is under way before the last one came back; of others it is not."""
    scripted.answers = [Handled(["a", "b"], [], many=frozenset("a"))]
    parts.worker.ring_all("ab")
    async with parts.pumping():
        await wait_until(lambda: len(scripted.calls) == 1)
        scripted.gate.set()
        scripted.gate.clear()  # the first comes back, the next ones do not
        await wait_until(lambda: len(scripted.calls) == 3)
        scripted.gate.set()
        await parts.worker.settled("a")
    assert scripted.calls == [["a", "b"], ["a", "b"], ["a"]]


async def test_calls_ahead_are_shared(parts: Parts, scripted: Scripted) -> None:
    """Tenants with a backlog share the call ahead as they share every other: each by itself would take a place."""
    scripted.answers = [Handled(["a", "b", "c"], [], many=frozenset("abc"))]
    parts.worker.ring_all("abc")
    async with parts.pumping():
        await wait_until(lambda: len(scripted.calls) == 1)
        scripted.gate.set()
        scripted.gate.clear()  # the first comes back, the next ones do not
        await wait_until(lambda: len(scripted.calls) >= 3)
        scripted.gate.set()
        await parts.worker.settled("a")
    assert scripted.calls == [["a", "b", "c"]] * 3


async def test_calls_ahead_set_out_apart(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls that set out together come back together, and then neither side works while the other does."""
    calls: list[asyncio.Future[Handled]] = []

    def handle(_self: CallbackHandler, _tenants: list[str]) -> asyncio.Future[Handled]:
        calls.append(asyncio.get_running_loop().create_future())
        return calls[-1]

    many = Handled(["a"], [], many=frozenset("a"))
    monkeypatch.setattr(CallbackHandler, "handle", handle)
    monkeypatch.setattr(callback_worker, "AHEAD_SECONDS", 0.0)
    async with parts.pumping():
        parts.worker.ring("a")
        await wait_until(lambda: len(calls) == 1)
        calls[0].set_result(many)
        await wait_until(lambda: len(calls) == 3)  # the second, and the one ahead of it

        monkeypatch.setattr(callback_worker, "AHEAD_SECONDS", 3_600.0)
        for call in calls[1:]:
            call.set_result(many)  # both in one turn of the loop
        await wait_until(lambda: len(calls) >= 4)
        assert len(calls) == 4  # of two that came back together one has to wait

        monkeypatch.setattr(callback_worker, "AHEAD_SECONDS", 0.0)
        calls[3].set_result(many)
        await wait_until(lambda: len(calls) == 6)
        calls[4].set_result(many)
        await wait_until(lambda: len(calls) == 7)  # the other is under way, so this one need not wait
        for call in calls[5:]:
            call.set_result(Handled([], []))
        await parts.worker.settled("a")
    assert len(calls) == 7
