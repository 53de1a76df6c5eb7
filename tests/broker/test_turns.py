"""Turn policies in admit.lua: what each does to the open tasks of the session, and to the new one (contract §3)."""

import json

import pytest
from tests.broker.conversation import OTHER, Conversation
from tests.broker.tenant import AGENT, Tenant

from orchestrator.broker.access_cache import AccessCache, ContextAnswer
from orchestrator.protocol.turn_policies import TURN_POLICIES

SUPERSEDED = {
    "status": "cancelled", "code": "superseded", "message": "A newer message took the place of this one.",
}  # fmt: skip


@pytest.fixture
def talk(tenant: Tenant) -> Conversation:
    """An empty session."""
    return Conversation(tenant)


@pytest.mark.parametrize("policy", TURN_POLICIES)
async def test_alone(talk: Conversation, policy: str) -> None:
    """Where no task of the session is open, each policy lets the message go at once."""
    before = await talk.started()
    await talk.report(before, "completed")
    task = await talk.say(policy)
    assert talk.queued() == [task.encode()]
    assert talk.held() == []
    assert [frame["data"] for frame in await talk.tenant.frames() if frame["task_id"] == task] == [
        {"status": "queued", "attempt": 1}
    ]


@pytest.mark.parametrize("policy", TURN_POLICIES)
async def test_other_sessions_are_others(talk: Conversation, policy: str) -> None:
    """What another session of the tenant does is of no concern."""
    foreign = await Conversation(talk.tenant, "sess-2").started()
    assert (await talk.admit(talk.request(policy))).held is False
    assert await talk.tenant.status(foreign) == "running"


async def test_parallel(talk: Conversation) -> None:
    """It goes beside what is under way, and before what waits."""
    running, waits = await talk.started(), await talk.say("queue")
    task = await talk.say("parallel")
    assert talk.queued() == [task.encode()]
    assert (await talk.tenant.status(running), talk.held()) == ("running", [waits])


@pytest.mark.parametrize("held", [False, True])
async def test_reject(talk: Conversation, held: bool) -> None:
    """While any task of the session is open it is refused, and nothing is spent or kept for it."""
    running = await talk.started()
    if held:
        waits = await talk.say("queue")
        await talk.report(running, "completed")
        assert talk.held() == [waits]
    kept = talk.tenant.dump()
    assert (await talk.admit(talk.request("reject"))).outcome == "session_busy"
    assert talk.tenant.dump() == kept


async def test_queue(talk: Conversation) -> None:
    """It is recorded and waits: not pushed, queued for its viewers, who are told what it waits for."""
    await talk.started()
    reply = await talk.admit(talk.request("queue"))
    assert reply.held
    assert talk.queued() == []
    assert (talk.held(), talk.count()) == ([reply.task], 1)
    assert not talk.tenant.client.exists(talk.tenant.key("unpushed"))
    record = await talk.tenant.record(reply.task)
    assert (record["status"], record["held"]) == (b"queued", b"1")
    queued = {"status": "queued", "attempt": 1}
    assert [frame["data"] for frame in await talk.tenant.frames() if frame["task_id"] == reply.task] == [
        queued,
        queued | {"waiting_for": "an earlier message of this session"},
    ]


async def test_interrupt(talk: Conversation) -> None:
    """Every open task of the session ends, and it goes at once; the agents are told."""
    running, waiting = await talk.started(), await talk.say("parallel", OTHER)
    held = await talk.say("queue")
    reply = await talk.admit(talk.request("interrupt"))

    assert [(task.task, task.status) for task in reply.ended] == [
        (task, "cancelled") for task in (running, waiting, held)
    ]
    assert await talk.endings() == dict.fromkeys((running, waiting, held), SUPERSEDED)
    for task in (running, waiting):
        key = talk.tenant.broker.keys.cancel(talk.tenant.name, task)
        assert talk.tenant.client.lrange(key, 0, -1) == [b"1"]
        assert talk.tenant.client.ttl(key) > 0
    assert (talk.queued(), talk.queued(OTHER)) == ([reply.task.encode()], [])
    assert (talk.held(), talk.count(), await talk.advance()) == ([], 0, "")


async def test_latest(talk: Conversation) -> None:
    """Of what no agent has begun, only the newest stays; while something runs it waits."""
    running, waiting, held = await talk.started(), await talk.say("parallel"), await talk.say("queue")
    newest = await talk.say("latest")
    assert await talk.codes() == dict.fromkeys((waiting, held), "superseded")
    assert (await talk.tenant.status(running), talk.held(), talk.queued()) == ("running", [newest], [])


async def test_latest_with_nothing_begun(talk: Conversation) -> None:
    """Where no agent has begun anything, it goes at once."""
    waiting = await talk.say("parallel", OTHER)
    newest = await talk.say("latest")
    assert await talk.codes() == {waiting: "superseded"}
    assert (talk.queued(OTHER), talk.queued()) == ([], [newest.encode()])


async def test_refused_for_a_limit(talk: Conversation) -> None:
    """A send that a limit refuses ends nothing, whatever its policy."""
    await talk.started()
    await talk.say("queue")
    kept = talk.tenant.dump()
    for policy in TURN_POLICIES:
        asked = talk.request(policy, per_minute=60, burst=5, max_outstanding_bytes=1)
        assert (await talk.admit(asked)).outcome == "queue_full", policy
    assert talk.tenant.dump() == kept


@pytest.mark.parametrize("policy", ["interrupt", "latest", "merge"])
async def test_place_of_what_ends(talk: Conversation, policy: str) -> None:
    """What a message takes the place of does not count against it."""
    await talk.say("parallel")
    assert (await talk.admit(talk.request("parallel", max_outstanding=1))).outcome == "queue_full"
    assert (await talk.admit(talk.request(policy, max_outstanding=1))).outcome == "accepted"


@pytest.mark.parametrize("policy", ["interrupt", "latest"])
async def test_room_of_what_ends(talk: Conversation, policy: str) -> None:
    """Nor does the room that it took."""
    task = await talk.say("parallel")
    refused = await talk.admit(talk.request("parallel", max_outstanding_bytes=2 * len(task) - 1))
    assert (refused.outcome, refused.detail) == ("queue_full", "bytes")
    asked = talk.request(policy, max_outstanding_bytes=2 * len(task) - 1)
    assert (await talk.admit(asked)).outcome == "accepted"
    assert talk.tenant.client.hget(talk.tenant.key("tenant"), "bytes") == b"%d" % len(asked.task)


async def test_resent(talk: Conversation) -> None:
    """A resend finds that it waits, and when that has ended, that it must not be pushed any more."""
    await talk.started()
    asked = talk.request("queue")
    first, again = await talk.admit(asked), await talk.admit(asked)
    assert (again.task, again.position, again.held) == (first.task, first.position, True)
    assert (talk.held(), talk.count()) == ([first.task], 1)
    await talk.say("latest")
    assert (await talk.admit(asked)).held


async def test_replayed(talk: Conversation) -> None:
    """An idempotency key has the first answer, though by now the session is busy; nothing ends by it."""
    await talk.started()
    first = await talk.admit(talk.request("interrupt", idempotency="k", fingerprint="f"))
    kept = talk.tenant.dump()
    again = await talk.admit(talk.request("interrupt", idempotency="k", fingerprint="f"))
    assert (again.outcome, again.task) == ("replayed", first.task)
    assert talk.tenant.dump() == kept


async def test_foreign_session(talk: Conversation) -> None:
    """Who is refused for the session does nothing to its tasks."""
    task = await talk.say("parallel", user="ana")
    for policy in TURN_POLICIES:
        assert (await talk.admit(talk.request(policy, user="bob"))).outcome == "session_denied"
    assert await talk.tenant.status(task) == "queued"


async def test_policy_of_the_context(talk: Conversation) -> None:
    """A message that names none is taken as its context is set; the number of attempts is recorded."""
    answers = {AGENT: ContextAnswer(True, "queue", 7), OTHER: ContextAnswer(True)}
    await AccessCache(talk.tenant.broker, 300).remember(talk.tenant.name, "0", "free", {}, answers)
    await talk.started()
    held = await talk.admit(talk.request("", validate=True))
    assert held.held
    assert (await talk.tenant.record(held.task))["attempts_max"] == b"7"
    other = await talk.admit(talk.request("", OTHER, validate=True))
    assert not other.held
    assert "attempts_max" not in await talk.tenant.record(other.task)
    assert not (await talk.admit(talk.request("parallel", validate=True))).held


async def test_open_ones_stay_listed(talk: Conversation) -> None:
    """A session's list keeps an open task, though a thousand newer ones have ended."""
    listed = talk.tenant.key("tasks:sess-1")
    running = await talk.started()
    first = json.dumps(talk.tenant.client.zscore(listed, running))
    newer = {f"task-new-{n}": float(first) + n + 1 for n in range(1_200)}
    talk.tenant.client.zadd(listed, newer)
    assert (await talk.admit(talk.request("queue"))).held
    assert talk.tenant.client.zscore(listed, running) is not None
    assert talk.tenant.client.zcard(listed) == 1_001
