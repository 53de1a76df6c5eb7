"""The agenda and reschedule.lua: who is looked at when, and nobody's plan is lost."""

from tests.broker.tenant import SECOND, Tenant

from orchestrator.broker.agenda import LOOK_AHEAD_MICROS, Agenda
from orchestrator.broker.broker import Broker


async def test_earlier_look_wins(broker: Broker, tenant: Tenant) -> None:
    """A note brings a look forward and never puts it off; a minute ahead at most."""
    agenda, now = Agenda(broker), broker.clock.now()
    key = broker.keys.agenda("acme")
    await agenda.note("acme", now + 3_600 * SECOND)
    assert abs(tenant.client.zscore(key, "acme") - now - LOOK_AHEAD_MICROS) < SECOND
    await agenda.note("acme", now + 5 * SECOND)
    await agenda.note("acme", now + 30 * SECOND)
    assert tenant.client.zscore(key, "acme") == now + 5 * SECOND - 1


async def test_note_during_a_look(broker: Broker, tenant: Tenant) -> None:
    """A note that comes while somebody looks keeps the tenant on the agenda, though its look is no earlier."""
    agenda, now = Agenda(broker), broker.clock.now()
    key = broker.keys.agenda("acme")
    tenant.client.zadd(key, {"acme": now - SECOND})
    await agenda.note("acme", now + 60 * SECOND)
    await agenda.reschedule("acme", str(now - SECOND).encode(), 0)
    assert tenant.client.zscore(key, "acme") == now - SECOND - 1


async def test_due(broker: Broker, tenant: Tenant) -> None:
    """What is due in a part comes with the score that was read, what is not stays."""
    agenda, now = Agenda(broker), broker.clock.now()
    key = broker.keys.agenda_part(3)
    tenant.client.zadd(key, {"early": now - SECOND, "late": now + 60 * SECOND})
    assert await agenda.due([3, 4]) == [("early", str(now - SECOND).encode())]
    assert await agenda.due([4, 5]) == []


async def test_rescheduled(broker: Broker, tenant: Tenant) -> None:
    """A look is planned anew, or the tenant leaves the agenda."""
    agenda, now = Agenda(broker), broker.clock.now()
    key = broker.keys.agenda("acme")
    tenant.client.zadd(key, {"acme": now})
    await agenda.reschedule("acme", str(now).encode(), now + 7)
    assert tenant.client.zscore(key, "acme") == now + 7
    await agenda.reschedule("acme", str(now + 7).encode(), 0)
    assert not tenant.client.exists(key)


async def test_plan_that_changed_meanwhile(broker: Broker, tenant: Tenant) -> None:
    """A task admitted between the look and its noting keeps its own plan."""
    agenda, now = Agenda(broker), broker.clock.now()
    key = broker.keys.agenda("acme")
    tenant.client.zadd(key, {"acme": now + 1})
    await agenda.reschedule("acme", str(now).encode(), 0)
    assert tenant.client.zscore(key, "acme") == now + 1
    tenant.client.delete(key)
    await agenda.reschedule("acme", str(now).encode(), now + 60)
    assert not tenant.client.exists(key)


async def test_every_tenant(broker: Broker) -> None:
    """The tenants of all parts, each once."""
    agenda, names = Agenda(broker), {f"tenant-{number}" for number in range(40)}
    for name in names:
        await agenda.note(name, broker.clock.now())
    assert sorted(await agenda.tenants()) == sorted(names)
