"""announce.lua and the feed: what an administrator changed reaches every replica, in order."""

from typing import Any

import pytest
from tests.broker.tenant import SECOND

from orchestrator.broker import changes as module
from orchestrator.broker.broker import Broker
from orchestrator.broker.changes import KEPT_SECONDS, Changes, LimitsChanged, Revoked, TenantChanged


async def test_what_is_announced_is_read_in_order(broker: Broker) -> None:
    """Each kind of change comes back as it went in, the oldest first; a subject may hold spaces."""
    changes = Changes(broker)
    start = await changes.newest()
    await changes.tenant_changed("acme")
    await changes.revoked("acme", "Ann B. Smith", 1_700_000_000_000_001)
    await changes.limits_changed()
    at, found = await changes.since(start)
    assert found == [
        TenantChanged("acme"),
        Revoked("acme", "Ann B. Smith", 1_700_000_000_000_001),
        LimitsChanged(),
    ]
    assert at == await changes.newest()
    assert await changes.since(at) == (at, [])


async def test_told_again_is_read_again(broker: Broker) -> None:
    """The same change a second time moves to the end of the feed."""
    changes = Changes(broker)
    await changes.tenant_changed("acme")
    at = await changes.newest()
    await changes.tenant_changed("acme")
    assert (await changes.since(at))[1] == [TenantChanged("acme")]


async def test_a_clock_that_steps_back(broker: Broker, client: Any) -> None:
    """Scores grow, whatever the clock does: who reads on from the last one misses nothing."""
    changes = Changes(broker)
    ahead = broker.clock.now() + 3_600 * SECOND
    client.zadd(broker.keys.changes, {"tenant early": ahead})
    await changes.tenant_changed("acme")
    assert await changes.since(ahead) == (ahead + 1, [TenantChanged("acme")])


async def test_pages(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long feed is read a page at a time."""
    monkeypatch.setattr(module, "_PAGE", 2)
    changes = Changes(broker)
    for number in range(5):
        await changes.tenant_changed(f"tenant-{number}")
    at, pages = 0, list[int]()
    while True:
        at, found = await changes.since(at)
        if not found:
            break
        pages.append(len(found))
    assert pages == [2, 2, 1]


async def test_kept_for_a_while(broker: Broker, client: Any) -> None:
    """Old announcements go, the feed itself ends, and there is a most of them."""
    changes = Changes(broker)
    client.zadd(broker.keys.changes, {"tenant old": broker.clock.now() - (KEPT_SECONDS + 60) * SECOND})
    await changes.tenant_changed("acme")
    assert client.zrange(broker.keys.changes, 0, -1) == [b"tenant acme"]
    assert KEPT_SECONDS - 5 < client.ttl(broker.keys.changes) <= KEPT_SECONDS
    await broker.run("announce", broker.keys.changes, "tenant other", KEPT_SECONDS, 1)
    assert client.zrange(broker.keys.changes, 0, -1) == [b"tenant other"]


async def test_a_kind_that_is_not_known(broker: Broker, client: Any) -> None:
    """What a later version announces is passed over."""
    client.zadd(broker.keys.changes, {"moon full": 5, "tenant acme": 6})
    client.expire(broker.keys.changes, 60)
    assert await Changes(broker).since(0) == (6, [TenantChanged("acme")])
