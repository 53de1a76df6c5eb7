"""Revoked subjects in the store."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

from sqlalchemy import text

from orchestrator.store.store import Store

EVER = datetime(2000, 1, 1, tzinfo=UTC)


async def test_a_subject_is_revoked_until_now(store: Store) -> None:
    """The record has the moment, to the microsecond and in UTC, on both engines."""
    before = datetime.now(UTC)
    record = (await store.revoke_subject("acme", "ann smith", actor="bob")).record

    assert (record.tenant_id, record.subject) == ("acme", "ann smith")
    assert before <= record.revoked_at <= datetime.now(UTC)
    assert await store.revocations(EVER) == (record,)


async def test_revoking_again_moves_the_moment(store: Store) -> None:
    """A subject has one record, of the last time, and the audit table has every time."""
    first = (await store.revoke_subject("acme", "ann")).record
    second = await store.revoke_subject("acme", "ann", actor="bob")

    assert second.before == first
    assert second.record.revoked_at > first.revoked_at
    assert await store.revocations(EVER) == (second.record,)
    assert [entry.actor for entry in await store.audit()] == ["bob", "system"]


async def test_what_is_void_stays_void(store: Store) -> None:
    """A clock that went back does not bring tokens back that were revoked already."""
    await store.revoke_subject("acme", "ann")
    ahead = text("UPDATE revocations SET revoked_at = '2999-01-01 00:00:00.000000+00:00'")
    if store.database.engine == "sqlite":
        ahead = text("UPDATE revocations SET revoked_at = '2999-01-01 00:00:00.000000'")
    await store.database.write(lambda connection: connection.execute(ahead))

    assert (await store.revoke_subject("acme", "ann")).record.revoked_at.year == 2999
    assert (await store.revocations(EVER))[0].revoked_at.year == 2999


async def test_a_subject_is_one_tenants(store: Store) -> None:
    """The same user of two tenants, and of tokens that name none, is three subjects."""
    for tenant_id in ("acme", "globex", ""):
        await store.revoke_subject(tenant_id, "ann")

    assert [record.tenant_id for record in await store.revocations(EVER)] == ["acme", "globex", ""]
    assert [entry.tenant_id for entry in await store.audit()] == [None, "globex", "acme"]


async def test_the_list_begins_where_it_is_asked_to(store: Store) -> None:
    """`since` is included, whichever zone it is written in."""
    first, second = [(await store.revoke_subject("acme", name)).record for name in ("ann", "bob")]
    elsewhere = second.revoked_at.astimezone(timezone(timedelta(hours=-5)))

    assert await store.revocations(first.revoked_at) == (first, second)
    assert await store.revocations(elsewhere) == (second,)
    assert await store.revocations(second.revoked_at + timedelta(microseconds=1)) == ()


async def test_two_who_revoke_at_once_both_succeed(store: Store) -> None:
    """A record that appears meanwhile is no error."""
    changes = await asyncio.gather(*(store.revoke_subject("acme", "ann") for _ in range(4)))

    (record,) = await store.revocations(EVER)
    assert record in [change.record for change in changes]
