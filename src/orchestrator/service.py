"""One replica, put together: settings → adapters → the two ways of a message. Its edge is app.py's."""

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from orchestrator import current_version
from orchestrator.admission.access import Access
from orchestrator.admission.administration import Administration
from orchestrator.admission.context_handler import ContextHandler
from orchestrator.admission.enqueue import Enqueue
from orchestrator.admission.limits import Limits
from orchestrator.admission.send import Sender
from orchestrator.api.credentials import Credentials
from orchestrator.auth.identifier import Identifier
from orchestrator.auth.revocations import Revocations
from orchestrator.auth.tokens import Tokens
from orchestrator.broker.access_cache import AccessCache, open_broker
from orchestrator.broker.admissions import Admissions
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.answers import Answers
from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import Callbacks
from orchestrator.broker.changes import Changes
from orchestrator.broker.dispatch import Dispatch
from orchestrator.broker.explanations import Explanations
from orchestrator.broker.listener import Listener
from orchestrator.broker.logs import Logs
from orchestrator.broker.rights import Rights
from orchestrator.broker.roster import Roster, new_replica_name
from orchestrator.broker.tasks import Tasks
from orchestrator.broker.tickets import Tickets
from orchestrator.broker.turns import Turns
from orchestrator.delivery.answers import AnswerDesk
from orchestrator.delivery.callback_handler import CallbackHandler
from orchestrator.delivery.callback_worker import CallbackWorker
from orchestrator.delivery.cancellation import Cancellation
from orchestrator.delivery.endings import Endings
from orchestrator.delivery.session_log import SessionLog
from orchestrator.delivery.settlements import Settlements
from orchestrator.delivery.sweeper import Sweeper
from orchestrator.delivery.websocket_manager import WebSocketManager
from orchestrator.dispatch.dispatcher import Dispatcher
from orchestrator.dispatch.due_pushes import DuePushes
from orchestrator.dispatch.duty import DispatchDuty
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.dispatch.explanation import Explainer
from orchestrator.dispatch.pace import Pace
from orchestrator.dispatch.retuning import Retuning
from orchestrator.dispatch.supervision import Supervision
from orchestrator.dispatch.tenant_shares import TenantShares
from orchestrator.dispatch.turn_taking import TurnTaking
from orchestrator.figures import Figures
from orchestrator.metrics import Metrics
from orchestrator.oversight import Oversight
from orchestrator.redis_state import RedisState
from orchestrator.runtime import Runtime
from orchestrator.settings import Settings
from orchestrator.store.schema import ensure_schema
from orchestrator.store.store import Store
from orchestrator.telemetry import Log, LogEvent


class Service:
    """Everything of one replica, built top to bottom by plain constructors; nothing is open yet."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self.settings = settings
        self.log = log
        self.metrics = Metrics()
        group = os.environ.get("ORCHESTRATOR_WORKER_GROUP", "")
        self.figures = Figures(self.metrics, settings.domain_name, group)
        self.store = Store(settings.database_url) if settings.enable_access_validation else None

        self.broker: Broker = open_broker(settings, RedisState(self.metrics, log).note)
        self.rights = Rights(self.broker)
        self.admissions, self.agenda = Admissions(self.broker), Agenda(self.broker)
        self.logs, self.tasks = Logs(self.broker), Tasks(self.broker)
        self.roster = Roster(self.broker, settings.domain_name)
        self.session_log = SessionLog(self.logs)
        self.settlements = Settlements(self.logs)
        self.access = Access(self.store, AccessCache(self.broker, settings.validation_cache_ttl), log)
        self.limits = Limits(settings.max_requests_per_session, settings.tier_limits)
        self.tenant_shares = TenantShares(self.limits.of_tier, own_limits=settings.enable_access_validation)
        self.dispatch = Dispatch(self.broker.run)
        self.dispatcher = Dispatcher(self.dispatch, self.broker.keys, self.tenant_shares, settings.lease)
        self.revocations, self.tickets = Revocations(), Tickets(self.broker)
        self.tokens = Tokens.from_settings(settings, log)
        self.identifier = Identifier(settings.gateway_secret, self.tokens, self.revocations)
        self.credentials = Credentials(self.identifier, self.tickets)
        self._build_admission()
        self._build_delivery()

    def _build_admission(self) -> None:
        settings = self.settings
        self.context_handler = ContextHandler(self.access, settings.task_timeout_max)
        self.errands = ErrandRunner(self.admissions, self.log, self.dispatcher)
        self.enqueue = Enqueue(self.errands, self.agenda, self._note_queue, self.log)
        turns = TurnTaking(Turns(self.broker), self.errands, self.log)
        self.explanations = Explanations(self.broker.run)
        self.pace = Pace(self.explanations)
        self.explainer = Explainer(self.explanations, self.tasks, self.broker.keys)
        self.endings = Endings(self.metrics, self.log, turns, self.pace)
        self.sender = Sender(
            context_handler=self.context_handler,
            limits=self.limits,
            admissions=self.admissions,
            agenda=self.agenda,
            enqueue=self.enqueue,
            note_ended=self.endings.note,
            note_limits=self.tenant_shares.note,
            rights=self.rights,
            keys=self.broker.keys,
            clock=self.broker.clock,
            validate=settings.enable_access_validation,
            default_timeout=settings.task_timeout,
            metrics=self.metrics,
            log=self.log,
        )

    def _note_queue(self, queue: str) -> None:
        """A queue is told with the heartbeat, and at once where it is new: an operator may look for it now."""
        if self.figures.note_queue(queue):
            self.enqueue.later(self.roster.note_queues([queue]))

    def explain_waits(self, tenant: str) -> None:
        """Somebody has come to watch while tasks of the tenant wait: he is told why, soon."""
        self.enqueue.later(self.agenda.note(tenant, self.broker.clock.now() + 1_000_000))

    def _build_delivery(self) -> None:
        due_pushes = DuePushes(self.tasks, self.agenda, self.errands, self.broker.clock)
        handler = CallbackHandler(
            Callbacks(self.broker), self.endings, due_pushes.attend, self.metrics, self.log
        )
        worker = CallbackWorker(handler, self.rights, self.log, is_cluster=self.broker.topology.is_cluster)
        sweeper = Sweeper(
            agenda=self.agenda,
            tasks=self.tasks,
            errands=self.errands,
            worker=worker,
            rights=self.rights,
            endings=self.endings,
            explainer=self.explainer,
            metrics=self.metrics,
            log=self.log,
        )
        self.cancellation = Cancellation(self.tasks, self.errands, self.endings)
        self.answers = AnswerDesk(self.tasks, Answers(self.broker), self.agenda, self.log)
        supervision = Supervision(
            tasks=self.tasks,
            due_pushes=due_pushes,
            pump=sweeper.pump,
            note_ended=self.endings.note,
            note_moves=self.endings.note_moves,
            metrics=self.metrics,
            log=self.log,
        )
        retuning = Retuning(
            self.dispatch, self.broker.keys, self.tenant_shares, self.store.get_tenant if self.store else None
        )
        replica = new_replica_name()
        self.runtime = Runtime(
            replica=replica,
            broker=self.broker,
            roster=self.roster,
            rights=self.rights,
            agenda=self.agenda,
            logs=self.logs,
            worker=worker,
            sweeper=sweeper,
            duty=DispatchDuty(self.dispatcher, supervision, retuning),
            settlements=self.settlements,
            figures=self.figures,
            pace=self.pace,
            log_ttl_seconds=self.settings.event_log_ttl,
            log=self.log,
        )
        listener = Listener(self.broker, replica, self.runtime)
        self.manager = WebSocketManager(replica, self.broker.keys, self.session_log, listener, self.metrics)
        changes = Changes(self.broker)
        cache = AccessCache(self.broker, self.settings.validation_cache_ttl)
        self.administration = (
            Administration(self.store, cache, changes, self.cancellation) if self.store else None
        )
        oversight = Oversight(
            changes=changes,
            revocations=self.revocations,
            limits=self.limits,
            access=self.access,
            manager=self.manager,
            store=self.store,
            log=self.log,
            retuning=retuning,
        )
        self.runtime.complete(listener, self.manager, oversight)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Open everything, in order; close it in reverse."""
        for warning in self.settings.warnings:
            self.log.warning(LogEvent.SETTINGS_WARNING, detail=warning)
        if not self.settings.gateway_secret and self.tokens is None:
            self.log.warning(LogEvent.HEADER_MODE, detail="identity comes from headers that nothing proves")
        async with AsyncExitStack() as stack:
            if self.store:
                await stack.enter_async_context(self.store)
                await ensure_schema(self.store)
            await stack.enter_async_context(self.broker)
            stack.push_async_callback(self.enqueue.close)
            stack.push_async_callback(self.endings.settled)
            if self.tokens:
                await self.tokens.start()
                stack.push_async_callback(self.tokens.close)
            await self.runtime.start()
            stack.push_async_callback(self.runtime.stop)
            self.log.info(
                LogEvent.SERVICE_STARTED,
                host=self.settings.host,
                port=self.settings.port,
                version=current_version(),
            )
            yield
        self.log.info(LogEvent.SERVICE_STOPPED)
