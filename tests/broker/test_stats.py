"""stats.lua: a tenant's figures (contract §3)."""

from tests.broker.tenant import Tenant, callback


async def test_figures(tenant: Tenant) -> None:
    """What is open, and what was accepted and ended, by status and by agent."""
    first, second, _ = [(await tenant.admit(b"12345")).task for _ in range(3)]
    await tenant.deliver(callback(first, "running"), callback(second, "failed"), b"?")
    tenant.report(b"?")
    figures = await tenant.tasks.figures(tenant.name)
    hour = dict(figures.hour)

    assert (figures.outstanding, figures.running, figures.bytes) == (2, 1, 10)
    assert (figures.callbacks, figures.dead) == (1, 1)
    assert (hour["tasks|accepted"], hour["tasks|failed"]) == (3, 1)
    assert (hour["agent|agent-123|accepted"], hour["agent|agent-123|failed"]) == (3, 1)
    assert sum(n for field, n in hour.items() if field.startswith("latency|")) == 1
    assert hour == dict(figures.day)


async def test_hour_and_day(tenant: Tenant) -> None:
    """Buckets of ten minutes: six make the hour, 144 the day, older ones do not count."""
    this = tenant.broker.clock.now() // 600_000_000
    for back in (1, 4, 10, 140, 150):
        key = tenant.key(f"stats:{this - back}")
        tenant.client.hset(key, "agent|an|odd|name|accepted", 10)
        tenant.client.expire(key, 600)
    await tenant.task()
    figures = await tenant.tasks.figures(tenant.name)
    assert dict(figures.hour)["tasks|accepted"] == 21
    assert dict(figures.day)["tasks|accepted"] == 41


async def test_latency_buckets(tenant: Tenant) -> None:
    """An answer's time falls into one of four buckets a doubling, from a millisecond up."""
    task = await tenant.task()
    tenant.client.hincrby(tenant.key(f"task:{task}"), "accepted_at", -10_000_000)
    await tenant.deliver(callback(task, "completed"))
    hour = dict((await tenant.tasks.figures(tenant.name)).hour)
    assert hour["latency|53"] == 1  # 2 ** (53 / 4) = 9 742 ms


async def test_nothing(tenant: Tenant) -> None:
    """A tenant that never did anything has figures, all of them nothing."""
    figures = await tenant.tasks.figures(tenant.name)
    assert (figures.outstanding, figures.running, figures.bytes, figures.callbacks, figures.dead) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert (figures.hour, figures.day) == ([], [])
