"""A sender as the service puts it together, and a database that the test plays."""

import io
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from orchestrator.admission.access import Access
from orchestrator.admission.context_handler import ContextHandler
from orchestrator.admission.enqueue import Enqueue
from orchestrator.admission.limits import Limits
from orchestrator.admission.request import Addressed, SendRequest
from orchestrator.admission.send import Sender, Sent
from orchestrator.auth.identity import Identity
from orchestrator.broker.access_cache import AccessCache
from orchestrator.broker.admissions import Admissions
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import Ended
from orchestrator.broker.rights import Rights
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.errors import Problem
from orchestrator.metrics import Metrics
from orchestrator.protocol.send_body import SendBody
from orchestrator.protocol.tiers import DEFAULT_LIMITS
from orchestrator.store.errors import StoreUnavailable
from orchestrator.store.records import AccessRecord, ContextRules
from orchestrator.telemetry import configure_logging


class Records:
    """A database that the test plays."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.record = AccessRecord(tier="free", limits={}, granted={"agent-123": ContextRules()})
        self.meanwhile: list[str] = []
        self.cache: AccessCache | None = None

    async def access(self, tenant_id: str, context_ids: Sequence[str]) -> AccessRecord:
        """The answer; where `meanwhile` names a tenant, it changes while the database is asked."""
        self.asked += 1
        if self.away:
            raise StoreUnavailable("here", "a test")
        if self.meanwhile and self.cache:
            await self.cache.forget([self.meanwhile.pop()])
        return self.record

    async def ping(self) -> None:
        """Answer."""


class Sending:
    """A sender on one server, and what a caller does with it."""

    def __init__(self, broker: Broker, records: Records | None) -> None:
        self.records, self.lines = records, io.StringIO()
        log = configure_logging("INFO", "json", stream=self.lines)
        self.admissions, agenda = Admissions(broker), Agenda(broker)
        cache = AccessCache(broker, 300)
        if records:
            records.cache = cache
        self.handler = ContextHandler(Access(records, cache, log), 3_600)
        self.enqueue = Enqueue(ErrandRunner(self.admissions, log), agenda, lambda _queue: None, log)
        self.broker = broker
        self.ended: list[Ended] = []
        self.sender = Sender(
            context_handler=self.handler,
            limits=Limits(100, DEFAULT_LIMITS),
            admissions=self.admissions,
            agenda=agenda,
            enqueue=self.enqueue,
            note_ended=lambda _tenant, ended: self.ended.extend(ended),
            rights=Rights(broker),
            keys=broker.keys,
            clock=broker.clock,
            validate=records is not None,
            default_timeout=300,
            metrics=Metrics(),
            log=log,
        )

    def request(self, key: str | None = None, **body: Any) -> SendRequest:
        """A well-formed send to the demo agent."""
        identity = Identity(tenant="acme", tier="free", user="", session="sess-1")
        addressed = Addressed(agent="agent-123", idempotency_key=key)
        told = msgspec.convert({"message": "hi", **body}, SendBody)
        return self.handler.read(identity, "sess-1", "free", addressed, told, self.broker.clock.now())

    async def send(self, key: str | None = None, **body: Any) -> Sent:
        """Send it."""
        return await self.sender.send(self.request(key, **body))

    async def refused(self, key: str | None = None) -> Problem:
        """The problem that a send raises."""
        with pytest.raises(Problem) as raised:
            await self.send(key)
        return raised.value
