"""The keys of an issuer that publishes them, kept fresh beside the requests (RFC 7517)."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Final

import msgspec

from orchestrator.auth.claims import invalid_token
from orchestrator.auth.issuer import Issuer, IssuerError
from orchestrator.auth.key_set import keys_of
from orchestrator.auth.keys import Key
from orchestrator.errors import Problem
from orchestrator.telemetry import Log, LogEvent


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often keys are fetched, all in seconds."""

    every: float = 300
    at_least: float = 30
    """Between two fetches, however many tokens name a key that nobody knows; also the longest wait after a failure."""
    first_retry: float = 1
    """After a failure; doubled with each further one."""
    patience: float = 5
    """The longest that a fetch takes, and a verification waits for one."""


class Jwks:
    """A key source that fetches: one request at a time, by one task, whoever asks.

    While the issuer is away its last keys go on; nothing else would be left to do but to refuse everybody.
    """

    def __init__(
        self,
        url: str,
        chosen: tuple[str, ...] | None,
        log: Log,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._pace: Final = pace or Pace()
        self._issuer: Final = Issuer(url, patience=self._pace.patience)
        self._chosen: Final = chosen
        self._log: Final = log
        self._keys: tuple[Key, ...] | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted: Final = asyncio.Event()
        self._over = asyncio.Event()  # set when the fetch under way has ended, then replaced
        self._fetching = False
        self._began = 0.0
        self._failures = 0
        self._failing_since = 0.0

    @property
    def ready(self) -> bool:
        """Whether keys were ever obtained."""
        return self._keys is not None

    async def start(self) -> None:
        """Begin to fetch; does not wait for the first keys."""
        self._fetching = True
        self._task = asyncio.create_task(self._run(), name="jwks")

    async def close(self) -> None:
        """Stop it; who waits is let go."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._fetching = False
        self._over.set()

    async def find(self, algorithm: str, kid: str | None) -> Key:
        """The one key that fits; waits for a fetch at most as long as that may take, and seldom."""
        if self._keys is None and self._fetching:
            await self._end_of_fetch()
        if self._keys is None:
            raise Problem(
                "unavailable", "the issuer's keys could not be fetched yet", retry_after=self._until_retry()
            )
        if not self._fitting(algorithm, kid) and self._ask():
            await self._end_of_fetch()
        fitting = self._fitting(algorithm, kid)
        if len(fitting) != 1:
            raise invalid_token("the token names no key of the issuer that it fits", "signature")
        return fitting[0]

    def _fitting(self, algorithm: str, kid: str | None) -> list[Key]:
        return [
            key for key in self._keys or () if algorithm in key.algorithms and (kid is None or kid == key.kid)
        ]

    def _ask(self) -> bool:
        """Have the keys fetched as soon as the pace allows; whether that is now.

        An issuer may have begun to sign with a new key; as likely somebody invents names of keys.
        """
        if self._fetching:
            return True
        self._wanted.set()
        return time.monotonic() - self._began >= self._pace.at_least

    async def _end_of_fetch(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.patience):
                await self._over.wait()

    async def _run(self) -> None:
        while True:
            self._fetching = True
            self._began = time.monotonic()
            self._wanted.clear()
            await self._fetch()
            self._fetching = False
            over, self._over = self._over, asyncio.Event()
            over.set()
            await self._pause()

    async def _fetch(self) -> None:
        try:
            keys = keys_of(await self._issuer.document(), self._chosen)
        except (IssuerError, ValueError) as error:
            self._failed(str(error))
        except Exception:  # noqa: BLE001 - whatever an answer can do to us, the next fetch has to come
            self._log.exception(LogEvent.UNEXPECTED_ERROR)
            self._failed("unexpected error")
        else:
            self._keys = keys
            self._succeeded()

    def _failed(self, reason: str) -> None:
        self._failures += 1
        if self._failures == 1:
            self._failing_since = time.monotonic()
            self._log.error(LogEvent.ISSUER_UNREACHABLE, error=reason, has_keys=self._keys is not None)

    def _succeeded(self) -> None:
        if self._failures:
            self._log.info(
                LogEvent.ISSUER_RECOVERED, seconds=round(time.monotonic() - self._failing_since, 3)
            )
        self._failures = 0

    async def _pause(self) -> None:
        if self._failures:
            await asyncio.sleep(self._until_retry())
            return
        with suppress(TimeoutError):
            # Not all replicas at once.
            async with asyncio.timeout(self._pace.every * random.uniform(0.9, 1)):
                await self._wanted.wait()
        await asyncio.sleep(max(0, self._began + self._pace.at_least - time.monotonic()))

    def _until_retry(self) -> float:
        # The exponent is bounded, since an issuer may be away for good.
        return min(self._pace.at_least, self._pace.first_retry * 2 ** min(max(0, self._failures - 1), 16))
