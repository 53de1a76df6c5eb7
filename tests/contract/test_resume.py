"""A client that comes back with its position gets everything since, in order, once (contract §4, Resume)."""

import pytest
from tests.contract.client import Agent, Caller, unique
from tests.contract.conftest import StartService
from tests.contract.exchange import asked, ended, say, settle, text_of
from tests.contract.socket_client import Frame, epoch_of, offset_of, watch
from tests.servers import OrchestratorServer

WORDS = [f"{word} " for word in ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"]]


@pytest.fixture
def other(caller: Caller) -> Caller:
    """Another session of the tenant: what ends here tells that the callbacks before it were taken."""
    return Caller(caller.http, caller.tenant)


def shapes(frames: list[Frame]) -> list[tuple[str, int]]:
    """Type (or the status of an update) and how many events it stands for."""
    return [
        (f["data"]["status"] if f["type"] == "task_update" else f["type"], f.get("covers", 1)) for f in frames
    ]


async def test_in_the_middle_of_a_stream(
    service: OrchestratorServer, caller: Caller, other: Caller, agent: Agent
) -> None:
    """Chunks of a running task are merged into one frame; with the ones around it, the text is whole."""
    _, task = await asked(caller, agent)
    async with watch(service, caller, "earliest") as before:
        await say(agent, task, WORDS[:3])
        while before.frames[-1]["data"].get("seq") != 2:
            await before.event()
    await say(agent, task, WORDS[3:7], first=3)
    await settle(other, agent)

    async with watch(service, caller, before.last) as after:
        assert after.ack["recovered"]
        (merged,) = await after.caught_up()
        assert (merged["type"], merged["covers"]) == ("agent_chunk", 4)
        assert merged["data"] == {"delta": "".join(WORDS[3:7]), "seq": 6, "seq_from": 3, "attempt": 1}
        await say(agent, task, WORDS[7:], first=7)
        await agent.report(task, "completed", result={})
        ending = await after.ending(task["task_id"])

    assert text_of(before.events + after.events, task["task_id"]) == "".join(WORDS)
    assert ending["data"]["response"] == "".join(WORDS)


async def test_after_the_ending(
    service: OrchestratorServer, caller: Caller, other: Caller, agent: Agent
) -> None:
    """Chunks of a task that ended meanwhile are covered by its ending."""
    accepted, task = await asked(caller, agent)
    await say(agent, task, WORDS)
    await agent.complete(task, "done")
    await settle(other, agent)
    async with watch(service, caller, accepted["position"]) as socket:
        assert socket.ack["recovered"]
        backlog = await socket.caught_up()
    assert shapes(backlog) == [("queued", 1), ("running", 1), ("agent_response", 1 + len(WORDS))]
    assert backlog[-1]["data"]["response"] == "done"


async def test_chunks_of_two_tasks(
    service: OrchestratorServer, caller: Caller, other: Caller, agent: Agent
) -> None:
    """Interleaved tasks, one ended and one running: each text whole, and the sum right."""
    accepted, first = await asked(caller, agent)
    _, second = await asked(caller, agent)
    for seq, word in enumerate(WORDS):
        await say(agent, first, [word], seq)
        await say(agent, second, [word.upper()], seq)
    await agent.report(first, "completed", result={})
    await settle(other, agent)
    async with watch(service, caller, accepted["position"]) as socket:
        await socket.caught_up()
        assert text_of(socket.events, first["task_id"]) == ""
        assert text_of(socket.events, second["task_id"]) == "".join(WORDS).upper()
        (response,) = [frame for frame in socket.events if frame["type"] == "agent_response"]
        assert response["data"]["response"] == "".join(WORDS)
        await agent.complete(second)
        await socket.ending(second["task_id"])


async def test_every_position_can_be_resumed(
    service: OrchestratorServer, caller: Caller, other: Caller, agent: Agent
) -> None:
    """From each position that a client ever saw, the rest follows without a hole, and nothing twice."""
    async with watch(service, caller) as live:
        _, task = await asked(caller, agent)
        await agent.report(task, "progress", result={"step": 1})
        await say(agent, task, WORDS)
        await agent.complete(task)
        await live.ending(task["task_id"])
    for frame in live.events:
        async with watch(service, caller, frame["position"]) as socket:
            assert socket.ack["recovered"]
            assert socket.ack["position"] == live.last
            backlog = await socket.caught_up()
        missing = offset_of(socket.ack["position"]) - offset_of(frame["position"])
        assert sum(event.get("covers", 1) for event in backlog) == missing
        assert bool(backlog) == (frame["position"] != live.last)


async def test_earliest(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """`earliest`: all that is kept, which here is everything."""
    accepted, task = await asked(caller, agent)
    await agent.complete(task)
    await ended(caller, task["task_id"])
    async with watch(service, caller, "earliest") as socket:
        assert socket.ack["recovered"]
        backlog = await socket.caught_up()
    assert shapes(backlog) == [("queued", 1), ("agent_response", 1)]
    assert offset_of(backlog[0]["position"]) == offset_of(accepted["position"]) + 1


async def test_no_position_is_live_from_now(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Without a position there is no backlog, and `recovered` is true."""
    _, task = await asked(caller, agent)
    await agent.complete(task)
    await ended(caller, task["task_id"])
    async with watch(service, caller) as socket:
        assert socket.ack["recovered"]
        _, later = await asked(caller, agent)
        await agent.complete(later)
        await socket.ending(later["task_id"])
    assert {frame["task_id"] for frame in socket.events} == {later["task_id"]}


@pytest.mark.parametrize(
    "form",
    [
        "garbage",
        "1",
        "{epoch}",
        "{epoch}:",
        "{epoch}:1",
        "{epoch}:-1-{mark}",
        "{epoch}:1e0-{mark}",
        "{epoch}:99999-{mark}",
        "{epoch}:99999999999999999999999999-{mark}",
        "{epoch}:{offset}-1{mark}",
        "other:{offset}-{mark}",
        ":{offset}-{mark}",
        "{epoch}:{offset}-{mark}\u0000",
        "EARLIEST",
        "x{long}",
    ],
)
async def test_a_position_that_cannot_be_honoured(
    service: OrchestratorServer, caller: Caller, agent: Agent, form: str
) -> None:
    """Unreadable, of another epoch, ahead of the log, not of this entry: `recovered:false`, live."""
    async with watch(service, caller) as first:
        _, task = await asked(caller, agent)
        await agent.complete(task)
        await first.ending(task["task_id"])
    real = first.events[0]["position"]
    mark = real.partition(":")[2].partition("-")[2]
    bad = form.format(epoch=epoch_of(real), offset=offset_of(real), mark=mark, long="x" * 2000)

    async with watch(service, caller, bad) as socket:
        assert socket.ack["recovered"] is False
        assert socket.ack["position"] == first.last
        _, later = await asked(caller, agent)
        await agent.complete(later)
        await socket.ending(later["task_id"])
    assert {frame["task_id"] for frame in socket.events} == {later["task_id"]}
    answer = await caller.get(f"/api/chat/sessions/{caller.session_id}")
    assert answer.json()["position"] == socket.last


async def test_a_position_of_another_session(
    service: OrchestratorServer, caller: Caller, other: Caller, agent: Agent
) -> None:
    """Another session's position is of another epoch."""
    accepted, _ = await asked(other, agent)
    async with watch(service, caller, accepted["position"]) as socket:
        assert socket.ack["recovered"] is False


async def test_what_was_trimmed_cannot_be_honoured(
    start_service: StartService, caller: Caller, agent: Agent
) -> None:
    """A log keeps ORCHESTRATOR_EVENT_LOG_MAX_EVENTS; older positions are not recovered, the newest are."""
    server = start_service(event_log_max_events="5")
    async with watch(server, caller) as live:
        for number in range(8):
            send = {"type": "send", "agent_id": caller.tenant.agent, "message": f"{number}"}
            await live.send(send)
            task = await agent.take()
            await agent.complete(task)
            await live.ending(task["task_id"])
    positions = [frame["position"] for frame in live.events]
    assert len(positions) == 16

    for position in (live.ack["position"], positions[0], positions[-7]):
        async with watch(server, caller, position) as socket:
            assert socket.ack["recovered"] is False
            assert socket.ack["position"] == live.last
    for kept in range(1, 6):
        async with watch(server, caller, positions[-kept - 1]) as socket:
            assert socket.ack["recovered"] is True
            assert await socket.caught_up() == live.events[-kept:]
    async with watch(server, caller, "earliest") as socket:
        assert socket.ack["recovered"] is True
        assert await socket.caught_up() == live.events[-5:]


async def test_a_session_that_never_was(service: OrchestratorServer, caller: Caller) -> None:
    """`earliest` of a new session is empty; a position in it cannot be honoured."""
    async with watch(service, caller) as socket:
        assert socket.ack["recovered"]
    fresh = Caller(caller.http, caller.tenant, unique("sess"))
    async with watch(service, fresh, socket.ack["position"]) as unknown:
        assert unknown.ack["recovered"] is False
    async with watch(service, Caller(caller.http, caller.tenant), "earliest") as empty:
        assert empty.ack["recovered"]


async def test_a_quick_stutter(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """A client that loses its connection after every few frames still sees each event once, in order."""
    accepted, task = await asked(caller, agent)
    position, covered, pieces = accepted["position"], 0, [f"{number} " for number in range(60)]
    shown = ""
    for start in range(0, 60, 6):
        await say(agent, task, pieces[start : start + 6], start)
        async with watch(service, caller, position) as socket:
            assert socket.ack["recovered"]
            while socket.last is None or len(socket.events) < 2:
                frame = await socket.event()
                if frame["type"] == "agent_chunk" and frame["data"]["seq"] == start + 5:
                    break
        assert socket.last
        position = socket.last
        covered += sum(frame.get("covers", 1) for frame in socket.events)
        shown += text_of(socket.events, task["task_id"])
    await agent.complete(task)
    async with watch(service, caller, position) as socket:
        await socket.ending(task["task_id"])
    covered += sum(frame.get("covers", 1) for frame in socket.events)
    assert "".join(pieces).startswith(shown)
    assert covered == 2 + 60 + 1
