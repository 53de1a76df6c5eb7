"""The database's answer about a tenant, asked when the cache has none (contract §6)."""

from collections.abc import Sequence
from typing import Final, Protocol

from orchestrator.broker.access_cache import AccessCache, ContextAnswer, Judgement
from orchestrator.errors import Problem
from orchestrator.protocol.tiers import Tier
from orchestrator.store.errors import StoreUnavailable
from orchestrator.store.records import AccessRecord, ContextRules
from orchestrator.telemetry import Log, LogEvent

RETRY_SECONDS: Final = 2
TRIES: Final = 3
"""How often an answer is sought that a change of the tenant may void again meanwhile."""


class AccessRecords(Protocol):
    """Where tenants and what they may use are recorded."""

    async def access(self, tenant_id: str, context_ids: Sequence[str]) -> AccessRecord:
        """The tenant's tier and limits, and which of the contexts it may use."""
        ...

    async def ping(self) -> None:
        """Return when the database answers."""
        ...


class Access:
    """Learns answers and keeps them; the scripts judge by what is kept."""

    def __init__(self, records: AccessRecords | None, cache: AccessCache, log: Log) -> None:
        self._records = records
        self._cache = cache
        self._log = log
        self.database_up = True
        """Whether the last question was answered."""

    @property
    def enabled(self) -> bool:
        """Whether access is validated at all."""
        return self._records is not None

    async def learn(self, tenant: str, contexts: Sequence[str], generation: str) -> None:
        """Ask about a tenant and contexts; `generation` was read before, so a change meanwhile voids the answer.

        Raises `unavailable` when the database cannot be asked: nobody new gets in then.
        """
        if self._records is None:
            return
        try:
            record = await self._records.access(tenant, contexts)
        except StoreUnavailable as error:
            self._note(up=False)
            raise Problem("unavailable", "access cannot be checked now", retry_after=RETRY_SECONDS) from error
        self._note(up=True)
        answers = {context: _answer(record.granted.get(context)) for context in contexts}
        await self._cache.remember(tenant, generation, record.tier or "", record.limits, answers)

    async def may_follow(self, tenant: str, tier: Tier) -> Judgement:
        """Whether sockets of a tenant may stay, by the cache or else the database; raises `unavailable`."""
        for _ in range(TRIES):
            judgement = await self._cache.judge(tenant, tier)
            if judgement.outcome != "ask":
                return judgement
            await self.learn(tenant, (), judgement.detail)
        raise Problem("unavailable", "access could not be checked", retry_after=1)

    async def reachable(self) -> bool:
        """Whether the database answers now."""
        if self._records is None:
            return True
        try:
            await self._records.ping()
        except StoreUnavailable:
            self._note(up=False)
            return False
        self._note(up=True)
        return True

    def _note(self, *, up: bool) -> None:
        if up != self.database_up:
            self.database_up = up
            event = LogEvent.DATABASE_RECOVERED if up else LogEvent.DATABASE_UNREACHABLE
            (self._log.info if up else self._log.error)(event)


def _answer(rules: ContextRules | None) -> ContextAnswer:
    if rules is None:
        return ContextAnswer(granted=False)
    return ContextAnswer(True, rules.turn_policy, rules.max_attempts)
