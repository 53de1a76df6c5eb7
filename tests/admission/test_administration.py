"""A change holds at once: it is stored, the cached answers are void, and every replica is told."""

from collections.abc import AsyncIterator, Awaitable, Iterable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.admission.administration import Administration, CacheNotCleared, TasksLeftOpen
from orchestrator.admission.limit_rules import BadLimit
from orchestrator.store.errors import AlreadyExists, NotFound
from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store

ME = "ann"


class Followers:
    """Cache, feed and open tasks at once: notes what it was told, and acme's tier at that moment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.told: list[Any] = []
        self.tiers: list[str | None] = []
        self.tasks: tuple[int, int] = (3, 0)

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        self.told.append(("forget", *sorted(tenant_ids)))
        self.tiers.append((await self._store.access("acme", [])).tier)

    async def suspend(self, tenant: str) -> tuple[int, int]:
        self.told.append(("suspend", tenant))
        return self.tasks

    async def tenant_changed(self, tenant: str) -> None:
        self.told.append(("changed", tenant))

    async def revoked(self, tenant: str, subject: str, at_micros: int) -> None:
        self.told.append(("revoked", tenant, subject, at_micros))

    async def limits_changed(self) -> None:
        self.told.append((await self._store.tier_limits(),))


class Nobody:
    """Redis, when it cannot be reached."""

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        raise ConnectionRefusedError("Redis is away")

    async def suspend(self, tenant: str) -> tuple[int, int]:
        raise ConnectionRefusedError("Redis is away")

    async def tenant_changed(self, tenant: str) -> None:
        raise ConnectionRefusedError("Redis is away")

    async def revoked(self, tenant: str, subject: str, at_micros: int) -> None:
        raise ConnectionRefusedError("Redis is away")

    async def limits_changed(self) -> None:
        raise ConnectionRefusedError("Redis is away")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a SQLite file."""
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}") as opened:
        await upgrade(opened)
        yield opened


@pytest.fixture
def followers(store: Store) -> Followers:
    """Those whom `administration` tells."""
    return Followers(store)


@pytest.fixture
async def administration(store: Store, followers: Followers) -> Administration:
    """The operator's verbs, on a deployment with the tenants acme and globex."""
    for tenant in ("acme", "globex"):
        await store.create_tenant(tenant, "free")
    return Administration(store, followers, followers, followers)


async def test_answers_are_void_after_the_change_is_stored(
    administration: Administration, followers: Followers
) -> None:
    """When the cache is told, the database has the new record already: no old answer can come after."""
    await administration.update_tenant("acme", tier="advance", actor=ME)
    await administration.suspend_tenant("acme", actor=ME)
    await administration.resume_tenant("acme", actor=ME)

    assert followers.tiers == ["advance", None, "advance"]


async def test_everybody_is_told_of_a_change(administration: Administration, followers: Followers) -> None:
    """First the cached answers are void, then sockets are asked about; a new tenant's kept denial goes too."""
    await administration.update_tenant("acme", tier="advance", actor=ME)
    await administration.create_tenant("initech", "free", actor=ME)

    told = [("forget", "acme"), ("changed", "acme"), ("forget", "initech"), ("changed", "initech")]
    assert followers.told == told


async def test_owner_and_grantees_are_told(administration: Administration, followers: Followers) -> None:
    """A change of a context concerns its owner and everyone it is or was granted to."""
    await administration.create_context("acme", "agent", "123", actor=ME)
    await administration.grant("globex", "agent-123", actor=ME)
    await administration.update_context("agent-123", active=False, actor=ME)
    await administration.revoke("globex", "agent-123", actor=ME)

    alone = [("forget", "acme"), ("changed", "acme")]
    both = [("forget", "acme", "globex"), ("changed", "acme"), ("changed", "globex")]
    assert followers.told == [*alone, *both, *both, *both]


async def test_a_suspension_ends_tasks_between_the_two(
    administration: Administration, followers: Followers
) -> None:
    """Tasks end when no new one can come any more, and before the sockets that show their endings are closed."""
    suspended = await administration.suspend_tenant("acme", actor=ME)

    assert (suspended.tenant.active, suspended.tasks_ended) == (False, 3)
    assert followers.told == [("forget", "acme"), ("suspend", "acme"), ("changed", "acme")]


async def test_suspending_again_finishes_what_was_left(
    administration: Administration, followers: Followers, store: Store
) -> None:
    """Tasks that could not be ended are said once everybody has been told; the same command tries them again."""
    followers.tasks = (3, 2)
    with pytest.raises(TasksLeftOpen, match=r"2 of its open tasks could not be ended \(3 were\)"):
        await administration.suspend_tenant("acme", actor=ME)
    assert followers.told[-1] == ("changed", "acme")

    followers.tasks = (2, 0)
    assert (await administration.suspend_tenant("acme", actor=ME)).tasks_ended == 2
    assert [entry.action for entry in await store.audit(limit=2)] == ["tenants.suspend", "tenants.create"]


async def test_a_revocation_is_told_as_it_is_stored(
    administration: Administration, followers: Followers, store: Store
) -> None:
    """Replicas hear of the moment, in microseconds, that the database has."""
    record = await administration.revoke_subject("acme", "bob smith", actor=ME)

    assert await store.revocations(record.revoked_at) == (record,)
    micros = int(record.revoked_at.timestamp()) * 1_000_000 + record.revoked_at.microsecond
    assert followers.told == [("revoked", "acme", "bob smith", micros)]


async def test_limits_are_told_after_they_are_stored(
    administration: Administration, followers: Followers
) -> None:
    """Who reads the limits when it is told of them reads the new ones."""
    record = await administration.set_tier_limits("free", {"weight": 7}, actor=ME)

    assert (record.tier, record.limits) == ("free", {"weight": 7})
    assert followers.told == [({"free": {"weight": 7}},)]


async def test_every_change_is_noted_under_its_name(administration: Administration, store: Store) -> None:
    """Whoever asks for a change is in the audit table, whichever change it is."""
    await administration.create_tenant("initech", "free", {"weight": 3}, actor="1")
    await administration.update_tenant("initech", tier="advance", actor="2")
    await administration.suspend_tenant("initech", actor="3")
    await administration.resume_tenant("initech", actor="4")
    await administration.create_context("initech", "workflow", "1", actor="5")
    await administration.grant("acme", "workflow-1", actor="6")
    await administration.update_context("workflow-1", active=False, actor="7")
    await administration.revoke("acme", "workflow-1", actor="8")
    await administration.revoke_subject("initech", "bob", actor="9")
    await administration.set_tier_limits("free", {"weight": 2}, actor="10")

    noted = [(entry.actor, entry.action, entry.tenant_id) for entry in await store.audit(limit=10)]
    assert noted[::-1] == [
        ("1", "tenants.create", "initech"),
        ("2", "tenants.update", "initech"),
        ("3", "tenants.suspend", "initech"),
        ("4", "tenants.resume", "initech"),
        ("5", "workflows.create", "initech"),
        ("6", "workflows.grant", "acme"),
        ("7", "workflows.update", "initech"),
        ("8", "workflows.revoke", "acme"),
        ("9", "tokens.revoke", "initech"),
        ("10", "limits.set", None),
    ]


async def test_a_refused_change_tells_nobody(administration: Administration, followers: Followers) -> None:
    """What changed nothing in the database leaves the replicas alone."""
    with pytest.raises(NotFound):
        await administration.grant("acme", "agent-9", actor=ME)
    with pytest.raises(NotFound):
        await administration.suspend_tenant("nobody", actor=ME)

    assert followers.told == []


async def test_a_limit_that_cannot_be_is_refused(administration: Administration, store: Store) -> None:
    """Whichever way a limit comes in, a wrong one is named before anything is stored."""
    wrong: dict[str, Any] = {"weight": 0}
    changes: list[Awaitable[object]] = [
        administration.create_tenant("initech", "free", wrong, actor=ME),
        administration.update_tenant("acme", limits=wrong, actor=ME),
        administration.set_tier_limits("free", wrong, actor=ME),
    ]
    for change in changes:
        with pytest.raises(BadLimit, match="weight: 0 is not a whole number from 1"):
            await change
    assert (await store.get_tenant("acme")).limits == {}
    assert await store.tier_limits() == {}


async def test_replicas_that_cannot_be_told_are_said_plainly(store: Store) -> None:
    """The change is stored, and the error says so and what it means until everybody knows."""
    nobody = Nobody()
    administration = Administration(store, nobody, nobody, nobody)
    old_answers = r"changed, but .* ORCHESTRATOR_VALIDATION_CACHE_TTL seconds: .*\(Redis is away\)"

    with pytest.raises(CacheNotCleared, match=old_answers):
        await administration.create_tenant("acme", "free", actor=ME)
    with pytest.raises(CacheNotCleared, match="its open tasks go on until it is suspended again"):
        await administration.suspend_tenant("acme", actor=ME)
    with pytest.raises(CacheNotCleared, match="when they next read the database"):
        await administration.revoke_subject("acme", "bob", actor=ME)
    with pytest.raises(CacheNotCleared, match="when they next read the database"):
        await administration.set_tier_limits("free", {"weight": 2}, actor=ME)
    assert not (await store.get_tenant("acme")).active


async def test_a_create_that_could_not_be_announced(store: Store, followers: Followers) -> None:
    """Made again it finds the record there, says so, and tells what could not be told before."""
    with pytest.raises(CacheNotCleared):
        await Administration(store, Nobody(), Nobody(), Nobody()).create_tenant("acme", "free", actor="ann")
    with pytest.raises(AlreadyExists):
        await Administration(store, followers, followers, followers).create_tenant(
            "acme", "free", actor="ann"
        )
    assert followers.told == [("forget", "acme"), ("changed", "acme")]
