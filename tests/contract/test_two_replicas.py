"""Two replicas on one Valkey from the first day, and one of them may die (contract §4 Resume, §5)."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.contract.client import Agent, Caller, unique
from tests.contract.conftest import Connect, StartService
from tests.contract.exchange import asked, ended, say, text_of
from tests.contract.socket_client import Closed, offset_of, watch
from tests.servers import OrchestratorServer, orchestrator_server, wait_until


class Pair(NamedTuple):
    """Two replicas of one deployment, and the same frontend at each of them."""

    first: OrchestratorServer
    second: OrchestratorServer
    at_first: Caller
    at_second: Caller


@pytest.fixture(scope="module")
def replicas(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[OrchestratorServer, OrchestratorServer]]:
    """Two replicas that every test leaves as they are."""
    names = {
        "ORCHESTRATOR_DOMAIN_NAME": unique("domain"),
        "ORCHESTRATOR_CALLBACK_QUEUE_PREFIX": unique("own"),
    }
    logs = tmp_path_factory.mktemp("replicas")
    with (
        orchestrator_server(environment | names, logs / "first.log") as first,
        orchestrator_server(environment | names, logs / "second.log") as second,
    ):
        yield first, second


@pytest.fixture
def pair(replicas: tuple[OrchestratorServer, OrchestratorServer], connect: Connect, caller: Caller) -> Pair:
    """The lasting replicas."""
    return pair_of(*replicas, connect, caller)


@pytest.fixture
def mortal_pair(start_service: StartService, connect: Connect, caller: Caller) -> Pair:
    """A fresh pair, of which the test may kill one."""
    return pair_of(start_service(), start_service(), connect, caller)


def pair_of(first: OrchestratorServer, second: OrchestratorServer, connect: Connect, caller: Caller) -> Pair:
    """The caller's session as it is reached at each of them."""
    here, there = (Caller(connect(server), caller.tenant, caller.session_id) for server in (first, second))
    return Pair(first, second, here, there)


async def test_post_to_one_socket_on_the_other(pair: Pair, agent: Agent) -> None:
    """Which replica took the message does not matter to a socket, nor to the ledger."""
    async with watch(pair.first, pair.at_first) as here, watch(pair.second, pair.at_second) as there:
        for caller in (pair.at_first, pair.at_second):
            _, task = await asked(caller, agent)
            await agent.report(task, "running")
            await say(agent, task, ["a", "b"])
            await agent.complete(task)
            await here.ending(task["task_id"])
            await there.ending(task["task_id"])
            assert await pair.at_first.status(task["task_id"]) == "completed"
            assert await pair.at_second.status(task["task_id"]) == "completed"
    assert here.events == there.events


async def test_cancel_at_the_other(pair: Pair, agent: Agent) -> None:
    """A task is cancelled everywhere, wherever it was sent and wherever it is watched."""
    async with watch(pair.first, pair.at_first) as socket:
        accepted = await pair.at_first.accepted()
        assert (await pair.at_second.cancel(accepted["task_id"])).json()["status"] == "cancelled"
        frame = await socket.ending(accepted["task_id"])
    assert frame["data"]["code"] == "cancelled"
    assert await agent.redis.llen(agent.queue) == 0


async def test_an_ack_at_the_other(pair: Pair, agent: Agent) -> None:
    """An ending delivered by one replica may be acknowledged at the other."""
    async with watch(pair.first, pair.at_first) as socket:
        _, task = await asked(pair.at_first, agent)
        await agent.complete(task)
        await socket.ending(task["task_id"])
    async with watch(pair.second, pair.at_second, socket.last) as later:
        await later.send({"type": "ack", "position": socket.last})

        async def is_noted() -> bool:
            ledger = await pair.at_first.ledger(task["task_id"])
            return bool(ledger["timeline"].get("acknowledged_at"))

        await wait_until(is_noted)


async def test_no_reordering(pair: Pair, agent: Agent) -> None:
    """Both pump: unnumbered pieces of several tasks, in bursts, arrive in order and once, at both."""
    async with watch(pair.first, pair.at_first) as here, watch(pair.second, pair.at_second) as there:
        tasks = [(await asked(pair.at_first, agent))[1] for _ in range(4)]
        pieces = [f"{number} " for number in range(400)]
        for start in range(0, 400, 25):
            for task in tasks:
                await agent.redis.lpush(
                    task["callback_queue"], *(piece_of(task, piece) for piece in pieces[start : start + 25])
                )
        for task in tasks:
            await agent.report(task, "completed", result={})
            for socket in (here, there):
                frame = await socket.ending(task["task_id"])
                assert frame["data"]["response"] == "".join(pieces)
    for socket in (here, there):
        assert [text_of(socket.events, task["task_id"]) for task in tasks] == ["".join(pieces)] * 4
    assert offset_of(here.last or "") == offset_of(there.last or "")


def piece_of(task: dict[str, Any], text: str) -> str:
    """An unnumbered piece of the answer."""
    return json.dumps({"task_id": task["task_id"], "status": "streaming", "result": {"delta": text}})


async def test_a_killed_replica(mortal_pair: Pair, agent: Agent) -> None:
    """SIGKILL in mid-stream: the client resumes at the other replica, every event once and in order."""
    words = [f"{number} " for number in range(2000)]
    accepted, task = await asked(mortal_pair.at_first, agent)
    async with watch(mortal_pair.first, mortal_pair.at_first, accepted["position"]) as before:
        speaking = asyncio.create_task(speak(agent, task, words))
        while sum(frame["type"] == "agent_chunk" for frame in before.events) < 20:
            await before.event()
        mortal_pair.first.kill()
        with pytest.raises(Closed):
            await before.until("agent_response")
    assert before.connection.close_code == 1006
    async with watch(mortal_pair.second, mortal_pair.at_second, before.last) as after:
        assert after.ack["recovered"]
        await speaking
        await agent.report(task, "completed", result={})
        frame = await after.ending(task["task_id"])

    assert frame["data"]["response"] == "".join(words)
    # A socket that is behind when the task ends has the last pieces in the ending, which covers them.
    assert "".join(words).startswith(text_of(before.events + after.events, task["task_id"]))
    covered = sum(event.get("covers", 1) for event in before.events + after.events)
    assert covered == 2 + len(words) + 1
    assert (await ended(mortal_pair.at_second, task["task_id"]))["status"] == "completed"


async def speak(agent: Agent, task: dict[str, Any], words: list[str]) -> None:
    """Streams without numbers, so that nothing but the service keeps each piece to once."""
    for word in words:
        await agent.redis.lpush(task["callback_queue"], piece_of(task, word))


@pytest.mark.parametrize("victim", ["first", "second"])
async def test_a_replica_killed_between_two_messages(mortal_pair: Pair, agent: Agent, victim: str) -> None:
    """Whichever of the two looked after a tenant, the other one takes over."""
    server, caller = (
        (mortal_pair.second, mortal_pair.at_second)
        if victim == "first"
        else (mortal_pair.first, mortal_pair.at_first)
    )
    _, before = await asked(caller, agent)
    await agent.complete(before)
    await ended(caller, before["task_id"])
    (mortal_pair.first if victim == "first" else mortal_pair.second).kill()
    async with watch(server, caller) as socket:
        _, task = await asked(caller, agent)
        await agent.complete(task)
        assert (await socket.ending(task["task_id"]))["type"] == "agent_response"


async def test_a_replica_that_stops(mortal_pair: Pair, agent: Agent) -> None:
    """SIGTERM: sockets are closed with 1012 and when to come back; the rest follows at the other."""
    accepted, task = await asked(mortal_pair.at_first, agent)
    async with watch(mortal_pair.first, mortal_pair.at_first, accepted["position"]) as before:
        await say(agent, task, ["a"])
        while not any(frame["type"] == "agent_chunk" for frame in before.events):
            await before.event()
        mortal_pair.first.process.terminate()
        code, reason = await before.closing()
    assert code == 1012
    assert json.loads(reason).keys() == {"retry_after_ms"}
    async with watch(mortal_pair.second, mortal_pair.at_second, before.last) as after:
        assert after.ack["recovered"]
        await say(agent, task, ["b"], first=1)
        await agent.report(task, "completed", result={})
        assert (await after.ending(task["task_id"]))["data"]["response"] == "ab"
    assert mortal_pair.first.process.wait(30) == 0
