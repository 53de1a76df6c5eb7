"""What an agent gives becomes callbacks (contract §5, §9)."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from structlog.testing import capture_logs
from tests.worker.service import Service, running

from orchestrator.worker import AgentWorker, Task, TaskError


async def test_returned_text_is_the_response(service: Service, worker: AgentWorker) -> None:
    """A handler that returns text: `running`, then `completed` with it as `response`."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return f"heard {task.message}"

    async with running(worker):
        task_id = await service.send("a word")
        first, last = await service.until_end()

    assert first == {
        "action_type": "execution.callback",
        "task_id": task_id,
        "status": "running",
        "attempt": 1,
    }
    assert last["status"] == "completed"
    assert last["result"] == {"response": "heard a word"}
    assert 0 <= last["execution_time"] < 5


async def test_the_task_is_typed(service: Service, worker: AgentWorker) -> None:
    """Every member that the contract names reaches the handler, in its own type."""
    seen: list[Task] = []

    @worker.context("collection-789")
    async def _(task: Task) -> str:
        seen.append(task)
        return ""

    async with running(worker):
        task_id = await service.send("q", context="collection-789", tier="enterprise", attempt=3)
        await service.until_end()

    task = seen[0]
    assert (task.task_id, task.attempt, task.tenant_id, task.tier) == (task_id, 3, "tenant-456", "enterprise")
    assert (task.session_id, task.user_id, task.conversation_id) == ("sess-abc123", "user-789", "conv-def456")
    assert (task.message, task.user_info, task.metadata) == ("q", {"name": "Ada"}, {})
    assert (task.stream, task.max_iterations, task.traceparent) == (True, None, None)
    assert task.context.context_id == "collection-789"
    assert task.context.context_type == "collection"
    assert task.deadline > datetime.now(UTC)


async def test_a_returned_dict_is_the_result(service: Service, worker: AgentWorker) -> None:
    """A dict is the `result`; its `tokens_used` goes where the contract has that member."""

    @worker.agent("123")
    async def _(_: Task) -> dict[str, Any]:
        return {"response": "x", "sources": [{"page": 3}], "tokens_used": {"total": 209}}

    async with running(worker):
        await service.send()
        ending = await service.ending()

    assert ending["result"] == {"response": "x", "sources": [{"page": 3}]}
    assert ending["tokens_used"] == {"total": 209}


async def test_counted_tokens_are_in_the_ending(service: Service, worker: AgentWorker) -> None:
    """An agent that streams counts its tokens as it goes."""

    @worker.agent("123")
    async def _(task: Task) -> AsyncGenerator[str, None]:
        for _ in range(2):
            yield "x"
            task.tokens_used(input=5, total=5)

    async with running(worker):
        await service.send()
        ending = await service.ending()

    assert ending["tokens_used"] == {"input": 10, "total": 10}


async def test_yielded_chunks_are_numbered_and_joined(service: Service, worker: AgentWorker) -> None:
    """Chunks carry `seq` 0,1,2…, empty ones are left out, and the ending's response is all of them."""
    worker.chunk_interval = 0

    @worker.agent("agent-123")
    async def _(task: Task) -> AsyncGenerator[str, None]:
        for word in task.message.split():
            yield word + " "
            yield ""

    async with running(worker):
        await service.send("one two three", attempt=2)
        running_, *chunks, ending = await service.until_end()

    assert running_["status"] == "running"
    assert [(c["status"], c["seq"], c["result"]["delta"]) for c in chunks] == [
        ("streaming", 0, "one "),
        ("streaming", 1, "two "),
        ("streaming", 2, "three "),
    ]
    assert {c["attempt"] for c in chunks} == {2}
    assert ending["result"] == {"response": "one two three "}


async def test_a_long_chunk_is_split(service: Service, worker: AgentWorker) -> None:
    """No chunk has more than 32 KiB of text, and nothing is lost between the pieces."""
    text = "aä€😀" * 10_000

    @worker.agent("agent-123")
    async def _(_: Task) -> AsyncGenerator[str, None]:
        yield text
        yield "end"

    async with running(worker):
        await service.send()
        started, *chunks, ending = await service.until_end()

    assert started["status"] == "running"
    deltas = [chunk["result"]["delta"] for chunk in chunks]
    assert max(len(delta.encode()) for delta in deltas) <= 32 * 1024
    assert [chunk["seq"] for chunk in chunks] == list(range(len(chunks)))
    assert "".join(deltas) == ending["result"]["response"] == text + "end"


async def test_a_task_error_is_shown(service: Service, worker: AgentWorker) -> None:
    """TaskError fails the task with its message and code, also after chunks."""

    @worker.agent("agent-123")
    async def _(_: Task) -> AsyncGenerator[str, None]:
        yield "well, "
        raise TaskError("The library is closed.", code="library_closed")

    async with running(worker):
        await service.send()
        ending = await service.ending()

    assert ending["status"] == "failed"
    assert ending["result"]["error"] == {
        "type": "TaskError",
        "message": "The library is closed.",
        "code": "library_closed",
    }
    assert ending["execution_time"] >= 0


async def test_other_exceptions_stay_private(service: Service, worker: AgentWorker) -> None:
    """Viewers get `agent_failed` and a general sentence; type and text are in the worker's log."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        raise LookupError("password=hunter2")

    with capture_logs() as logs:
        async with running(worker):
            task_id = await service.send()
            ending = await service.ending()

    assert ending["result"]["error"]["code"] == "agent_failed"
    assert "hunter2" not in str(ending)
    assert "LookupError" not in str(ending)
    raised = next(line for line in logs if line["event"] == "agent_failed")
    assert str(raised["exc_info"]) == "password=hunter2"
    assert (raised["task_id"], raised["tenant_id"], raised["session_id"]) == (
        task_id,
        "tenant-456",
        "sess-abc123",
    )


async def test_sys_exit_fails_only_its_task(service: Service, worker: AgentWorker) -> None:
    """A handler cannot take the worker down."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        if task.message == "quit":
            raise SystemExit(3)
        return "still here"

    async with running(worker):
        await service.send("quit")
        assert (await service.ending())["result"]["error"]["code"] == "agent_failed"
        await service.send("ask")
        assert (await service.ending())["result"]["response"] == "still here"


async def test_what_is_no_answer_fails_the_task(service: Service, worker: AgentWorker) -> None:
    """Neither text nor dict, a chunk that is no text, a dict that is no JSON: `agent_failed`."""

    async def returns_nothing(_: Task) -> Any:
        return None

    async def returns_no_json(_: Task) -> dict[str, Any]:
        return {"response": object()}

    async def yields_a_number(_: Task) -> AsyncGenerator[Any, None]:
        yield 7

    for number, handler in enumerate((returns_nothing, returns_no_json, yields_a_number)):
        worker.agent(f"agent-{number}")(handler)
    async with running(worker):
        for number in range(3):
            await service.send(context=f"agent-{number}")
            assert (await service.ending())["result"]["error"]["code"] == "agent_failed"


async def test_an_answer_over_1_mib_fails(service: Service, worker: AgentWorker) -> None:
    """The service would refuse such a callback, so the worker says `result_too_large` itself."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        return "x" * (1 << 20)

    async with running(worker):
        await service.send()
        ending = await service.ending()

    assert ending["result"]["error"]["code"] == "result_too_large"


async def test_chunks_over_1_mib_in_all_stop_the_agent(service: Service, worker: AgentWorker) -> None:
    """An agent that never ends its answer is closed, with its `finally`, and the task fails."""
    closed: list[bool] = []

    @worker.agent("agent-123")
    async def _(_: Task) -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "x" * 30_000
        finally:
            closed.append(True)

    async with running(worker):
        await service.send()
        ending = await service.ending()

    assert ending["result"]["error"]["code"] == "result_too_large"
    assert closed == [True]
