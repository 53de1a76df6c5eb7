"""What the sender does for a turn policy: joins messages, hands them over, pushes what may go and nothing else."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.admission.sending import Records, Sending
from tests.broker.tenant import QUEUE, Tenant, callback
from tests.servers import wait_until

from orchestrator.broker.admissions import Admissions, AdmitReply
from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import ReplyLost
from orchestrator.errors import Problem
from orchestrator.store.records import AccessRecord, ContextRules


@pytest.fixture
async def sending(broker: Broker) -> AsyncIterator[Sending]:
    """A sender without access validation."""
    made = Sending(broker, None)
    yield made
    await made.enqueue.close()


def queued(tenant: Tenant) -> list[dict[str, Any]]:
    """What waits for the agent, the next one first."""
    return [json.loads(payload) for payload in tenant.client.lrange(QUEUE, 0, -1)[::-1]]


async def running(sending: Sending, tenant: Tenant) -> str:
    """A task that the agent has begun."""
    task = (await sending.send(message="first")).answer.task_id
    await wait_until(lambda: tenant.client.hget(tenant.key(f"task:{task}"), "status") == b"queued")
    tenant.client.rpop(QUEUE)
    await tenant.deliver(callback(task, "running"))
    return task


async def test_held(sending: Sending, tenant: Tenant) -> None:
    """The answer is that of any send; what waits its turn is on no queue."""
    await running(sending, tenant)
    sent = await sending.send(message="second", turn_policy="queue")
    await sending.enqueue.close()
    assert sent.answer.status == "queued"
    assert queued(tenant) == []
    assert (await tenant.record(sent.answer.task_id))["held"] == b"1"


async def test_reject(sending: Sending, tenant: Tenant) -> None:
    """409 `session_busy`, with the state of the limits, which nothing was spent of."""
    sent = await sending.send(message="first")
    with pytest.raises(Problem) as raised:
        await sending.send(message="second", turn_policy="reject")
    assert (raised.value.code, raised.value.status) == ("session_busy", 409)
    assert raised.value.headers["RateLimit"] == sent.headers["RateLimit"]


async def test_merge(sending: Sending, tenant: Tenant) -> None:
    """The messages are joined by an empty line, the oldest first; everything else is the newest's."""
    await running(sending, tenant)
    first = await sending.send(message="one", turn_policy="queue", metadata={"n": 1}, stream=False)
    second = await sending.send(message="two", turn_policy="merge", metadata={"n": 2})
    third = await sending.send(message="three", turn_policy="merge", metadata={"n": 3})
    record = await tenant.record(third.answer.task_id)
    payload = json.loads(record["payload"])
    assert (payload["task_id"], payload["message"]) == (third.answer.task_id, "one\n\ntwo\n\nthree")
    assert (payload["metadata"], payload["stream"]) == ({"n": 3}, True)
    assert int(record["bytes"]) == len(record["payload"])
    ended = [(task.task, task.status) for task in sending.ended]
    assert ended == [(sent.answer.task_id, "cancelled") for sent in (first, second)]


async def test_merge_pushes_the_joined_message(sending: Sending, tenant: Tenant) -> None:
    """What was on the queue leaves it, and the joined message is there in its place."""
    await sending.send(message="one")
    await sending.send(message="two", turn_policy="merge")
    await sending.enqueue.close()
    assert [task["message"] for task in queued(tenant)] == ["one\n\ntwo"]


async def test_too_long_together(sending: Sending, tenant: Tenant) -> None:
    """Messages that would pass the bound of one message stay two: the newer waits."""
    first = await sending.send(message="ñ" * 31_990)
    second = await sending.send(message="0123456789", turn_policy="merge")
    assert (await tenant.record(second.answer.task_id))["held"] == b"1"
    assert await tenant.status(first.answer.task_id) == "queued"
    fits = await sending.send(message="01234567", turn_policy="latest")
    joined = await sending.send(message="ñ" * 31_990, turn_policy="merge")
    payload = json.loads((await tenant.record(joined.answer.task_id))["payload"])
    assert len(payload["message"]) == 32_000
    assert (await tenant.record(fits.answer.task_id))["code"] == b"merged"


async def test_what_waits_changes_meanwhile(
    sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is put again with what waits now, and after some tries the message waits by itself."""
    await running(sending, tenant)
    admit, others = Admissions.admit, iter(range(9))

    async def overtaken(self: Admissions, *args: Any, **more: Any) -> AdmitReply:
        reply = await admit(self, *args, **more)
        if reply.outcome == "merge":
            asked = tenant.request(turn_policy="queue", task=f"task-other-{next(others)}")
            payload = json.dumps({**json.loads(reply.payloads[0]), "message": "other"}).encode()
            assert (await admit(self, tenant.name, asked, payload)).held
        return reply

    await sending.send(message="one", turn_policy="queue")
    monkeypatch.setattr(Admissions, "admit", overtaken)
    sent = await sending.send(message="two", turn_policy="merge")
    record = await tenant.record(sent.answer.task_id)
    assert (record["held"], json.loads(record["payload"])["message"]) == (b"1", "two")
    assert sending.ended == []
    assert next(others) == 4


async def test_reply_of_a_merge_lost(
    sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again by task id, the script answers what it did: joined once, pushed once."""
    await sending.send(message="one")
    admit, lost = Admissions.admit, iter((False, True, False))

    async def losing(self: Admissions, *args: Any, **more: Any) -> AdmitReply:
        reply = await admit(self, *args, **more)
        if next(lost):
            raise ReplyLost("gone")
        return reply

    monkeypatch.setattr(Admissions, "admit", losing)
    sent = await sending.send(message="two", turn_policy="merge")
    await sending.enqueue.close()
    assert queued(tenant)[-1]["message"] == "one\n\ntwo"
    assert queued(tenant)[-1]["task_id"] == sent.answer.task_id
    assert next(lost, None) is None


async def test_steer(sending: Sending, tenant: Tenant) -> None:
    """The running agent's inbox has the message as it needs it; the task waits meanwhile."""
    target = await running(sending, tenant)
    sent = await sending.send(message="né\n", turn_policy="steer", metadata={"big": 2**60})
    (line,) = tenant.client.lrange(tenant.key(f"inbox:{target}"), 0, -1)
    assert line.startswith(b'{"task_id":"%b",' % sent.answer.task_id.encode())
    assert json.loads(line) == {
        "task_id": sent.answer.task_id,
        "message": "né\n",
        "user_id": None,
        "metadata": {"big": 2**60},
        "created_at": sent.answer.created_at,
    }


@pytest.mark.parametrize(
    ("policy", "held"), [("queue", True), ("steer", True), ("parallel", False), (None, False)]
)
async def test_policy_of_the_agent(broker: Broker, tenant: Tenant, policy: Any, held: bool) -> None:
    """What the database says of the agent holds for a message that names no policy."""
    records = Records()
    records.record = AccessRecord(tier="free", limits={}, granted={"agent-123": ContextRules(policy, 4)})
    sending = Sending(broker, records)
    await sending.send(message="first", turn_policy="parallel")
    sent = await sending.send(message="second")
    await sending.enqueue.close()
    record = await tenant.record(sent.answer.task_id)
    assert (record.get("held", b"") != b"", record["attempts_max"]) == (held, b"4")
