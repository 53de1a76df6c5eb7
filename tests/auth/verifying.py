"""A verifier as the settings make it, and tokens to put before it."""

import time
from typing import Any, Final

import pytest
import structlog
from tests.security.minting import SECRET, Issuer, by_hand

from orchestrator.auth.claims import Claims
from orchestrator.auth.tokens import Tokens
from orchestrator.errors import Problem
from orchestrator.settings import Settings
from orchestrator.telemetry import Log

NOW: Final = 1_900_000_000.0

Lines = list[dict[str, Any]]


def log_into(lines: Lines) -> Log:
    """A log that keeps its lines: each with `event`, `level` and fields."""

    def keep(_logger: object, level: str, event: Any) -> Any:
        lines.append({"level": level, **event})
        raise structlog.DropEvent

    return Log(structlog.wrap_logger(None, processors=[keep], wrapper_class=structlog.BoundLogger))


def tokens_with(now: float | None = None, /, **settings: str) -> Tokens:
    """The verifier of these settings (`jwt_secret="…"`); the clock stands at `now` where it is given."""
    environ = {f"ORCHESTRATOR_{name.upper()}": value for name, value in settings.items() if value}
    clock = time.time if now is None else lambda: now
    tokens = Tokens.from_settings(Settings.from_environment(environ), log_into([]), now=clock)
    assert tokens is not None
    return tokens


def believing(issuer: Issuer, /, **settings: str) -> Tokens:
    """A verifier that believes this issuer."""
    return tokens_with(**issuer.settings | settings)


def honest(**claims: Any) -> dict[str, Any]:
    """The claims of a token that is taken; others are added or replaced, and None leaves one out."""
    given = {"sub": "ada", "tenant_id": "acme", "tier": "free", "exp": int(time.time()) + 300, **claims}
    return {name: value for name, value in given.items() if value is not None}


async def verified(**claims: Any) -> Claims:
    """What the verifier of the shared secret makes of an honest token with these claims."""
    return await tokens_with(jwt_secret=SECRET).verify(by_hand({"alg": "HS256"}, honest(**claims)))


async def refusal(tokens: Tokens, token: str) -> str:
    """Why `token` is refused: with 401, the header that says so, and no word of the token itself."""
    with pytest.raises(Problem) as caught:
        await tokens.verify(token)
    problem = caught.value
    assert problem.code == "unauthorized"
    assert 'error="invalid_token"' in problem.headers["WWW-Authenticate"]
    assert not any(part and part in str(problem) for part in token.split("."))
    return str(problem)
