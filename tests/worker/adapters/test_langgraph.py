"""The adapter for LangGraph, with the package and its own models for tests."""

import asyncio
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

from orchestrator.worker import Task
from orchestrator.worker.adapters.langgraph import config_of, langgraph_agent, state_of
from orchestrator.worker.testing import run_task

CALL = AIMessage("", tool_calls=[ToolCall(name="weather", args={"city": "Rome"}, id="call-1")])


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def graph(*nodes: Any, saver: InMemorySaver | None = None) -> Any:
    """The nodes in a row."""
    built: Any = StateGraph(MessagesState)
    built.add_sequence(nodes)
    built.add_edge(START, nodes[0][0])
    built.add_edge(nodes[-1][0], END)
    return built.compile(checkpointer=saver)


def talk(*texts: str) -> Any:
    """A node whose model says one of `texts` each time, word by word."""
    model = GenericFakeChatModel(messages=iter(map(AIMessage, texts)))

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return node


async def test_tokens_become_chunks() -> None:
    """Each token of a model is a chunk; the nodes that run show as progress."""
    outcome = await run_task(langgraph_agent(graph(("talk", talk("It is sunny.")))), "Weather?")

    assert outcome.chunks == ("It", " ", "is", " ", "sunny.")
    assert outcome.response == "It is sunny."
    assert outcome.progress == (
        {"kind": "node", "name": "talk", "state": "started"},
        {"kind": "node", "name": "talk", "state": "finished"},
    )


async def test_tokens_of_all_models_are_counted() -> None:
    """The ending has the sum of what models said they used, in nodes that are not heard, too."""

    def think(*_: Any) -> Any:
        usage = UsageMetadata(input_tokens=5, output_tokens=2, total_tokens=7)
        return {"messages": [AIMessage("Well.", usage_metadata=usage)]}

    nodes = graph(("plan", think), ("rest", talk("No count.")), ("talk", think))
    outcome = await run_task(langgraph_agent(nodes, nodes={"talk"}), "?")

    assert outcome.response == "Well."
    assert outcome.tokens_used == {"input": 10, "output": 4, "total": 14}


async def test_messages_are_paragraphs_and_nodes_can_be_chosen() -> None:
    """What several nodes say is set apart; where nodes are named, the others are not heard."""

    def two() -> Any:
        return graph(("plan", talk("Think first.")), ("talk", talk("It is sunny.")))

    assert (await run_task(langgraph_agent(two()), "?")).response == "Think first.\n\nIt is sunny."
    assert (await run_task(langgraph_agent(two(), nodes={"talk"}), "?")).response == "It is sunny."


async def test_tools_and_custom_data_are_shown() -> None:
    """Viewers see which tool is used with what, once even where a graph is part of another; and what a node writes."""

    def ask_for_it(_: MessagesState) -> dict[str, Any]:
        get_stream_writer()({"percent": 10})
        return {"messages": [CALL]}

    inner = graph(("choose", ask_for_it), ("tools", ToolNode([weather])))
    outcome = await run_task(langgraph_agent(graph(("helper", inner), ("talk", talk("Sunny.")))), "Weather?")

    assert outcome.response == "Sunny."
    assert [detail for detail in outcome.progress if detail["kind"] != "node"] == [
        {"kind": "custom", "data": {"percent": 10}},
        {"kind": "tool_call", "id": "call-1", "name": "weather", "arguments": {"city": "Rome"}},
        {"kind": "tool_result", "id": "call-1", "name": "weather"},
    ]


async def test_an_interrupt_asks_the_user() -> None:
    """`interrupt` becomes a question, and the node goes on with the answer."""

    def confirm(_: MessagesState) -> dict[str, Any]:
        answer = interrupt({"prompt": "Really?", "schema": {"type": "boolean"}})
        return {"messages": [AIMessage(f"You said {answer}.")]}

    asks = graph(("confirm", confirm), saver=InMemorySaver())
    outcome = await run_task(langgraph_agent(asks), "Delete all", answers=[True])

    assert outcome.response == "You said True."


async def test_a_conversation_has_a_thread() -> None:
    """The checkpointer keeps what was said, and a second attempt at a task does not say it twice."""
    seen: list[list[BaseMessage]] = []

    def listen(state: MessagesState) -> dict[str, Any]:
        seen.append(list(state["messages"]))
        return {"messages": [AIMessage("Yes.")]}

    answer = langgraph_agent(graph(("listen", listen), saver=InMemorySaver()))
    for attempt, task_id, message in ((1, "task-1", "One"), (2, "task-1", "One"), (1, "task-2", "Two")):
        async for _ in answer(Task(message=message, task_id=task_id, attempt=attempt)):
            pass

    said = [[message.text for message in messages if isinstance(message, HumanMessage)] for messages in seen]
    assert said == [["One"], ["One"], ["One", "Two"]]


def test_nobody_gets_at_the_thread_of_another() -> None:
    """Tenant, agent, conversation (without one the session) and user each make another thread."""
    task = Task(message="hi", user_id="ada", conversation_id="c")
    others = (
        Task(message="hi", user_id="eve", conversation_id="c"),
        Task(message="hi", user_id="ada", conversation_id="c", tenant_id="other"),
        Task(message="hi", user_id="ada", conversation_id="d"),
        Task(message="hi", user_id="ada"),
    )
    threads = {config_of(each)["configurable"]["thread_id"] for each in (task, *others)}

    assert len(threads) == 5
    assert config_of(task) == {"configurable": {"thread_id": "tenant-456/agent-123/c/ada"}}
    assert state_of(task)["messages"][0].text == "hi"


async def test_a_cancellation_reaches_the_graph() -> None:
    """A task that is cancelled cancels the node that runs."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hold(_: MessagesState) -> dict[str, Any]:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    running = asyncio.create_task(run_task(langgraph_agent(graph(("hold", hold))), "hi"))
    await asyncio.wait_for(begun.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(cancelled.wait(), 5)
