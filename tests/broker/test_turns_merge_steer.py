"""Messages that become one, and messages that are handed to a running agent (contract §3)."""

import json
from typing import Any

import msgspec
import pytest
from tests.broker.conversation import OTHER, Conversation
from tests.broker.tenant import Tenant, callback


@pytest.fixture
def talk(tenant: Tenant) -> Conversation:
    """An empty session."""
    return Conversation(tenant)


def merged(into: str) -> dict[str, Any]:
    """The ending of what another task carries on."""
    return {
        "status": "cancelled", "code": "merged", "message": "The message was merged into another one.", "into": into,
    }  # fmt: skip


def inbox(talk: Conversation, task: str) -> list[str]:
    """The tasks whose messages lie in a task's inbox."""
    lines = talk.tenant.client.lrange(talk.tenant.key(f"inbox:{task}"), 0, -1)
    return [json.loads(line)["task_id"] for line in lines]


async def test_merge(talk: Conversation) -> None:
    """What waits ends as merged, and the new task has all the messages, the oldest first."""
    running, waiting, held = await talk.started(), await talk.say("parallel"), await talk.say("queue")
    joined = await talk.say("merge")
    assert await talk.endings() == dict.fromkeys((waiting, held), merged(joined))
    assert talk.payloads[joined] == b"+".join(task.encode() for task in (waiting, held, joined))
    assert (talk.held(), talk.queued()) == ([joined], [])
    await talk.report(running, "completed")
    assert await talk.advance() == joined
    assert talk.queued() == [talk.payloads[joined]]


async def test_merge_with_nothing_begun(talk: Conversation) -> None:
    """Where no agent has begun anything, the joined message goes at once."""
    waiting = await talk.say("parallel")
    joined = await talk.say("merge")
    assert talk.queued() == [b"%b+%b" % (waiting.encode(), joined.encode())]
    assert talk.held() == []


async def test_merge_with_too_much(talk: Conversation) -> None:
    """Where what it would join is over 1 MiB with all that came with it, the message waits by itself."""
    await talk.started()
    large = [await talk.tenant.task(payload=b"x" * 400_000, turn_policy="queue") for _ in range(3)]
    alone = await talk.say("merge")
    assert talk.held() == [*large, alone]
    assert talk.payloads[alone] == alone.encode()
    assert await talk.endings() == {}
    await talk.tenant.tasks.cancel(talk.tenant.name, large[0], "")
    joined = await talk.say("merge")
    assert {ending["into"] for ending in (await talk.endings()).values() if "into" in ending} == {joined}


async def test_merge_tells_first(talk: Conversation) -> None:
    """Before anything is done the script tells what waits; nothing is spent or kept by asking."""
    waiting = await talk.say("parallel")
    kept, asked = talk.tenant.dump(), talk.request("merge")
    reply = await talk.tenant.admissions.admit(talk.tenant.name, asked, b"own")
    assert (reply.outcome, reply.waiting, reply.payloads) == ("merge", [waiting], [waiting.encode()])
    assert talk.tenant.dump() == kept


async def test_merge_of_what_has_gone(talk: Conversation) -> None:
    """An agent that begins one of them meanwhile has it: the script tells again what waits now."""
    first, second = await talk.say("parallel"), await talk.say("parallel")
    asked = talk.request("merge", merged=[first, second])
    await talk.report(first, "running")
    reply = await talk.tenant.admissions.admit(talk.tenant.name, asked, b"both")
    assert (reply.outcome, reply.waiting) == ("merge", [second])
    other = msgspec.structs.replace(asked, merged=[first])
    reply = await talk.tenant.admissions.admit(talk.tenant.name, other, b"another")
    assert (reply.outcome, reply.waiting) == ("merge", [second])
    await talk.report(second, "running")
    asked = msgspec.structs.replace(asked, merged=[second])
    reply = await talk.tenant.admissions.admit(talk.tenant.name, asked, b"one")
    assert (reply.outcome, reply.waiting, reply.payloads) == ("merge", [], [])


async def test_merge_resent(talk: Conversation) -> None:
    """A resend of the second question finds what the first did; nothing is merged twice."""
    await talk.say("parallel")
    asked = talk.request("merge")
    first = await talk.admit(asked)
    kept = talk.tenant.dump()
    again = await talk.admit(asked)
    assert (again.outcome, again.task, again.held) == ("accepted", first.task, False)
    assert talk.tenant.dump() == kept


async def test_merge_leaves_other_contexts(talk: Conversation) -> None:
    """Messages to another agent are not joined; they are waited for."""
    other = await talk.say("parallel", OTHER)
    joined = await talk.say("merge")
    assert await talk.endings() == {}
    assert (talk.held(), talk.queued(OTHER)) == ([joined], [other.encode()])


async def test_steer(talk: Conversation) -> None:
    """A running task of the context gets the message into its inbox; meanwhile it is held."""
    target = await talk.started()
    kept, asked = talk.tenant.dump(), talk.request("steer")
    assert (await talk.tenant.admissions.admit(talk.tenant.name, asked, b"{}")).outcome == "steer"
    assert talk.tenant.dump() == kept
    reply = await talk.admit(asked)
    assert (reply.held, talk.held(), talk.queued()) == (True, [reply.task], [])
    assert inbox(talk, target) == [reply.task]
    assert talk.tenant.client.ttl(talk.tenant.key(f"inbox:{target}")) > 0


async def test_steer_without_a_target(talk: Conversation) -> None:
    """Where only other contexts are busy it goes at once."""
    await talk.started("parallel", OTHER)
    task = await talk.say("steer")
    assert (talk.held(), talk.queued()) == ([], [task.encode()])


async def test_steer_to_the_newest(talk: Conversation) -> None:
    """Of several running tasks the newest is told."""
    older, newer = await talk.started(), await talk.started()
    await talk.say("steer")
    assert (len(inbox(talk, older)), len(inbox(talk, newer))) == (0, 1)


@pytest.mark.parametrize("status", ["running", "progress", "completed"])
async def test_took(talk: Conversation, status: str) -> None:
    """What the agent says it took into account ends as merged into its task; a next attempt finds it there again."""
    target = await talk.started()
    first, second = await talk.say("steer"), await talk.say("steer")
    await talk.report(target, status, took=[first])
    endings = await talk.endings()
    assert endings.pop(first) == merged(target)
    assert list(endings) == ([target] if status == "completed" else [])
    assert inbox(talk, target) == ([] if status == "completed" else [first, second])
    assert (talk.held(), talk.count()) == ([second], 1)
    record = await talk.tenant.record(first)
    assert (record["code"], json.loads(record["result"])) == (b"merged", {"into": target})


@pytest.mark.parametrize(
    "took", [["task-unknown"], [1, None, {}, ["x"]], "task-1", {"a": 1}, 7, [], ["x" * 5_000]]
)
async def test_took_nonsense(talk: Conversation, took: Any) -> None:
    """Whatever else stands there ends nothing, and the callback counts."""
    target = await talk.started()
    held = await talk.say("steer")
    await talk.report(target, "completed", took=took)
    assert await talk.codes() == {target: "completed"}
    assert talk.held() == [held]


async def test_took_what_was_never_given(talk: Conversation) -> None:
    """An agent can take only what was handed to its own task, not what others wait for or run."""
    target, other = await talk.started(), await talk.started("parallel", OTHER)
    queued, steered = await talk.say("queue"), await talk.say("steer")
    await talk.report(other, "running", took=[queued, steered, target, other])
    assert await talk.codes() == {}
    assert talk.held() == [queued, steered]


async def test_took_in_a_large_callback(talk: Conversation) -> None:
    """A callback that Python reads for the script may tell it as well."""
    target = await talk.started()
    held = await talk.say("steer")
    raw = callback(target, "completed", {"response": "x" * 70_000}, took=[held])
    talk.tenant.report(raw)
    envelope = {"task_id": target, "status": "completed", "has_response": True, "took": [held]}
    await talk.tenant.callbacks.deliver_big(talk.tenant.name, raw, envelope, "")
    assert await talk.codes() == {held: "merged", target: "completed"}


async def test_not_taken(talk: Conversation) -> None:
    """What lies in the inbox when the target ends goes like any held message, one after the other."""
    target = await talk.started()
    first, second = await talk.say("steer"), await talk.say("steer")
    assert await talk.advance() == ""
    await talk.report(target, "completed")
    assert not talk.tenant.client.exists(talk.tenant.key(f"inbox:{target}"))
    assert await talk.advance() == first
    assert await talk.advance() == ""
    await talk.report(first, "completed")
    assert await talk.advance() == second


async def test_cancelled_in_the_inbox(talk: Conversation) -> None:
    """A message that is cancelled is not in the inbox any more."""
    target = await talk.started()
    first, second = await talk.say("steer"), await talk.say("steer")
    await talk.tenant.tasks.cancel(talk.tenant.name, first, "")
    assert (inbox(talk, target), talk.held(), talk.count()) == ([second], [second], 1)


async def test_merge_leaves_what_was_handed_over(talk: Conversation) -> None:
    """What a running agent may have read stays with it; what was meant for one that waits is joined."""
    target = await talk.started()
    steered = await talk.say("steer")
    await talk.say("merge")
    assert await talk.endings() == {}
    assert inbox(talk, target) == [steered]

    waiting = Conversation(talk.tenant, "sess-2")
    first = await waiting.say("parallel")
    second = await waiting.say("steer")
    joined = await waiting.say("merge")
    assert await waiting.endings() == dict.fromkeys((first, second), merged(joined))
    assert inbox(waiting, first) == []


async def test_superseded_in_the_inbox(talk: Conversation) -> None:
    """`latest` takes the place of what was handed over, too."""
    target = await talk.started()
    steered = await talk.say("steer")
    await talk.say("latest")
    assert await talk.codes() == {steered: "superseded"}
    assert inbox(talk, target) == []


async def test_a_later_attempt_reads_again(talk: Conversation) -> None:
    """What was taken into account by an attempt that was lost is still in the inbox for the next one."""
    target = await talk.started()
    first = await talk.say("steer")
    await talk.report(target, "running", took=[first])
    assert (await talk.tenant.tasks.retry(talk.tenant.name, target, 1)).outcome == "retried"
    assert inbox(talk, target) == [first]


async def test_reported_though_it_was_held(talk: Conversation) -> None:
    """An agent that reports a message of its inbox by itself has it: it runs, waits no longer, and is never pushed."""
    target, held, later = await talk.started(), await talk.say("steer"), await talk.say("queue")
    await talk.report(held, "running")
    assert (await talk.tenant.status(held), talk.held(), talk.count()) == ("running", [later], 1)
    assert inbox(talk, target) == []
    await talk.report(target, "completed")
    assert (await talk.advance(), talk.queued()) == ("", [])
    await talk.report(held, "completed")
    assert await talk.advance() == later
    told = [frame["data"]["status"] for frame in await talk.tenant.frames() if frame["task_id"] == held]
    assert told == ["queued", "queued", "running", "completed"]
