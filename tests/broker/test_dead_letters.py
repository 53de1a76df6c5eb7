"""Callbacks that nobody can use: every reason, and the bounds of the place where they lie (contract §5)."""

import hashlib
import struct

import msgspec
import pytest
from tests.broker.tenant import SECOND, Tenant, callback, chunk, counted

REASONS: list[tuple[str, str]] = [
    ("not JSON", "not_json"),
    ("", "not_json"),
    ("[]", "not_json"),
    ('"text"', "not_json"),
    ("null", "not_json"),
    ('{"task_id":"TASK","status":"completed"', "not_json"),
    ('{"task_id":"TASK","status":"completed"}}', "not_json"),
    ('{"task_id":"TASK","status":"completed","action_type":"execution.agent_run"}', "unknown_action"),
    ('{"task_id":"TASK","status":"completed","action_type":1}', "unknown_action"),
    ('{"status":"completed"}', "unknown_task"),
    ('{"task_id":7,"status":"completed"}', "unknown_task"),
    ('{"task_id":null,"status":"completed"}', "unknown_task"),
    ('{"task_id":"task-unknown","status":"completed"}', "unknown_task"),
    ('{"task_id":"task-a}:b","status":"completed"}', "unknown_task"),
    ('{"task_id":"task-a\\u0000","status":"completed"}', "unknown_task"),
    ('{"task_id":"TASK"}', "unknown_status"),
    ('{"task_id":"TASK","status":"accepted"}', "unknown_status"),
    ('{"task_id":"TASK","status":["completed"]}', "unknown_status"),
    ('{"task_id":"TASK","status":"running","attempt":0}', "invalid_attempt"),
    ('{"task_id":"TASK","status":"running","attempt":1.5}', "invalid_attempt"),
    ('{"task_id":"TASK","status":"running","attempt":"1"}', "invalid_attempt"),
    ('{"task_id":"TASK","status":"running","attempt":true}', "invalid_attempt"),
    ('{"task_id":"TASK","status":"running","attempt":2}', "unknown_attempt"),
    ('{"task_id":"TASK","status":"streaming","result":{"delta":"a"},"seq":-1}', "invalid_seq"),
    ('{"task_id":"TASK","status":"streaming","result":{"delta":"a"},"seq":"5"}', "invalid_seq"),
    ('{"task_id":"TASK","status":"streaming","result":{"delta":"a"},"seq":0.5}', "invalid_seq"),
    ('{"task_id":"TASK","status":"streaming","result":{"delta":"a"},"seq":NaN}', "invalid_seq"),
    ('{"task_id":"TASK","status":"streaming","result":{"delta":"a"},"seq":1e300}', "invalid_seq"),
    ('{"task_id":"TASK","status":"streaming","result":{"delta":"a"},"seq":9007199254740992}', "invalid_seq"),
    ('{"task_id":"TASK","status":"streaming"}', "missing_delta"),
    ('{"task_id":"TASK","status":"streaming","result":"a"}', "missing_delta"),
    ('{"task_id":"TASK","status":"streaming","result":{"delta":1}}', "missing_delta"),
    ('{"task_id":"TASK","status":"streaming","result":{"delta":null}}', "missing_delta"),
]


@pytest.mark.parametrize(("raw", "reason"), REASONS)
async def test_reason(tenant: Tenant, raw: str, reason: str) -> None:
    """What is wrong with the callback itself makes it a dead letter, with the reason, and nothing else happens."""
    task = await tenant.task()
    before = await tenant.record(task), await tenant.frames()
    body = raw.replace("TASK", task).encode()
    delivered = await tenant.deliver(body)

    assert (delivered.taken, delivered.left, counted(delivered)) == (1, 0, {f"dead|{reason}": 1})
    letter = (await tenant.dead())[0]
    assert (letter.reason, letter.callback, letter.size, letter.sha1) == (
        reason,
        body.decode(),
        len(body),
        "",
    )
    assert (await tenant.record(task), await tenant.frames()) == before


async def test_null_members_are_as_if_absent(tenant: Tenant) -> None:
    """`seq`, `attempt` and `action_type` are optional; null says the same as nothing."""
    task = await tenant.task()
    delivered = await tenant.deliver(chunk(task, "a", None, attempt=None, action_type=None))
    assert counted(delivered) == {"taken|streaming": 1}


async def test_another_tenants_task(tenant: Tenant) -> None:
    """A task of another tenant is unknown here and stays as it is there."""
    other = tenant.another("globex")
    task = await other.task()
    kept = other.dump()
    assert counted(await tenant.deliver(callback(task, "completed"))) == {"dead|unknown_task": 1}
    assert other.dump() == kept


async def test_one_bad_callback_does_not_hold_up_the_next(tenant: Tenant) -> None:
    """The good ones around it are taken in the same call."""
    task = await tenant.task()
    delivered = await tenant.deliver(callback(task, "running"), b"?", callback(task, "completed"))
    assert counted(delivered) == {"taken|running": 1, "dead|not_json": 1, "taken|completed": 1}


def letter(at: int, body: bytes, reason: str = "not_json") -> bytes:
    """A dead letter as the scripts keep it."""
    head = msgspec.msgpack.encode([reason, at, len(body), ""])
    return struct.pack(">H", len(head)) + head + body


async def test_a_thousand_are_kept(tenant: Tenant) -> None:
    """The newest 1 000 are kept; what goes is counted, and the sum of bytes stays true."""
    now = tenant.broker.clock.now()
    entry = letter(now, b"old")
    tenant.client.lpush(tenant.key("dead"), *[entry] * 999)
    tenant.client.hset(tenant.key("tenant"), "dead_bytes", 999 * len(entry))
    delivered = await tenant.deliver(b"a", b"b", b"c")

    assert counted(delivered) == {"dead|not_json": 3, "dead_overflow": 2}
    assert [found.callback for found in (await tenant.dead())[:4]] == ["c", "b", "a", "old"]
    assert tenant.client.llen(tenant.key("dead")) == 1_000
    kept = sum(map(len, tenant.client.lrange(tenant.key("dead"), 0, -1)))
    assert int(tenant.client.hget(tenant.key("tenant"), "dead_bytes")) == kept


async def test_four_mebibytes_are_kept(tenant: Tenant) -> None:
    """The bytes of a tenant's dead letters are bounded, too."""
    for _ in range(9):
        await tenant.deliver_all(*[b"x" * 32_000] * 15)
    kept = sum(map(len, tenant.client.lrange(tenant.key("dead"), 0, -1)))
    assert 4 * 2**20 - 61_000 < kept <= 4 * 2**20


async def test_old_ones_go(tenant: Tenant) -> None:
    """Seven days after its burial a letter goes with the next one that comes."""
    week = tenant.broker.clock.now() - 7 * 86_400 * SECOND
    tenant.client.lpush(
        tenant.key("dead"), letter(week - SECOND, b"too old"), letter(week + 60 * SECOND, b"kept")
    )
    assert counted(await tenant.deliver(b"?"))["dead_overflow"] == 1
    assert [found.callback for found in await tenant.dead()] == ["?", "kept"]
    assert 0 < tenant.client.ttl(tenant.key("dead")) <= 7 * 86_400


async def test_large_one_is_cut(tenant: Tenant) -> None:
    """Over 64 KiB a dead letter is cut; its size and hash tell what it was."""
    raw = b'{"x":"' + b"y" * 70_000 + b'"}'
    tenant.report(raw)
    await tenant.callbacks.deliver_big(tenant.name, raw, None, "not_json")
    found = (await tenant.dead())[0]
    assert (len(found.callback), found.size) == (65_536, len(raw))
    assert found.sha1 == hashlib.sha1(raw, usedforsecurity=False).hexdigest()
