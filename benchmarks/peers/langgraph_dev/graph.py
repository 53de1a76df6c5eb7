"""The agent of this peer: a graph of one node that streams what the message asks for."""

# langgraph is typed in part.
# pyright: reportUnknownMemberType=false

import asyncio
import json
import time

from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph


async def answer(state: MessagesState) -> dict[str, list[AIMessage]]:
    """The message says how: {"chunks", "delta", "every_ms"?, "stamp"?}."""
    asked = json.loads(str(state["messages"][-1].content))
    write, said = get_stream_writer(), list[str]()
    for seq in range(asked["chunks"]):
        await asyncio.sleep(asked.get("every_ms", 0) / 1000)
        stamp = f"{time.perf_counter_ns():020d} " if asked.get("stamp") else ""
        said.append(stamp + asked["delta"])
        write({"seq": seq, "delta": said[-1]})
    return {"messages": [AIMessage("".join(said))]}


graph = (
    StateGraph(MessagesState)
    .add_node("answer", answer)
    .add_edge(START, "answer")
    .add_edge("answer", END)
    .compile()
)
