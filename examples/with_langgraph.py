"""A LangGraph as an agent: pip install 'orchestrator[langgraph]'."""

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from orchestrator.worker import AgentWorker
from orchestrator.worker.adapters.langgraph import langgraph_agent

worker = AgentWorker()


async def count(state: MessagesState) -> MessagesState:
    """A node; a model that it asks would stream token by token."""
    get_stream_writer()({"step": "counting"})
    said = sum(message.type == "human" for message in state["messages"])
    return {"messages": [AIMessage(f"You have said {said} things.")]}


async def confirm(state: MessagesState) -> MessagesState:
    """`interrupt` asks the user, and the graph goes on with the answer."""
    if "forget" in state["messages"][-2].text:
        really = interrupt({"prompt": "Forget everything?", "schema": {"type": "boolean"}})
        return {"messages": [AIMessage("Forgotten." if really else "Kept.")]}
    return {"messages": []}


graph = StateGraph(MessagesState)
graph.add_node(count)
graph.add_node(confirm)
graph.add_edge(START, "count")
graph.add_edge("count", "confirm")
graph.add_edge("confirm", END)

# A checkpointer keeps the conversation; choose one that lasts for more than a try.
worker.agent("agent-graph")(langgraph_agent(graph.compile(checkpointer=InMemorySaver())))
