"""A changed weight or cap holds for what waits already, whoever changed it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.broker.floor import Floor, home

from orchestrator.admission.limits import Limits
from orchestrator.dispatch.retuning import Retuning
from orchestrator.dispatch.tenant_shares import TENANTS_MAX, Share, TenantShares
from orchestrator.protocol.tiers import DEFAULT_LIMITS
from orchestrator.store.errors import StoreUnavailable
from orchestrator.store.records import TenantRecord
from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with the tenants acme and globex, both free."""
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}") as opened:
        await upgrade(opened)
        for tenant in ("acme", "globex"):
            await opened.create_tenant(tenant, "free")
        yield opened


@pytest.fixture
def limits() -> Limits:
    """The default ones."""
    return Limits(0, DEFAULT_LIMITS)


@pytest.fixture
def shares(limits: Limits) -> TenantShares:
    """Theirs, and the tenants' own."""
    return TenantShares(limits.of_tier, own_limits=True)


@pytest.fixture
def retuning(floor: Floor, store: Store, shares: TenantShares) -> Retuning:
    """That of one replica."""
    return Retuning(floor.dispatch, floor.broker.keys, shares, store.get_tenant)


def known(floor: Floor, tenant: str) -> tuple[float | None, float | None]:
    """Weight and cap that the dispatch goes by."""
    return floor.value(f"n:{home(tenant)}", "w"), floor.value(f"n:{home(tenant)}", "cap")


async def test_a_tenant_that_was_changed(
    floor: Floor, store: Store, retuning: Retuning, shares: TenantShares
) -> None:
    """Its tier's share and its own over it, from the database; other tenants keep theirs."""
    await floor.wait("task-1", tenant="acme")
    await floor.wait("task-2", tenant="globex")
    await store.update_tenant("acme", tier="enterprise", limits={"max_running": 5})
    retuning.tenant_changed("acme")
    assert not shares.of("acme", "enterprise").sure
    await retuning.carry_out()

    assert known(floor, "acme") == (8, 5)
    assert known(floor, "globex") == (1, 0)
    assert shares.of("acme", "enterprise") == Share(8, 5)
    await store.update_tenant("acme", limits={"max_running": 6})
    await retuning.carry_out()  # nobody has told of this one yet
    assert known(floor, "acme") == (8, 5)


async def test_a_tier_that_was_changed(
    floor: Floor, store: Store, retuning: Retuning, limits: Limits
) -> None:
    """Every tenant with something in the dispatch gets its share anew; those with a weight of their own keep it."""
    await store.update_tenant("globex", limits={"weight": 6})
    for tenant in ("acme", "globex", "unknown"):
        await floor.wait(f"task-{tenant}", tenant=tenant)
    limits.lay_over({"free": {"weight": 3, "max_running": 2}})
    retuning.limits_changed()
    await retuning.carry_out()
    assert [known(floor, tenant) for tenant in ("acme", "globex", "unknown")] == [(3, 2), (6, 2), (1, 0)]


async def test_left_to_others(floor: Floor, store: Store, retuning: Retuning) -> None:
    """Where another replica does it, nothing is kept for later."""
    await floor.wait("task-1")
    await store.update_tenant("acme", tier="enterprise")
    retuning.tenant_changed("acme")
    retuning.limits_changed()
    retuning.leave_to_others()
    await retuning.carry_out()
    assert known(floor, "acme") == (1, 0)


async def test_while_the_database_is_away(floor: Floor, store: Store, shares: TenantShares) -> None:
    """It is done once the database answers again."""
    away = [StoreUnavailable("here", "away")]

    async def read(tenant: str) -> TenantRecord:
        if away:
            raise away.pop()
        return await store.get_tenant(tenant)

    retuning = Retuning(floor.dispatch, floor.broker.keys, shares, read)
    await floor.wait("task-1")
    await store.update_tenant("acme", tier="enterprise")
    retuning.tenant_changed("acme")
    await retuning.carry_out()
    assert known(floor, "acme") == (1, 0)
    await retuning.carry_out()
    assert known(floor, "acme") == (8, 0)


async def test_without_a_database(floor: Floor, shares: TenantShares) -> None:
    """With access validation off no tenant has limits of its own, and nobody is asked."""
    retuning = Retuning(floor.dispatch, floor.broker.keys, shares, None)
    await floor.wait("task-1")
    retuning.tenant_changed("acme")
    await retuning.carry_out()
    assert known(floor, "acme") == (1, 0)
    assert TenantShares(DEFAULT_LIMITS.__getitem__, own_limits=False).of("acme", "free").sure


def test_own_limits_of_many_tenants(shares: TenantShares) -> None:
    """Those that were told last are remembered."""
    for number in range(TENANTS_MAX + 1):
        shares.note(f"tenant-{number}", {"weight": 2})
    assert not shares.of("tenant-0", "free").sure
    assert shares.of("tenant-1", "free") == Share(2, 0)
