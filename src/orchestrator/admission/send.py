"""Path 1 in one sentence: a send is read, admitted, and pushed to its agent's queue."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from orchestrator.admission.access import TRIES
from orchestrator.admission.context_handler import ContextHandler
from orchestrator.admission.enqueue import UNPUSHED_LOOK_MICROS, Admission, Enqueue
from orchestrator.admission.limits import OUTSTANDING_BYTES_MAX, Limits, limit_headers
from orchestrator.admission.new_task import NewTask, new_task
from orchestrator.admission.proposal import Proposal
from orchestrator.admission.refusals import refusal_of
from orchestrator.admission.request import SendRequest
from orchestrator.auth.identity import Identity
from orchestrator.broker.admissions import Admissions, AdmitReply, AdmitRequest
from orchestrator.broker.agenda import Agenda, Plan
from orchestrator.broker.broker import Clock
from orchestrator.broker.callbacks import Ended
from orchestrator.broker.connection import BrokerError, Refused, ReplyLost
from orchestrator.broker.keys import Keys
from orchestrator.broker.rights import Rights
from orchestrator.deadlines import Deadlines
from orchestrator.errors import Problem
from orchestrator.metrics import Counter, Metrics
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.times import rfc3339
from orchestrator.telemetry import Log, LogEvent

ANSWER_SECONDS: Final = 4.5
"""A send is answered within 5 s, whatever Redis does."""
STATE_SECONDS: Final = 0.5
NOT_AFTER_MICROS: Final = 2_500_000
"""A stalled server that runs an admission later than this refuses it: its client has been told so."""
IDEMPOTENCY_MICROS: Final = 24 * 3600 * 1_000_000

JOINS: Final = 3
"""How often a message is joined with what waits, which may have gone meanwhile; then it waits by itself."""


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
        note_ended: Callable[[str, Sequence[Ended]], None],
        rights: Rights,
        keys: Keys,
        clock: Clock,
        validate: bool,
        default_timeout: int,
        metrics: Metrics,
        log: Log,
        note_limits: Callable[[str, Mapping[str, int]], None] | None = None,
    ) -> None:
        self._context_handler = context_handler
        self._limits = limits
        self._admissions = admissions
        self._agenda = agenda
        self._enqueue = enqueue
        self._note_ended = note_ended
        self._rights = rights
        self._keys = keys
        self._clock = clock
        self._validate = validate
        self._default_timeout = default_timeout
        self._metrics = metrics
        self._log = log
        self._note_limits = note_limits
        self._deadlines = Deadlines()

    async def send(self, request: SendRequest, within: float = ANSWER_SECONDS) -> Sent:
        """Accept a send within so many seconds, or raise the `Problem` that says why not.

        `unavailable`: certainly not accepted. `outcome_unknown`: it may have been; repeat with the same
        Idempotency-Key.
        """
        new = new_task(request, self._keys, self._default_timeout)
        proposal = Proposal(new, request.body.turn_policy)
        reply, new, planned = await self._decide(request, proposal, within)
        if reply.outcome not in {"accepted", "replayed"}:
            raise refusal_of(reply)
        if reply.outcome == "accepted":
            # A repeated question finds the first answer, which does not say what the tenant's limits are.
            if self._note_limits and reply.t is not None:
                self._note_limits(new.tenant, reply.own)
            await self._follow(reply, Admission(new, reply.watched, reply.tended, planned))
            self._note_accepted(new, request.context.tenant_tier)
        return _answer(request, reply)

    async def _follow(self, reply: AdmitReply, admission: Admission) -> None:
        """What the script left to be done: the task goes to its queue or waits, what it took the place of goes."""
        tenant = admission.new.tenant
        if reply.ended:
            self._note_ended(tenant, reply.ended)
            self._enqueue.withdraw(tenant, reply)
        if reply.held:
            self._enqueue.hold(admission)
        elif reply.pushed:
            self._enqueue.pushed(admission)
        else:
            await self._enqueue.push(admission)

    async def limit_state(self, identity: Identity, session: str, tier: Tier) -> dict[str, str]:
        """The headers that tell where the limits stand, for a send that is refused before they are looked at."""
        limits = self._limits.of(tier)
        try:
            async with asyncio.timeout(STATE_SECONDS):
                reply = await self._admissions.limit_state(
                    identity.tenant,
                    session=session,
                    user=identity.user,
                    session_limit=limits.per_session_and_hour,
                    per_minute=limits.of_tier.requests_per_minute,
                    burst=limits.of_tier.burst,
                )
        except (BrokerError, TimeoutError):
            return {}
        return limit_headers(reply)

    async def _decide(
        self, request: SendRequest, proposal: Proposal, within: float
    ) -> tuple[AdmitReply, NewTask, Plan | None]:
        """One atomic decision in the tenant's slot; the database is asked where the cache has no answer.

        Where the decision is to join others or to go to a running agent, it is put once more with what that needs.
        Told besides: the task as it was put last, and the plan of the agenda that was relied on.
        """
        if not self._rights.granted:
            raise Problem("unavailable", "Redis does not let the service work", retry_after=1)
        task, sent, joins = proposal.new.task, False, 0
        try:
            with self._deadlines.within(within):
                for _ in range(TRIES + JOINS + 1):
                    # On the agenda first: a task that is recorded is looked after, whatever happens to us.
                    planned = await self._plan(proposal.new)
                    sent = True
                    reply = await self._ask(self._question(request, proposal, planned), proposal.new)
                    sent = False
                    match reply.outcome:
                        case "ask":
                            await self._context_handler.settle_access(request, reply.detail)
                        case "plan":
                            self._agenda.forget_plan(proposal.new.tenant)
                        case "steer":
                            proposal = proposal.steering()
                        case "merge":
                            joins += 1
                            own = request.body.message
                            joined = proposal.joining(reply, own)
                            proposal = joined if joins <= JOINS else proposal.waiting(own)
                        case _:
                            return reply, proposal.new, planned
        except (BrokerError, TimeoutError) as error:
            raise self._failure(error, task, sent=sent) from None
        raise Problem("unavailable", "access could not be checked", retry_after=1)

    def _failure(self, error: Exception, task: str, *, sent: bool) -> Problem:
        """What a fault of Redis means for a send: nothing was done, or only Redis knows."""
        half_done = isinstance(error, Refused) and error.within_script
        if isinstance(error, Refused):
            self._rights.doubt(error)
        if sent and (half_done or isinstance(error, ReplyLost | TimeoutError)):
            detail = "Redis did not say what became of it; repeat with the same Idempotency-Key"
            return Problem("outcome_unknown", detail, retry_after=1, task_id=task)
        return Problem("unavailable", "Redis cannot be reached or takes no writes", retry_after=1)

    async def _plan(self, new: NewTask) -> Plan | None:
        """The plan by which somebody will look at the tenant in time; None where one is made now."""
        look = min(new.deadline, new.created + UNPUSHED_LOOK_MICROS)
        planned = self._agenda.plan(new.tenant, look)
        if planned is None:
            await self._agenda.note(new.tenant, look)
        return planned

    async def _ask(self, asked: AdmitRequest, new: NewTask) -> AdmitReply:
        """Ask once more where the reply was lost: a resend finds what the first sending did."""
        try:
            return await self._admissions.admit(new.tenant, asked, new.payload)
        except ReplyLost as lost:
            try:
                reply = await self._admissions.admit(new.tenant, asked, new.payload)
            except BrokerError:
                raise lost from None
            if reply.outcome == "late":
                raise lost from None
            return reply

    def _question(self, request: SendRequest, proposal: Proposal, planned: Plan | None) -> AdmitRequest:
        new = proposal.new
        tier = request.context.tenant_tier
        limits = self._limits.of(tier)
        key = request.idempotency_key
        return AdmitRequest(
            task=new.task,
            session=request.session,
            user=request.identity.user,
            context=request.context.context_id,
            contexts=request.contexts,
            tier=tier,
            queue=new.queue,
            stream=request.body.stream,
            created=new.created,
            deadline=new.deadline,
            not_after=self._clock.now() + NOT_AFTER_MICROS,
            planned=planned and planned.tended,
            fingerprint=request.fingerprint() if key else "",
            idempotency=hashlib.sha256(key.encode()).hexdigest() if key else "",
            idempotency_ttl=IDEMPOTENCY_MICROS,
            validate=self._validate,
            session_limit=limits.per_session_and_hour,
            per_minute=limits.of_tier.requests_per_minute,
            burst=limits.of_tier.burst,
            max_outstanding=limits.of_tier.max_outstanding,
            max_outstanding_bytes=OUTSTANDING_BYTES_MAX,
            within_reach=self._enqueue.is_within_reach(new.tenant, tier),
            turn_policy=proposal.turn_policy,
            merged=proposal.merged,
            inbox=proposal.inbox,
        )

    def _note_accepted(self, new: NewTask, tier: Tier) -> None:
        self._metrics.count(Counter.TASKS_ACCEPTED, tier)
        self._log.info(
            LogEvent.TASK_ACCEPTED,
            tenant_id=new.tenant,
            session_id=new.session,
            task_id=new.task,
            queue=new.queue,
        )


def _answer(request: SendRequest, reply: AdmitReply) -> Sent:
    headers = limit_headers(reply)
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
