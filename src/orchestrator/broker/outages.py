"""What an agent's worker does while Redis is away: it says so once, waits, and says once that it is over."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from orchestrator.broker.connection import BrokerError, Refused

_ANY: Final = "any"
_LEAST_PAUSE, _MOST_PAUSE = 0.05, 2.0

_Answer = TypeVar("_Answer")


class Outage(msgspec.Struct, frozen=True):
    """Redis cannot be reached, or refuses one operation; without `error`: that is over."""

    operation: str
    error: str | None
    seconds: float = 0.0


class AwayError(Exception):
    """Redis did not do what it was asked; `__cause__` says why."""


class Outages:
    """What fails, and since when; `tell` hears of it once when it begins and once when it is over."""

    def __init__(self, tell: Callable[[Outage], None]) -> None:
        self._tell = tell
        self._since: dict[str, float] = {}

    async def tried(self, operation: str, call: Awaitable[_Answer]) -> _Answer:
        """What `call` answers, or AwayError."""
        try:
            answer = await call
        except BrokerError as error:
            self.began(operation, error)
            raise AwayError from error
        self.ended(operation)
        return answer

    def began(self, operation: str, error: BrokerError) -> None:
        """`operation` has failed."""
        # A server that answers with a refusal is there: only this operation is in trouble.
        what = operation if isinstance(error, Refused) else _ANY
        if what not in self._since:
            self._since[what] = time.monotonic()
            self._tell(Outage(what, f"{type(error).__name__}: {error}"))

    def ended(self, operation: str) -> None:
        """`operation` went well."""
        for what in (_ANY, operation) if self._since else ():
            since = self._since.pop(what, None)
            if since is not None:
                self._tell(Outage(what, None, round(time.monotonic() - since, 1)))

    async def pause(self) -> None:
        """Waits about as long as the oldest outage has lasted: the waits double by themselves."""
        lasted = time.monotonic() - min(self._since.values(), default=time.monotonic())
        longest = min(max(lasted, _LEAST_PAUSE), _MOST_PAUSE)
        await asyncio.sleep(longest * random.uniform(0.5, 1))
