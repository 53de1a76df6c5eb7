"""A Pydantic AI agent as an agent: pip install 'orchestrator[pydantic-ai]'.

With pip install 'pydantic-ai-slim[openai]' and `Agent("openai:gpt-5.2")` a real model answers.
"""

from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from orchestrator.worker import AgentWorker
from orchestrator.worker.adapters.pydantic_ai import pydantic_ai_agent

worker = AgentWorker()
helper = Agent(TestModel(), instructions="Help where you can.")


@helper.tool_plain
async def opening_hours(city: str) -> str:
    """When the office of a city is open."""
    return f"The office in {city} is open from 9 to 5."


worker.agent("agent-helper")(pydantic_ai_agent(helper))
