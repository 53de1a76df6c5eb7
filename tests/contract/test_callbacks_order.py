"""`seq` and `attempt`: duplicates, late ones, and attempts that never were (contract §5)."""

from typing import Any

from tests.contract.client import Agent, Caller
from tests.contract.conftest import Command
from tests.contract.exchange import asked, dead_letters, ended, settle, text_of
from tests.contract.socket_client import Frame, Socket, watch
from tests.servers import OrchestratorServer


async def streamed(
    service: OrchestratorServer, caller: Caller, agent: Agent, *pieces: dict[str, Any]
) -> tuple[list[Frame], Frame, str]:
    """A task with these chunks (members of each): its frames, its ending, its text as it streamed."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        for piece in pieces:
            await agent.report(task, "streaming", **({"result": {"delta": delta_of(piece)}} | piece))
        await agent.report(task, "completed", result={})
        ending = await socket.ending(task["task_id"])
    return socket.events, ending, text_of(socket.events, task["task_id"])


def delta_of(piece: dict[str, Any]) -> str:
    """A text that tells which piece it is."""
    return f"<{piece.get('seq', '-')}>"


async def test_a_seq_that_was_seen_is_dropped(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Not above the highest seen: a duplicate, and not delivered."""
    pieces = [{"seq": seq} for seq in (0, 0, 1, 0, 2, 1, 2, 3)]
    frames, ending, text = await streamed(service, caller, agent, *pieces)
    assert text == ending["data"]["response"] == "<0><1><2><3>"
    chunks = [frame["data"] for frame in frames if frame["type"] == "agent_chunk"]
    assert [chunk["seq_from"] for chunk in chunks[1:]] == [chunk["seq"] + 1 for chunk in chunks[:-1]]
    assert chunks[-1]["seq"] == 3


async def test_a_gap_passes(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """A jump in `seq` is delivered; what would have filled it comes too late."""
    pieces = [{"seq": seq} for seq in (0, 5, 3, 6, 2**53 - 1)]
    frames, ending, text = await streamed(service, caller, agent, *pieces)
    assert text == ending["data"]["response"] == f"<0><5><6><{2**53 - 1}>"
    assert [f for f in frames if f["type"] == "agent_chunk"][-1]["data"]["seq"] == 2**53 - 1


async def test_without_seq_nothing_is_a_duplicate(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Unnumbered pieces all count, equal ones too."""
    same = {"result": {"delta": "ha"}}
    _, ending, text = await streamed(service, caller, agent, same, same, same)
    assert text == ending["data"]["response"] == "hahaha"


async def test_a_seq_that_is_no_number_of_a_piece(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent
) -> None:
    """A `seq` is an integer from 0 below 2^53; anything else is a dead letter, and the stream goes on."""
    bad: list[object] = [-1, 1.5, "1", True, [1], {}, 2**53, 10**30]
    pieces: list[dict[str, Any]] = [{"seq": 0}, *({"seq": seq} for seq in bad), {"seq": 1}]
    _, ending, text = await streamed(service, caller, agent, *pieces)
    assert text == ending["data"]["response"] == "<0><1>"
    letters = await dead_letters(orchestrator, caller.tenant.id)
    assert ["seq" in letter["reason"] for letter in letters] == [True] * len(bad)


async def test_an_older_attempt_is_dropped(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """Attempts count from 1, so 0 is of no attempt at all; nothing of it is delivered."""
    _, ending, text = await streamed(
        service, caller, agent, {"seq": 0, "attempt": 1}, {"seq": 1, "attempt": 0}, {"seq": 2, "attempt": 1}
    )
    assert text == ending["data"]["response"] == "<0><2>"


async def test_an_attempt_that_never_was(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent
) -> None:
    """An `attempt` above the current one is a dead letter, with its reason, whatever it reports."""
    reports = ("running", "streaming", "progress", "completed", "failed")
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        for status in reports:
            await agent.report(task, status, attempt=2, result={"delta": "x", "response": "x"})
        await agent.complete(task, "right", attempt=1)
        frame = await socket.ending(task["task_id"])
    assert frame["data"]["response"] == "right"
    assert len(socket.events) == 2
    letters = await dead_letters(orchestrator, caller.tenant.id)
    assert ["attempt" in letter["reason"] for letter in letters] == [True] * len(reports)


async def test_the_current_attempt_may_be_named_or_not(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Callbacks with `attempt` and without count for the same attempt."""
    pieces = [{"seq": 0, "attempt": 1}, {"seq": 1}, {"seq": 2, "attempt": 1}]
    frames, _, text = await streamed(service, caller, agent, *pieces)
    assert text == "<0><1><2>"
    assert {f["data"]["attempt"] for f in frames if f["type"] in ("agent_chunk", "task_update")} == {1}


async def test_each_task_counts_for_itself(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """The highest `seq` of one task means nothing to another."""
    async with watch(service, caller) as socket:
        _, first = await asked(caller, agent)
        _, second = await asked(caller, agent)
        for seq in range(3):
            for task in (first, second):
                await agent.report(task, "streaming", seq=seq, result={"delta": f"<{seq}>"})
        assert await texts(socket, agent, first, second) == ["<0><1><2>"] * 2


async def texts(socket: Socket, agent: Agent, *tasks: dict[str, Any]) -> list[str]:
    """Ends the tasks; the answer of each."""
    answers: list[str] = []
    for task in tasks:
        await agent.report(task, "completed", result={})
        answers.append((await socket.ending(task["task_id"]))["data"]["response"])
    return answers


async def test_late_callbacks_leave_no_trace(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent
) -> None:
    """What comes after the ending is dropped and counted; it is no dead letter and changes no ledger."""
    _, task = await asked(caller, agent)
    await agent.complete(task, "done")
    before = await ended(caller, task["task_id"])
    for status in ("running", "progress", "failed"):
        await agent.report(task, status, result={"error": "late"})
    await settle(Caller(caller.http, caller.tenant), agent)
    assert await caller.ledger(task["task_id"]) == before
    assert await dead_letters(orchestrator, caller.tenant.id) == []
