"""Talks to any server that speaks the chat completions protocol of OpenAI."""

import os
from collections.abc import AsyncGenerator
from typing import Final

from openai import AsyncOpenAI

from orchestrator.worker import TaskError
from orchestrator.worker.adapters.openai_errors import explained

_PATIENCE: Final = 60.0
"""Seconds without a sign of the server after which it is given up."""


async def stream_chat(message: str, patience: float = _PATIENCE) -> AsyncGenerator[str, None]:
    """The model's answer in pieces; TaskError where there is none, in words that viewers may read."""
    base_url, api_key, model = (os.environ.get(f"OPENAI_{name}") for name in ("BASE_URL", "API_KEY", "MODEL"))
    if not (model and (base_url or api_key)):
        raise TaskError(
            "No language model is set up. Start the worker with OPENAI_MODEL, with OPENAI_API_KEY, "
            "and with OPENAI_BASE_URL for a server other than OpenAI's.",
            code="llm_not_configured",
        )
    with explained():
        # Servers on one's own machine ask for no key, but the client wants one.
        client = AsyncOpenAI(api_key=api_key or "none", base_url=base_url, timeout=patience, max_retries=1)
        async with client:
            chunks = await client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": message}], stream=True
            )
            async for chunk in chunks:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
