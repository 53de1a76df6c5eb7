"""The service tells the dispatch what waits and what has ended, and hands on what lost its worker."""

import pytest
from tests.broker.floor import LEASE_MS, PAST_MS, Floor

from orchestrator.broker.connection import Unavailable
from orchestrator.broker.dispatch import Waiting
from orchestrator.broker.keys import execution_queue
from orchestrator.dispatch import dispatcher as module
from orchestrator.dispatch.dispatcher import Dispatcher, StillOver
from orchestrator.dispatch.tenant_shares import TenantShares
from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.tiers import DEFAULT_LIMITS

QUEUE = execution_queue("agent-1", "professional")
Handed = list[tuple[str, str, int, str]]


@pytest.fixture
def shares() -> TenantShares:
    """The default limits, and tenants that may have their own."""
    return TenantShares(DEFAULT_LIMITS.__getitem__, own_limits=True)


@pytest.fixture
def dispatcher(floor: Floor, shares: TenantShares) -> Dispatcher:
    """That of one replica."""
    return Dispatcher(floor.dispatch, floor.broker.keys, shares, LEASE_MS / 1000)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered of who serves what."""
    monkeypatch.setattr(module, "SERVED_SECONDS", 0)


async def test_what_is_served_is_announced(
    floor: Floor, dispatcher: Dispatcher, shares: TenantShares
) -> None:
    """An attempt gets its place with the tenant's own weight and cap, else its tier's."""
    worker = await floor.worker("w1")
    shares.note("acme", {"max_running": 7})
    await dispatcher.announce("acme", "task-1", 1, QUEUE)

    assert await floor.claim(worker) == ["task-1"]
    known = floor.client.hgetall("{dispatch}:n:orchestrator:acme:callbacks")
    assert known == {b"w": b"4", b"cap": b"7"}


async def test_a_cap_is_known_before_its_task_waits(
    floor: Floor, dispatcher: Dispatcher, shares: TenantShares
) -> None:
    """Told once a minute, at once where it has changed; nothing for tenants without a cap, or with a guess."""
    key = "{dispatch}:n:orchestrator:acme:callbacks"
    shares.note("acme", {})
    await dispatcher.expect("acme", QUEUE)
    shares.forget("acme")
    await dispatcher.expect("acme", QUEUE)
    assert not floor.client.exists(key)

    shares.note("acme", {"max_running": 2})
    await dispatcher.expect("acme", QUEUE)
    assert floor.client.hgetall(key) == {b"w": b"4", b"cap": b"2"}
    floor.client.delete(key)
    await dispatcher.expect("acme", QUEUE)
    assert not floor.client.exists(key)
    shares.note("acme", {"max_running": 3})
    await dispatcher.expect("acme", QUEUE)
    assert floor.client.hget(key, "cap") == b"3"


async def test_who_is_known_needs_no_expecting(dispatcher: Dispatcher, shares: TenantShares) -> None:
    """An admission may push by itself where the tenant's cap is none for certain, or told."""
    assert not dispatcher.is_known("acme", "professional")
    shares.note("acme", {})
    assert dispatcher.is_known("acme", "professional")
    shares.note("acme", {"max_running": 2})
    assert not dispatcher.is_known("acme", "professional")
    await dispatcher.expect("acme", QUEUE)
    assert dispatcher.is_known("acme", "professional")


async def test_a_guess_leaves_what_is_known(
    floor: Floor, dispatcher: Dispatcher, shares: TenantShares
) -> None:
    """A replica that has never seen the tenant does not put its tier's share over the tenant's own."""
    await floor.worker("w1")
    shares.note("acme", {"weight": 9})
    await dispatcher.announce("acme", "task-1", 1, QUEUE)
    shares.forget("acme")
    await dispatcher.announce("acme", "task-2", 1, QUEUE)
    assert floor.client.hget("{dispatch}:n:orchestrator:acme:callbacks", "w") == b"9"


async def test_what_nobody_serves_is_not_announced(floor: Floor, dispatcher: Dispatcher) -> None:
    """Plain agents have their queue, and nothing piles up in the dispatch for them."""
    await floor.worker("w1", "agent-2")
    await dispatcher.announce("acme", "task-1", 1, QUEUE)
    assert not floor.client.exists("{dispatch}:l:task-1")


async def test_without_workers_it_costs_a_look(floor: Floor, dispatcher: Dispatcher) -> None:
    """However much is sent and ends, the dispatch is asked once a second whether anybody lives."""
    calls: list[str] = []
    run = floor.dispatch._run  # pyright: ignore[reportPrivateUsage]

    async def counted(script: str, *rest: str | bytes | int) -> object:
        calls.append(script)
        return await run(script, *rest)

    floor.dispatch._run = counted  # pyright: ignore[reportPrivateUsage]
    for number in range(20):
        await dispatcher.announce("acme", f"task-{number}", 1, execution_queue(f"agent-{number}", "free"))
        await dispatcher.ended([f"task-{number}"])
    assert calls == ["served"]


@pytest.mark.usefixtures("at_once")
async def test_a_worker_that_comes_is_noticed(floor: Floor, dispatcher: Dispatcher) -> None:
    """What was known of a context does not hold for long."""
    await dispatcher.announce("acme", "task-1", 1, QUEUE)
    worker = await floor.worker("w1")
    await dispatcher.announce("acme", "task-2", 1, QUEUE)
    assert await floor.claim(worker, 9) == ["task-2"]


async def test_who_runs_it_is_told(floor: Floor, dispatcher: Dispatcher) -> None:
    """A task that the service has ended is taken from its worker, whichever attempt it is."""
    worker = await floor.worker("w1")
    await floor.wait("task-1", attempt=2)
    await floor.claim(worker)
    floor.woken(worker)
    await dispatcher.ended(["task-1", "task-unknown"])
    assert floor.woken(worker) == ["gone task-1 2"]
    assert floor.running() == 0


async def test_lapsed_runs_are_handed_on(floor: Floor, dispatcher: Dispatcher) -> None:
    """With tenant, task, attempt and worker; once that is done nothing is left of the lease."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")
    await floor.claim(worker, 1, PAST_MS)
    handed: Handed = []

    async def lapsed(tenant: str, task: str, attempt: int, worker: str, still_over: StillOver) -> bool:
        handed.append((tenant, task, attempt, worker))
        return await still_over()

    await dispatcher.look(lapsed)
    await dispatcher.look(lapsed)
    assert handed == [("acme", "task-1", 1, "w1")]
    assert not floor.client.exists("{dispatch}:leases:orchestrator")


async def test_a_next_attempt_is_not_finished_with_the_old(floor: Floor, dispatcher: Dispatcher) -> None:
    """What the supervision announces while it looks after the old attempt stays."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")
    await floor.claim(worker, 1, PAST_MS)
    await floor.worker(worker)  # it lives, and has lost its lease

    async def lapsed(tenant: str, task: str, attempt: int, _worker: str, _still_over: StillOver) -> bool:
        await dispatcher.announce(tenant, task, attempt + 1, QUEUE)
        return True

    await dispatcher.look(lapsed)
    assert await floor.claim(worker) == ["task-1"]


async def test_one_that_cannot_be_handed_on_now(floor: Floor, dispatcher: Dispatcher) -> None:
    """Its lease stays, so that it comes again, and the others are handed on all the same."""
    worker = await floor.worker("w1")
    await floor.wait("task-1", "task-2")
    await floor.claim(worker, 2, PAST_MS)

    async def lapsed(_tenant: str, task: str, _attempt: int, _worker: str, _still_over: StillOver) -> bool:
        if task == "task-1":
            raise Unavailable("for a moment")
        return True

    await dispatcher.look(lapsed)
    assert floor.client.zrange("{dispatch}:leases:orchestrator", 0, -1) == [b"task-1"]


async def test_one_that_is_renewed_meanwhile(floor: Floor, dispatcher: Dispatcher) -> None:
    """A worker that renews while its lapsed run is looked after keeps it."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")
    await floor.claim(worker, 1, PAST_MS)
    floor.woken(worker)

    async def lapsed(_tenant: str, task: str, _attempt: int, _worker: str, still_over: StillOver) -> bool:
        assert await still_over()
        await floor.dispatch.renew(worker, LEASE_MS, [floor.held(task)])
        return await still_over()

    await dispatcher.look(lapsed)
    assert floor.running() == 1
    assert floor.woken(worker) == []


async def test_after_a_gap_workers_come_first(floor: Floor, dispatcher: Dispatcher) -> None:
    """Where nobody looked, since Redis was away, nothing is handed on before workers could renew."""
    worker = await floor.worker("w1")
    await dispatcher.look(unwanted)
    await floor.wait("task-1")
    await floor.claim(worker, 1, PAST_MS)
    floor.client.hincrby("{dispatch}:looked:orchestrator", "last", -60_000)
    await dispatcher.look(unwanted)
    assert floor.running() == 1


async def unwanted(tenant: str, task: str, attempt: int, worker: str, still_over: StillOver) -> bool:
    """Nothing may be handed on."""
    raise AssertionError(tenant, task, attempt, worker, still_over)


@pytest.mark.parametrize("home", ["orchestrator:{x}:callbacks", "orchestrator::callbacks"])
async def test_a_tenant_that_an_agent_made_up(floor: Floor, dispatcher: Dispatcher, home: str) -> None:
    """A run of what cannot be a tenant is finished, and no tenant is asked about it."""
    worker = await floor.worker("w1")
    await floor.dispatch.ready([Waiting("task-1", 1, "agent-1", "free", home)])
    await floor.claim(worker, 1, PAST_MS)
    await dispatcher.look(unwanted)
    assert not floor.client.exists("{dispatch}:leases:orchestrator")


@pytest.mark.usefixtures("at_once")
async def test_while_redis_is_away(floor: Floor, dispatcher: Dispatcher, valkey: ValkeyServer) -> None:
    """Announcements are lost without a sound: workers find what waits by themselves."""
    await floor.worker("w1")
    valkey.kill()
    try:
        await dispatcher.announce("acme", "task-1", 1, QUEUE)
        await dispatcher.ended(["task-1"])
    finally:
        valkey.start()
