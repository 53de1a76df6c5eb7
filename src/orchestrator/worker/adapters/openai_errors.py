"""What may go wrong with a language model, in words that viewers may read."""

from collections.abc import Generator
from contextlib import contextmanager

import openai

from orchestrator.worker.errors import TaskError


@contextmanager
def explained() -> Generator[None]:
    """Turns the errors of OpenAI's client into TaskErrors; its own may quote keys and addresses."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise TaskError("The language model did not answer in time.", code="llm_timeout") from error
    except openai.APIConnectionError as error:
        raise TaskError("The language model cannot be reached.", code="llm_unreachable") from error
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise TaskError("The language model refused the worker's key.", code="llm_unauthorized") from error
    except openai.RateLimitError as error:
        raise TaskError("The language model is busy; try again later.", code="llm_rate_limited") from error
    except openai.APIStatusError as error:
        message = f"The language model refused the request (HTTP {error.status_code})."
        raise TaskError(message, code="llm_refused") from error
    except openai.APIError as error:
        raise TaskError("The language model broke off its answer.", code="llm_failed") from error
