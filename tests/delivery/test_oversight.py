"""What administrators change is carried out on every replica (docs/decisions/0008)."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.broker.tenant import Tenant
from tests.delivery.parts import Parts, Reader
from tests.servers import wait_until

from orchestrator.admission.access import Access
from orchestrator.admission.limits import Limits
from orchestrator.auth.revocations import Revocations
from orchestrator.broker.access_cache import AccessCache
from orchestrator.broker.changes import Changes
from orchestrator.delivery.connection import Connection
from orchestrator.oversight import Oversight
from orchestrator.protocol.events import SessionName
from orchestrator.protocol.tiers import DEFAULT_LIMITS
from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store
from orchestrator.telemetry import configure_logging

MICROS = 1_000_000


class Watch:
    """The oversight of one replica, and what it works on."""

    def __init__(self, parts: Parts, store: Store | None) -> None:
        broker, log = parts.tenant.broker, configure_logging("DEBUG", "json", stream=parts.lines)
        self.cache = AccessCache(broker, 300)
        self.changes, self.revocations = Changes(broker), Revocations()
        self.limits = Limits(100, DEFAULT_LIMITS)
        self.oversight = Oversight(
            changes=self.changes,
            revocations=self.revocations,
            limits=self.limits,
            access=Access(store, self.cache, log),
            manager=parts.manager,
            store=store,
            log=log,
        )


NewWatch = Callable[..., Watch]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A database with the tenant `acme`."""
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'o.db'}") as opened:
        await upgrade(opened)
        await opened.create_tenant("acme", "free")
        yield opened


def token(reader: Reader, user: str, issued: float | None) -> Reader:
    """The reader with a token of this user."""
    reader.connection.subject, reader.connection.issued = ("acme", user), issued
    return reader


async def test_a_revoked_subject(live: Parts, store: Store) -> None:
    """Its older tokens are void and their sockets closed with 4401; newer tokens and other users stay."""
    watch = Watch(live, store)
    old, unknown = token(Reader(live, "s-1"), "ann", 100.0), token(Reader(live, "s-2"), "ann", None)
    new, other = token(Reader(live, "s-3"), "ann", 300.0), token(Reader(live, "s-4"), "bob", 100.0)
    for reader in (old, unknown, new, other):
        await reader.open()
    await watch.changes.revoked("acme", "ann", 200 * MICROS)
    await watch.oversight.look()
    await wait_until(lambda: old.closed and unknown.closed)
    assert old.closed == unknown.closed == (4401, "the token was revoked")
    assert new.closed is other.closed is None
    assert watch.revocations.covers("acme", "ann", 150.0)
    for reader in (new, other):
        await reader.leave()


async def test_a_revoked_administrator(live: Parts) -> None:
    """Who holds a token of the deployment loses the sockets on whatever tenant."""
    watch, reader = Watch(live, None), Reader(live)
    reader.connection.subject, reader.connection.issued = ("", "root"), 100.0
    await reader.open()
    await watch.changes.revoked("", "root", 200 * MICROS)
    await watch.oversight.look()
    await wait_until(lambda: reader.closed)
    assert reader.closed == (4401, "the token was revoked")


async def test_a_suspended_tenant(live: Parts, store: Store) -> None:
    """Its sockets are closed with 4403 as soon as the change is announced; not before, by a mere look."""
    watch, reader = Watch(live, store), Reader(live)
    await reader.open()
    await watch.changes.tenant_changed("acme")
    await watch.oversight.look()
    await watch.oversight.settle()
    assert reader.connection.closing is None
    await store.suspend_tenant("acme")
    await watch.cache.forget(["acme"])
    await watch.changes.tenant_changed("acme")
    await watch.oversight.look()
    await watch.oversight.settle()
    await wait_until(lambda: reader.closed)
    assert reader.closed == (4403, "the tenant is unknown or suspended")


async def test_own_limits_that_change(live: Parts, store: Store) -> None:
    """Open sockets take a tenant's new limits."""
    watch, reader = Watch(live, store), Reader(live)
    await reader.open()
    await store.update_tenant("acme", limits={"messages_per_second": 3})
    await watch.cache.forget(["acme"])
    await watch.changes.tenant_changed("acme")
    await watch.oversight.look()
    await watch.oversight.settle()
    assert reader.connection.own_limits == {"messages_per_second": 3}
    await reader.leave()


async def test_limits_of_a_tier(live: Parts, store: Store) -> None:
    """Changed limits hold without a restart, and go back to what was configured."""
    watch = Watch(live, store)
    await store.set_tier_limits("free", {"max_outstanding": 3})
    await watch.changes.limits_changed()
    await watch.oversight.look()
    await watch.oversight.settle()
    assert watch.limits.of_tier("free").max_outstanding == 3
    assert watch.limits.of_tier("free").max_connections == DEFAULT_LIMITS["free"].max_connections
    await store.set_tier_limits("free", {"max_outstanding": None})
    await watch.oversight.reload()
    assert watch.limits.of_tier("free") == DEFAULT_LIMITS["free"]


async def test_a_replica_that_starts(live: Parts, store: Store) -> None:
    """It knows what was revoked before it serves: from the database, and from the feed where there is none."""
    await store.revoke_subject("acme", "ann")
    from_store = Watch(live, store)
    await from_store.oversight.start()
    assert from_store.revocations.covers("acme", "ann", 1.0)
    from_feed = Watch(live, None)
    await from_feed.changes.revoked("acme", "bob", 200 * MICROS)
    await from_feed.oversight.start()
    assert from_feed.revocations.covers("acme", "bob", 1.0)


async def test_a_feed_that_lost_it(live: Parts, store: Store, tenant: Tenant) -> None:
    """A revocation that Redis lost is read from the database."""
    watch = Watch(live, store)
    await watch.oversight.start()
    await store.revoke_subject("acme", "ann")
    tenant.client.delete(tenant.broker.keys.changes)
    await watch.oversight.reload()
    assert watch.revocations.covers("acme", "ann", 1.0)


async def test_nobody_knows_now(live: Parts, store: Store, tmp_path: Path) -> None:
    """While the database is away the sockets stay, and are judged when it is back."""
    watch, reader = Watch(live, store), Reader(live)
    await reader.open()
    await store.suspend_tenant("acme")
    await watch.cache.forget(["acme"])
    await watch.changes.tenant_changed("acme")
    database = tmp_path / "o.db"
    away = database.rename(tmp_path / "away.db")
    await store.database.close()
    (tmp_path / "o.db").mkdir()
    await watch.oversight.look()
    await watch.oversight.settle()
    assert reader.connection.closing is None
    (tmp_path / "o.db").rmdir()
    away.rename(database)
    await watch.oversight.look()
    await watch.oversight.settle()
    await wait_until(lambda: reader.closed)
    assert reader.closed == (4403, "the tenant is unknown or suspended")


async def test_a_feed_that_is_shorter(live: Parts, store: Store, tenant: Tenant) -> None:
    """A suspension that Redis lost with its last second is found by the feed that has become shorter."""
    watch, reader = Watch(live, store), Reader(live)
    await watch.changes.limits_changed()
    await watch.oversight.look()
    await reader.open()
    await store.suspend_tenant("acme")
    await watch.cache.forget(["acme"])
    tenant.client.delete(tenant.broker.keys.changes)
    await watch.oversight.reload()
    await watch.oversight.settle()
    await wait_until(lambda: reader.closed)
    assert reader.closed == (4403, "the tenant is unknown or suspended")
    await watch.changes.revoked("acme", "ann", 200 * MICROS)
    await watch.oversight.look()
    assert watch.revocations.covers("acme", "ann", 100.0)


async def test_a_tenant_that_cannot_be_judged(live: Parts, store: Store, tenant: Tenant) -> None:
    """One whose keys are broken keeps no other waiting."""
    watch, reader = Watch(live, store), Reader(live)
    broken = Reader(live)
    broken.connection = Connection(broken, SessionName("broken", "s-1", ""), "free", "")
    for one in (reader, broken):
        await one.open()
    tenant.client.set("{orchestrator:broken:callbacks}:access", "no hash", ex=60)
    await store.suspend_tenant("acme")
    await watch.cache.forget(["acme"])
    for name in ("broken", "acme"):
        await watch.changes.tenant_changed(name)
    await watch.oversight.look()
    await watch.oversight.settle()
    await wait_until(lambda: reader.closed)
    assert broken.connection.closing is None
    await broken.leave()


async def test_a_token_that_ends(live: Parts) -> None:
    """A socket is closed with 4401 when its token ends, others are not."""
    reader, other = Reader(live), Reader(live, "s-2")
    reader.connection.expires, other.connection.expires = 1.0, 4e9
    for one in (reader, other):
        await one.open()
    live.manager.close_overdue()
    await wait_until(lambda: reader.closed)
    assert reader.closed == (4401, "the token has ended: reconnect with a new one")
    assert other.closed is None
    await other.leave()
