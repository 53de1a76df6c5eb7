"""No task is forgotten by a look that was under way when it was sent."""

from tests.broker.tenant import SECOND, Tenant

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker


async def test_noted_during_a_look(broker: Broker, tenant: Tenant) -> None:
    """A look that found nothing neither removes nor puts off a tenant that was noted while it lasted."""
    agenda, now = Agenda(broker), broker.clock.now()
    key, part = broker.keys.agenda("acme"), [int(broker.keys.agenda("acme").rsplit(":", 1)[1][:-1])]
    for found in (0, now + 3_600 * SECOND):
        tenant.client.zadd(key, {"acme": now - SECOND})
        ((name, seen),) = await agenda.due(part)
        await agenda.note("acme", now + 30 * SECOND)
        await agenda.reschedule(name, seen, found)
        assert [name for name, _ in await agenda.due(part)] == ["acme"]


async def test_noted_again_and_again(broker: Broker, tenant: Tenant) -> None:
    """Notes leave a due tenant due, and one that is not due with its earliest look, give or take microseconds."""
    agenda, now = Agenda(broker), broker.clock.now()
    key = broker.keys.agenda("acme")
    for planned in (now - SECOND, now + 20 * SECOND):
        tenant.client.zadd(key, {"acme": planned})
        for _ in range(3):
            await agenda.note("acme", now + 30 * SECOND)
        assert abs(tenant.client.zscore(key, "acme") - planned) < 10
