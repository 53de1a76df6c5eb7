"""A send's answer is true whatever Redis and the database do meanwhile (contract §3)."""

import json
import os
import signal
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.admission.sending import Records, Sending
from tests.broker.tenant import QUEUE, Tenant, raw_client
from tests.servers import wait_until

from orchestrator.broker import connection
from orchestrator.broker.admissions import Admissions, AdmitReply
from orchestrator.broker.connection import ReplyLost, Unavailable
from orchestrator.embedded import ValkeyServer
from orchestrator.errors import Problem
from orchestrator.store.records import ContextRules


async def test_accepted(sending: Sending, tenant: Tenant) -> None:
    """The task is recorded, on its queue and noted; the answer has what the contract says."""
    sent = await sending.send(message="héllo", metadata={"a": 1})
    answer = sent.answer
    await wait_until(lambda: tenant.client.hget(tenant.key(f"task:{answer.task_id}"), "status") == b"queued")
    pushed = json.loads(tenant.client.lrange(QUEUE, 0, -1)[0])

    assert (pushed["task_id"], pushed["message"], pushed["attempt"]) == (answer.task_id, "héllo", 1)
    assert (pushed["created_at"], pushed["callback_queue"]) == (answer.created_at, tenant.queue)
    assert (answer.status, answer.queue, answer.context_id) == ("queued", QUEUE, "agent-123")
    assert sent.headers["Location"] == f"/api/chat/tasks/{answer.task_id}"
    assert sent.headers["RateLimit"].startswith('"session";r=99;t=3600, "tenant";r=5;')
    assert "héllo" not in sending.lines.getvalue()


async def test_replayed(sending: Sending, tenant: Tenant) -> None:
    """A repeated key gives the first answer and pushes nothing; a quoted one is the same key."""
    first = await sending.send("key")
    again = await sending.send('"key"')
    assert again.answer == first.answer
    assert again.headers["Idempotency-Replayed"] == "true"
    assert tenant.client.llen(QUEUE) == 1
    with pytest.raises(Problem) as raised:
        await sending.send("key", message="another")
    assert raised.value.code == "idempotency_conflict"


async def test_limit(sending: Sending) -> None:
    """A refusal by a limit says when to come again, and where the limits stand."""
    for _ in range(6):
        await sending.send()
    problem = await sending.refused()
    assert (problem.code, problem.retry_after) == ("rate_limited", 1.0)
    assert '"tenant";r=0' in problem.headers["RateLimit"]


async def test_server_away(
    sending: Sending, own_process: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis cannot be reached, the message is certainly not accepted, and the answer says so."""
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.2)
    own_process.kill()
    assert (await sending.refused()).code == "unavailable"
    own_process.start()
    with raw_client(own_process.port) as client:
        assert client.dbsize() == 0


async def test_stalled_server(
    sending: Sending, tenant: Tenant, own_process: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stalls before admission was asked accepts nothing afterwards."""
    await sending.send()
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.3)
    os.kill(own_process.pid, signal.SIGSTOP)
    problem = await sending.refused("key")
    os.kill(own_process.pid, signal.SIGCONT)
    assert problem.code == "unavailable"
    await wait_until(lambda: sending.broker.topology.connected)
    assert tenant.client.zcard(tenant.key("outstanding")) == 1


@pytest.mark.parametrize("second", [ReplyLost("again"), Unavailable("gone")])
async def test_outcome_unknown(
    sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, second: Exception
) -> None:
    """Where the reply of the admission is lost for good, the answer names the task; the same key finds out."""
    admit, failures = Admissions.admit, [ReplyLost("broke"), second]

    async def lost(self: Admissions, *args: Any) -> AdmitReply:
        reply = await admit(self, *args)
        if failures:
            raise failures.pop(0)
        return reply

    monkeypatch.setattr(Admissions, "admit", lost)
    problem = await sending.refused("key")
    assert problem.code == "outcome_unknown"
    again = await sending.send("key")
    assert again.answer.task_id == problem.members["task_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert tenant.client.zcard(tenant.key("outstanding")) == 1


async def test_reply_lost_once(sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """One lost reply is asked for again, and the task is accepted and pushed once."""
    admit, failures = Admissions.admit, [ReplyLost("broke")]

    async def lost(self: Admissions, *args: Any) -> AdmitReply:
        reply = await admit(self, *args)
        if failures:
            raise failures.pop()
        return reply

    monkeypatch.setattr(Admissions, "admit", lost)
    told: list[str] = []

    def note(name: str, _own: Mapping[str, int]) -> None:
        told.append(name)

    monkeypatch.setattr(sending.sender, "_note_limits", note)
    sent = await sending.send()
    assert tenant.client.zrange(tenant.key("outstanding"), 0, -1) == [sent.answer.task_id.encode()]
    assert tenant.client.llen(QUEUE) == 1
    assert told == [], "the second answer does not say whether the tenant has limits of its own"


async def test_asked_once(validating: tuple[Sending, Records], tenant: Tenant) -> None:
    """The database is asked once; what it said holds for the next send, and also when it is away."""
    sending, records = validating
    await sending.send()
    records.away = True
    await sending.send()
    assert records.asked == 1
    assert tenant.client.zcard(tenant.key("outstanding")) == 2


async def test_database_away(validating: tuple[Sending, Records], tenant: Tenant) -> None:
    """If the database cannot be asked, nobody new gets in."""
    sending, records = validating
    records.away = True
    assert (await sending.refused()).code == "unavailable"
    assert not tenant.client.exists(tenant.key("outstanding"))


async def test_record_that_changes_meanwhile(validating: tuple[Sending, Records]) -> None:
    """An answer read before a change is not believed: the database is asked again."""
    sending, records = validating
    records.meanwhile = ["acme"]
    await sending.send()
    assert records.asked == 2


async def test_record_that_never_rests(validating: tuple[Sending, Records]) -> None:
    """A tenant that changes all the time is refused rather than let in by luck, and the loop ends."""
    sending, records = validating
    records.meanwhile = ["acme"] * 10
    assert (await sending.refused()).code == "unavailable"


@pytest.mark.parametrize(
    ("changes", "code", "members"),
    [
        ({"tier": None}, "access_denied", {}),
        ({"granted": dict[str, ContextRules]()}, "access_denied", {"context_id": "agent-123"}),
        ({"tier": "enterprise"}, "tier_mismatch", {}),
    ],
)
async def test_denied(
    validating: tuple[Sending, Records], changes: dict[str, Any], code: str, members: dict[str, str]
) -> None:
    """A bad answer is kept as well: it is told at once the second time."""
    sending, records = validating
    records.record = msgspec.structs.replace(records.record, **changes)
    for _ in range(2):
        problem = await sending.refused()
        assert (problem.code, problem.members) == (code, members)
    assert records.asked == 1
