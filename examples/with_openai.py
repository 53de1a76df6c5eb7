"""A model behind any OpenAI-compatible endpoint as an agent: pip install 'orchestrator[openai]'.

OPENAI_API_KEY and OPENAI_MODEL say which, OPENAI_BASE_URL names another server than OpenAI's.
"""

import os

from openai import AsyncOpenAI
from pydantic import BaseModel

from orchestrator.worker import AgentWorker
from orchestrator.worker.adapters.openai import openai_agent

worker = AgentWorker()


class OpeningHours(BaseModel):
    """When the office of a city is open."""

    city: str


async def opening_hours(asked: OpeningHours) -> str:
    """A tool: the model gets what it returns."""
    return f"The office in {asked.city} is open from 9 to 5."


worker.agent("agent-model")(
    openai_agent(
        AsyncOpenAI(),
        os.environ.get("OPENAI_MODEL", "gpt-5.2"),
        instructions="Help where you can.",
        tools={OpeningHours: opening_hours},
    )
)
