"""Cached answers of the access check, void at once when a tenant's records change (contract §6)."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Literal

import msgspec

from orchestrator.broker.broker import Broker, Keeping
from orchestrator.broker.connection import OnState
from orchestrator.broker.keys import Keys
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.turn_policies import TurnPolicy
from orchestrator.settings import Settings

GENERATION_TTL_SECONDS: Final = 3_600
"""Longer than any question to the database can be under way."""


class ContextAnswer(msgspec.Struct, frozen=True):
    """The answer about one context: whether the tenant may use it, and how it is used where nothing else is said."""

    granted: bool
    turn_policy: TurnPolicy | None = None
    max_attempts: int | None = None


class Judgement(msgspec.Struct, frozen=True):
    """A cached answer about a tenant alone."""

    outcome: Literal["allowed", "ask", "access_denied", "tier_mismatch"]
    detail: str
    """With `ask`, the generation of the answer that is wanted."""
    limits: dict[str, int] = {}
    """The tenant's own, which go before its tier's."""


_judgement: Final = msgspec.msgpack.Decoder(Judgement).decode


class AccessCache:
    """What the database answered, for `ttl_seconds`, by tenant and generation."""

    def __init__(self, broker: Broker, ttl_seconds: int) -> None:
        self._broker = broker
        self._ttl = ttl_seconds

    async def remember(
        self,
        tenant: str,
        generation: str,
        tier: str,
        limits: Mapping[str, int],
        contexts: Mapping[str, ContextAnswer],
    ) -> None:
        """Keep an answer that was asked for at `generation`; void if the tenant changed since. '' is no tier."""
        arguments = self._broker.arguments(
            generation=generation,
            ttl=self._ttl * 1_000_000,
            tier=tier,
            limits=dict(limits),
            contexts=[
                (context, answer.granted, answer.turn_policy or "", answer.max_attempts or 0)
                for context, answer in contexts.items()
            ],
        )
        await self._broker.run("remember_access", self._broker.keys.callbacks(tenant), arguments)

    async def judge(self, tenant: str, tier: Tier) -> Judgement:
        """What the cache says of a tenant that claims this tier; `ask` where it does not know."""
        reply = await self._broker.run("may_follow", self._broker.keys.callbacks(tenant), tier)
        return _judgement(reply)

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        """Void the cached answers of tenants, also for a reader that is half way."""
        for tenant in tenant_ids:
            await self._broker.run(
                "forget_access", self._broker.keys.callbacks(tenant), GENERATION_TTL_SECONDS
            )


@asynccontextmanager
async def open_access_cache(settings: Settings) -> AsyncGenerator[AccessCache, None]:
    """The cache alone, for commands that change records."""
    async with open_broker(settings) as broker:
        yield AccessCache(broker, settings.validation_cache_ttl)


def open_broker(settings: Settings, on_state: OnState | None = None) -> Broker:
    """A broker of the deployment that `settings` describe."""
    keeping = Keeping(
        settings.event_log_ttl,
        max(settings.task_ttl, settings.event_log_ttl),
        settings.event_log_max_events,
        settings.event_log_max_bytes,
        settings.max_attempts,
        settings.lease,
    )
    return Broker(
        settings.redis_url, Keys(settings.domain_name, settings.callback_queue_prefix), keeping, on_state
    )
