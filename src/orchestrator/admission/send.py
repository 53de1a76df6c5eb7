"""Path 1 in one sentence: a send is read, admitted, and pushed to its agent's queue."""

import asyncio
import hashlib
import secrets
from typing import Final

import msgspec

from orchestrator.admission.context_handler import ContextHandler
from orchestrator.admission.enqueue import Admission, Enqueue
from orchestrator.admission.limits import OUTSTANDING_BYTES_MAX, Limits, limit_headers, whole_seconds
from orchestrator.admission.request import SendRequest
from orchestrator.broker.admissions import Admissions, AdmitReply, AdmitRequest
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Clock
from orchestrator.broker.connection import BrokerError, ReplyLost
from orchestrator.broker.keys import Keys, execution_queue
from orchestrator.errors import Code, Problem
from orchestrator.metrics import Counter, Metrics
from orchestrator.protocol.task_message import TaskMessage
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.times import rfc3339
from orchestrator.telemetry import Log, LogEvent

ANSWER_SECONDS: Final = 4.5
"""A send is answered within 5 s, whatever Redis does."""
STATE_SECONDS: Final = 0.5
NOT_AFTER_MICROS: Final = 2_500_000
"""A stalled server that runs an admission later than this refuses it: its client has been told so."""
IDEMPOTENCY_MICROS: Final = 24 * 3600 * 1_000_000
_ACCESS_TRIES: Final = 3

_encode: Final = msgspec.json.Encoder().encode

_DETAILS: Final[dict[str, tuple[Code, str]]] = {
    "conflict": ("idempotency_conflict", "this Idempotency-Key was used with another request"),
    "session_denied": ("session_denied", "the session belongs to another user"),
    "access_denied": ("access_denied", "the tenant may not use this"),
    "tier_mismatch": ("tier_mismatch", "the tenant is not of this tier"),
    "rate_limited": ("rate_limited", "too many messages"),
    "queue_full": ("queue_full", "too many tasks are waiting for their answers"),
    "late": ("unavailable", "Redis took too long"),
}
_WHY: Final = {
    "session": "too many messages in this session within an hour",
    "tenant": "too many messages of this tenant within a minute",
    "count": "the tenant has as many open tasks as its tier allows",
    "bytes": "the tenant's open tasks take as much room as is allowed",
}


class Accepted(msgspec.Struct, frozen=True):
    """The 202's body (contract §3)."""

    task_id: str
    status: str
    queue: str
    session_id: str
    context_id: str
    position: str
    created_at: str


class Sent(msgspec.Struct, frozen=True):
    """An accepted send: its answer, and the headers that go with it."""

    answer: Accepted
    headers: dict[str, str]


class Sender:
    """Accepts messages."""

    def __init__(
        self,
        *,
        context_handler: ContextHandler,
        limits: Limits,
        admissions: Admissions,
        agenda: Agenda,
        enqueue: Enqueue,
        keys: Keys,
        clock: Clock,
        validate: bool,
        default_timeout: int,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._context_handler = context_handler
        self._limits = limits
        self._admissions = admissions
        self._agenda = agenda
        self._enqueue = enqueue
        self._keys = keys
        self._clock = clock
        self._validate = validate
        self._default_timeout = default_timeout
        self._metrics = metrics
        self._log = log

    async def send(self, request: SendRequest, within: float = ANSWER_SECONDS) -> Sent:
        """Accept a send within so many seconds, or raise the `Problem` that says why not.

        `unavailable`: certainly not accepted. `outcome_unknown`: it may have been; repeat with the same
        Idempotency-Key.
        """
        admission = self._prepare(request)
        reply = await self._admit(request, admission, within)
        if reply.outcome == "accepted":
            await self._enqueue.push(admission)
            self._note_accepted(request, admission)
        return self._answer(request, admission, reply)

    async def limit_state(self, tenant: str, session: str, tier: Tier) -> dict[str, str]:
        """The headers that tell where the limits stand, for a send that is refused before they are looked at."""
        limits = self._limits.of(tier)
        try:
            async with asyncio.timeout(STATE_SECONDS):
                reply = await self._admissions.limit_state(
                    tenant,
                    session=session,
                    session_limit=limits.per_session_and_hour,
                    per_minute=limits.of_tier.requests_per_minute,
                    burst=limits.of_tier.burst,
                )
        except (BrokerError, TimeoutError):
            return {}
        return limit_headers(reply)

    def _prepare(self, request: SendRequest) -> Admission:
        """The task as it will be recorded, if it is admitted."""
        created = self._clock.now()
        timeout = request.body.timeout or self._default_timeout
        task, tenant = f"task-{secrets.token_urlsafe(16)}", request.identity.tenant
        queue = execution_queue(request.context.context_id, request.context.tenant_tier)
        deadline = created + int(timeout * 1_000_000)
        message = self._message(request, task, created, deadline)
        return Admission(
            tenant=tenant,
            session=request.session,
            task=task,
            queue=queue,
            payload=_encode(message),
            created=created,
            deadline=deadline,
        )

    def _message(self, request: SendRequest, task: str, created: int, deadline: int) -> TaskMessage:
        body, tenant = request.body, request.identity.tenant
        return TaskMessage(
            task_id=task,
            tenant_id=tenant,
            tenant_tier=request.context.tenant_tier,
            session_id=request.session,
            user_id=request.identity.user or None,
            conversation_id=request.conversation,
            execution_context=request.context,
            message=body.message,
            message_type=body.message_type,
            user_info=body.user_info or {},
            metadata=body.metadata or {},
            stream=body.stream,
            max_iterations=body.max_iterations,
            callback_queue=self._keys.callbacks(tenant),
            cancel_key=self._keys.cancel(tenant, task),
            created_at=rfc3339(created),
            deadline=rfc3339(deadline),
            traceparent=request.traceparent,
        )

    async def _admit(self, request: SendRequest, admission: Admission, within: float) -> AdmitReply:
        """One atomic decision in the tenant's slot; the database is asked where the cache has no answer."""
        asked = self._question(request, admission)
        try:
            async with asyncio.timeout(within):
                for _ in range(_ACCESS_TRIES):
                    # On the agenda first: a task that is recorded is looked after, whatever happens to us.
                    if not await self._note(admission):
                        raise Problem("unavailable", "Redis cannot be reached", retry_after=1)
                    reply = await self._ask(admission, asked)
                    if reply.outcome != "ask":
                        return reply
                    await self._context_handler.settle_access(request, reply.detail)
        except (ReplyLost, TimeoutError):
            detail = "the connection to Redis broke; repeat with the same Idempotency-Key"
            raise Problem("outcome_unknown", detail, retry_after=1, task_id=admission.task) from None
        except BrokerError:
            raise Problem("unavailable", "Redis cannot be reached", retry_after=1) from None
        raise Problem("unavailable", "access could not be checked", retry_after=1)

    async def _note(self, admission: Admission) -> bool:
        try:
            await self._agenda.note(admission.tenant, admission.deadline)
        except BrokerError:
            return False
        return True

    async def _ask(self, admission: Admission, asked: AdmitRequest) -> AdmitReply:
        """Ask once more where the reply was lost: a resend finds what the first sending did."""
        try:
            return await self._admissions.admit(admission.tenant, asked, admission.payload)
        except ReplyLost as lost:
            try:
                reply = await self._admissions.admit(admission.tenant, asked, admission.payload)
            except (BrokerError, TimeoutError):
                raise lost from None
            if reply.outcome == "late":
                raise lost from None
            return reply

    def _question(self, request: SendRequest, admission: Admission) -> AdmitRequest:
        limits = self._limits.of(request.context.tenant_tier)
        key = request.idempotency_key
        return AdmitRequest(
            task=admission.task,
            session=request.session,
            user=request.identity.user,
            context=request.context.context_id,
            contexts=request.contexts,
            tier=request.context.tenant_tier,
            queue=admission.queue,
            stream=request.body.stream,
            created=admission.created,
            deadline=admission.deadline,
            not_after=admission.created + NOT_AFTER_MICROS,
            fingerprint=request.fingerprint() if key else "",
            idempotency=hashlib.sha256(key.encode()).hexdigest() if key else "",
            idempotency_ttl=IDEMPOTENCY_MICROS,
            validate=self._validate,
            session_limit=limits.per_session_and_hour,
            per_minute=limits.of_tier.requests_per_minute,
            burst=limits.of_tier.burst,
            max_outstanding=limits.of_tier.max_outstanding,
            max_outstanding_bytes=OUTSTANDING_BYTES_MAX,
        )

    def _answer(self, request: SendRequest, admission: Admission, reply: AdmitReply) -> Sent:
        headers = limit_headers(reply)
        if reply.outcome not in {"accepted", "replayed"}:
            raise self._refusal(reply, headers)
        if reply.outcome == "replayed":
            headers["Idempotency-Replayed"] = "true"
        headers["Location"] = f"/api/chat/tasks/{reply.task}"
        answer = Accepted(
            task_id=reply.task,
            status="queued",
            queue=reply.queue,
            session_id=request.session,
            context_id=request.context.context_id,
            position=reply.position,
            created_at=rfc3339(reply.created),
        )
        return Sent(answer, headers)

    def _refusal(self, reply: AdmitReply, headers: dict[str, str]) -> "Refusal":
        code, detail = _DETAILS[reply.outcome]
        members: dict[str, str] = {}
        if reply.outcome == "access_denied" and reply.detail != "@":
            detail, members = f"the tenant may not use {reply.detail}", {"context_id": reply.detail}
        retry_after = None
        if code in {"rate_limited", "queue_full", "unavailable"}:
            retry_after = float(whole_seconds(reply.retry_after))
            detail = _WHY.get(reply.detail, detail)
        return Refusal(code, detail, headers, retry_after, members)

    def _note_accepted(self, request: SendRequest, admission: Admission) -> None:
        tier: Tier = request.context.tenant_tier
        self._metrics.count(Counter.TASKS_ACCEPTED, tier)
        self._log.info(
            LogEvent.TASK_ACCEPTED,
            tenant_id=admission.tenant,
            session_id=admission.session,
            task_id=admission.task,
            queue=admission.queue,
        )


class Refusal(Problem):
    """A send that the scripts refused, with the state of the limits."""

    def __init__(
        self,
        code: Code,
        detail: str,
        headers: dict[str, str],
        retry_after: float | None,
        members: dict[str, str],
    ) -> None:
        super().__init__(code, detail, retry_after=retry_after, **members)
        self.headers = headers
