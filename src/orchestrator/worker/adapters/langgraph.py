"""LangGraph's compiled graphs as agents: `worker.agent("agent-graph")(langgraph_agent(graph))`."""

from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from contextlib import aclosing
from typing import Any, cast

from orchestrator.worker.task import Task

try:
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langgraph.pregel import Pregel
    from langgraph.types import Command
except ModuleNotFoundError as error:
    raise ImportError("LangGraph is missing: pip install 'orchestrator[langgraph]'") from error

_STREAM: Any = {"stream_mode": ["messages", "tasks", "custom"], "subgraphs": True, "version": "v2"}
_COUNTED = {"input": "input_tokens", "output": "output_tokens", "total": "total_tokens"}


def config_of(task: Task) -> Any:
    """Names the thread that a checkpointer keeps: a conversation, else a session, of one user with one agent."""
    # Callers choose the ids of conversations: nobody may get at another's by naming it.
    where = (task.tenant_id, task.context.context_id, task.conversation_id or task.session_id)
    return {"configurable": {"thread_id": "/".join((*where, task.user_id or ""))}}


def state_of(task: Task) -> dict[str, Any]:
    """The message, in the state that most graphs have; by its id a second attempt does not say it twice."""
    return {"messages": [HumanMessage(task.message, id=task.task_id)]}


def langgraph_agent(
    graph: Pregel[Any, Any, Any, Any],
    *,
    state: Callable[[Task], Any] = state_of,
    config: Callable[[Task], Any] = config_of,
    nodes: Collection[str] = (),
) -> Callable[[Task], AsyncGenerator[str, None]]:
    """Streams what models say (in `nodes`, where named); nodes, tools and custom data show as progress.

    `interrupt({"prompt": …})`, with what else `task.ask` takes, asks the user; the node gets the answer.
    """

    async def answer(task: Task) -> AsyncGenerator[str, None]:
        given, told, last = state(task), set[str](), None
        while given is not None:
            asked: dict[str, Any] = {}
            run = cast("Any", graph).astream(given, config(task), **_STREAM)
            async with aclosing(run):  # the graph stops when the task does
                async for part in run:
                    kind, data = part["type"], part["data"]
                    if kind == "messages" and isinstance(data[0], AIMessage):
                        used: Any = data[0].usage_metadata
                        task.tokens_used(**{name: used[key] for name, key in _COUNTED.items() if used})
                        if (text := str(data[0].text)) and (not nodes or data[1]["langgraph_node"] in nodes):
                            yield text if last in (None, data[0].id) else f"\n\n{text}"
                            last = data[0].id
                    for event, detail in _events(kind, data, told):
                        await task.emit(event, **detail)
                    if kind == "tasks":
                        asked |= {pause["id"]: pause["value"] for pause in data.get("interrupts", ())}
            answers = {key: await task.ask(**question) for key, question in asked.items()}
            given = Command(resume=answers) if asked else None

    return answer


def _events(kind: str, data: Any, told: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    if kind == "custom":
        yield "custom", {"data": data}
    if kind == "messages" and isinstance(data[0], ToolMessage):
        yield "tool_result", {"id": data[0].tool_call_id, "name": data[0].name}
    if kind == "tasks":
        yield "node", {"name": data["name"], "state": "finished" if "result" in data else "started"}
        for message in data.get("result", {}).get("messages", ()):
            for call in getattr(message, "tool_calls", ()):
                if call["id"] not in told:  # a graph repeats what its subgraph has said
                    told.add(call["id"])
                    yield "tool_call", {"id": call["id"], "name": call["name"], "arguments": call["args"]}
