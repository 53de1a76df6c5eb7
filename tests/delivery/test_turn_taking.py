"""Held messages go as soon as what they wait for has ended, and when nobody was there, with the agenda's look."""

import asyncio
import json

import pytest
from tests.broker.conversation import Conversation
from tests.broker.tenant import SECOND, Tenant, callback
from tests.delivery.parts import Parts
from tests.servers import wait_until

from orchestrator.auth.identity import Identity
from orchestrator.broker.connection import Unavailable
from orchestrator.broker.turns import Turns
from orchestrator.delivery.cancellation import Cancellation
from orchestrator.delivery.endings import Endings
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.protocol.shares import Shares
from orchestrator.telemetry import configure_logging

ALONE = Shares("r1", ["r1"], 16)


@pytest.fixture
def talk(tenant: Tenant) -> Conversation:
    """An empty session."""
    return Conversation(tenant)


def overlook(talk: Conversation) -> None:
    """Time passes in which nobody let the held messages go."""
    key = talk.tenant.key("held")
    for task in talk.tenant.client.zrange(key, 0, -1):
        talk.tenant.client.zadd(key, {task: 1})


async def test_after_an_answer(parts: Parts, talk: Conversation) -> None:
    """Whoever takes the ending callback lets the next one go: it is on its queue without anybody's look."""
    running = await talk.started()
    held = [await talk.say("queue") for _ in range(2)]
    async with parts.listening():
        for before, following in zip([running, *held], held, strict=False):
            talk.tenant.report(callback(before, "completed"))
            await wait_until(lambda following=following: talk.queued() == [following.encode()])
            assert talk.take() == following.encode()
        talk.tenant.report(callback(held[-1], "completed"))
        await wait_until(lambda: parts.events.count("task_ended") == 3)
        await parts.turns.settled()
    assert parts.events.count("turn_taken") == 2


async def test_after_a_cancellation(parts: Parts, talk: Conversation) -> None:
    """A command that ends with its process waits until the next one has gone."""
    running, held = await talk.started(), await talk.say("queue")
    log = configure_logging("ERROR", "text")
    errands = ErrandRunner(talk.tenant.admissions, log)
    cancellation = Cancellation(talk.tenant.tasks, errands, Endings(parts.metrics, log, parts.turns))
    identity = Identity(tenant=talk.tenant.name, tier="free", user="", session=None)
    assert await cancellation.cancel(identity, running)
    await cancellation.settled()
    assert talk.queued() == [held.encode()]


async def test_after_a_deadline(parts: Parts, talk: Conversation) -> None:
    """The look that ends a task lets the next one go."""
    running, held = await talk.started(), await talk.say("queue")
    talk.tenant.client.zadd(talk.tenant.key("outstanding"), {running: 1})
    async with parts.pumping():
        await parts.agenda.note(talk.tenant.name, 1)
        await parts.sweeper.sweep(ALONE)
        await parts.turns.settled()
    assert talk.queued() == [held.encode()]


async def test_when_nobody_did(parts: Parts, talk: Conversation) -> None:
    """A replica that died with the ending in its hands leaves it to the agenda of another."""
    running, held = await talk.started(), await talk.say("queue")
    await talk.report(running, "completed")
    overlook(talk)
    async with parts.pumping():
        await parts.agenda.note(talk.tenant.name, talk.tenant.broker.clock.now() - SECOND)
        await parts.sweeper.sweep(ALONE)
        await parts.turns.settled()
    assert talk.queued() == [held.encode()]


async def test_noted_many_times(parts: Parts, talk: Conversation) -> None:
    """Whatever is noted while a look is under way is looked at once more, and no message goes twice."""
    running = await talk.started()
    held = [await talk.say("queue") for _ in range(2)]
    await talk.report(running, "completed")
    for _ in range(50):
        parts.turns.soon(talk.tenant.name, talk.session)
    await asyncio.sleep(0)
    parts.turns.soon(talk.tenant.name, talk.session)
    await parts.turns.settled()
    assert (talk.queued(), talk.held()) == ([held[0].encode()], [held[1]])


async def test_redis_away(parts: Parts, talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails is said and left to the agenda; other sessions are looked at all the same."""
    advance = Turns.advance

    async def failing(self: Turns, tenant: str, session: str) -> object:
        if session == "sess-1":
            raise Unavailable("away")
        return await advance(self, tenant, session)

    monkeypatch.setattr(Turns, "advance", failing)
    other = Conversation(talk.tenant, "sess-2")
    held: list[str] = []
    for session in (talk, other):
        running = await session.started()
        held.append(await session.say("queue"))
        await session.report(running, "completed")
        parts.turns.soon(talk.tenant.name, session.session)
    await parts.turns.settled()
    assert talk.queued() == [held[1].encode()]
    (line,) = [line for line in parts.lines.getvalue().splitlines() if "turn_failed" in line]
    assert json.loads(line)["session_id"] == "sess-1"
