"""A change of the records holds at once: it is stored, and then the cached answers are void."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from orchestrator.admission.administration import Administration, CacheNotCleared
from orchestrator.store.errors import AlreadyExists, NotFound
from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store


class RecordingCache:
    """Notes whose answers were voided, and what the database said about acme at that moment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.forgotten: list[set[str]] = []
        self.tiers: list[str | None] = []

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        self.forgotten.append(set(tenant_ids))
        self.tiers.append((await self._store.access("acme", [])).tier)


class BrokenCache:
    """A cache that cannot be reached."""

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        raise ConnectionRefusedError("Redis is away")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a SQLite file."""
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}") as opened:
        await upgrade(opened)
        yield opened


@pytest.fixture
def cache(store: Store) -> RecordingCache:
    """The cache that `administration` clears."""
    return RecordingCache(store)


@pytest.fixture
def administration(store: Store, cache: RecordingCache) -> Administration:
    """The operator's verbs on `store` and `cache`."""
    return Administration(store, cache)


async def test_answers_are_void_after_the_change_is_stored(
    administration: Administration, cache: RecordingCache
) -> None:
    """When the cache is told, the database has the new record already: no old answer can come after."""
    await administration.create_tenant("acme", "free")
    await administration.update_tenant("acme", tier="advance")
    await administration.suspend_tenant("acme")
    await administration.resume_tenant("acme")

    assert cache.tiers == ["free", "advance", None, "advance"]
    assert cache.forgotten == [{"acme"}] * 4


async def test_owner_and_grantees_are_voided(administration: Administration, cache: RecordingCache) -> None:
    """A change of a context voids the answers of its owner and of everyone it is or was granted to."""
    await administration.create_tenant("acme", "free")
    await administration.create_tenant("globex", "free")
    cache.forgotten.clear()

    await administration.create_context("acme", "agent", "123")
    await administration.grant("globex", "agent-123")
    await administration.update_context("agent-123", active=False)
    await administration.revoke("globex", "agent-123")

    assert cache.forgotten == [{"acme"}, {"acme", "globex"}, {"acme", "globex"}, {"acme", "globex"}]


async def test_the_record_comes_back(administration: Administration) -> None:
    """Each change answers with the record as it is afterwards."""
    tenant = await administration.create_tenant("acme", "free", {"weight": 3})
    context = await administration.create_context("acme", "agent", "123")

    assert (tenant.tier, tenant.limits) == ("free", {"weight": 3})
    assert (context.id, context.tenant_id) == ("agent-123", "acme")


async def test_a_refused_change_voids_nothing(administration: Administration, cache: RecordingCache) -> None:
    """What changed nothing in the database leaves the cache alone."""
    await administration.create_tenant("acme", "free")
    cache.forgotten.clear()

    with pytest.raises(AlreadyExists):
        await administration.create_tenant("acme", "free")
    with pytest.raises(NotFound):
        await administration.grant("acme", "agent-9")
    assert cache.forgotten == []


async def test_a_cache_that_is_away_is_said_plainly(store: Store) -> None:
    """The change is stored, and the error says so and for how long old answers may last."""
    administration = Administration(store, BrokenCache())

    with pytest.raises(CacheNotCleared, match=r"changed, but .* ORCHESTRATOR_VALIDATION_CACHE_TTL seconds"):
        await administration.create_tenant("acme", "free")
    assert (await store.get_tenant("acme")).tier == "free"
