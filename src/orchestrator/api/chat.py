"""`/api/chat`: send, tasks, sessions, figures of a tenant."""

import time
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.admission.context_handler import ContextHandler
from orchestrator.admission.send import ANSWER_SECONDS, Sender
from orchestrator.api.bodies import answer_body, send_body
from orchestrator.api.endpoints import KnownRequest
from orchestrator.api.guard import proven_claims
from orchestrator.api.headers import addressed, caller, send_headers, sender
from orchestrator.api.problems import JsonResponse
from orchestrator.auth.identity import Identity, require_id
from orchestrator.broker.broker import Clock
from orchestrator.broker.tasks import Figures, Tasks
from orchestrator.delivery.answers import AnswerDesk
from orchestrator.delivery.cancellation import Cancellation
from orchestrator.delivery.ledgers import Ledgers
from orchestrator.errors import Problem
from orchestrator.protocol.identifiers import is_valid_task_id
from orchestrator.protocol.tasks import ENDINGS

LEAST_SECONDS: Final = 0.8
"""What Redis gets when the body took all the time."""


class Chat:
    """The routes of the chat."""

    def __init__(
        self,
        context_handler: ContextHandler,
        sender: Sender,
        ledgers: Ledgers,
        cancellation: Cancellation,
        answers: AnswerDesk,
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        self._context_handler = context_handler
        self._sender = sender
        self._ledgers = ledgers
        self._cancellation = cancellation
        self._answers = answers
        self._tasks = tasks
        self._clock = clock

    async def send(self, request: KnownRequest) -> Response:
        """202 for a message that is recorded and will end exactly once."""
        began = time.monotonic()
        claims = proven_claims(request)
        found = send_headers(request.headers, claims)
        identity = sender(found, claims)
        tier, session = identity.of_session()
        try:
            body = await send_body(request)
            send = self._context_handler.read(
                identity, session, tier, addressed(found), body, self._clock.now()
            )
        except Problem as problem:
            # Every answer of send tells the state of the limits, as soon as it is known whose they are.
            problem.headers = await self._sender.limit_state(identity, session, tier)
            raise
        # What the body took is not there for Redis: the answer comes within 5 s all told.
        left = ANSWER_SECONDS - (time.monotonic() - began)
        sent = await self._sender.send(send, within=max(LEAST_SECONDS, left))
        return JsonResponse(sent.answer, 202, sent.headers)

    async def task(self, request: Request) -> Response:
        """The ledger of one task."""
        identity = _caller(request)
        return JsonResponse(await self._ledgers.of_task(identity, request.path_params["task_id"]))

    async def cancel(self, request: Request) -> Response:
        """Cancel a task; its ledger as it is then."""
        identity, task = _caller(request), request.path_params["task_id"]
        if not (is_valid_task_id(task) and await self._cancellation.cancel(identity, task)):
            raise Problem("not_found", "there is no such task")
        return JsonResponse(await self._ledgers.of_task(identity, task))

    async def answer(self, request: Request) -> Response:
        """Answer what the task's agent has asked; its ledger as it is then."""
        identity, task = _caller(request), request.path_params["task_id"]
        await self._answers.take(identity, task, await answer_body(request))
        return JsonResponse(await self._ledgers.of_task(identity, task))

    async def session(self, request: Request) -> Response:
        """Where a session stands, and its tasks."""
        session = request.path_params["session_id"]
        require_id("session_id", session)
        identity = caller(request.headers, proven_claims(request), session)
        position, tasks = await self._ledgers.of_session(identity.tenant, session, identity.user)
        return JsonResponse({"position": position, "tasks": tasks})

    async def stats(self, request: Request) -> Response:
        """Figures of the tenant."""
        identity = _caller(request)
        if identity.bound:
            raise Problem(
                "session_denied", "the token is for one session, and these figures are the tenant's"
            )
        return JsonResponse(tenant_stats(identity.tenant, await self._tasks.figures(identity.tenant)))


def _caller(request: Request) -> Identity:
    return caller(request.headers, proven_claims(request))


def tenant_stats(tenant: str, figures: Figures) -> dict[str, Any]:
    """The body of `/api/chat/stats`."""
    day, hour = dict(figures.day), dict(figures.hour)
    by_agent: dict[str, dict[str, int]] = {}
    for field, count in day.items():
        if field.startswith("agent|"):
            _, agent, status = field.split("|")
            by_agent.setdefault(agent, {})[status] = count
    return {
        "tenant_id": tenant,
        "tasks": {
            "queued": max(0, figures.outstanding - figures.running),
            "running": figures.running,
            **_endings(day),
        },
        "outstanding": figures.outstanding,
        "by_agent": by_agent,
        "latency": _latency(day),
        "last_hour": {"accepted": hour.get("tasks|accepted", 0), **_endings(hour), "latency": _latency(hour)},
        "last_day": {"accepted": day.get("tasks|accepted", 0), **_endings(day), "latency": _latency(day)},
        "callbacks_waiting": figures.callbacks,
        "dead_letters": figures.dead,
    }


def _endings(sums: dict[str, int]) -> dict[str, int]:
    return {status: sums.get(f"tasks|{status}", 0) for status in ENDINGS}


def _latency(sums: dict[str, int]) -> dict[str, float | None]:
    """Seconds from accepted to ended; the scripts count in steps of a quarter of a doubling, from 1 ms."""
    steps = sorted((int(f.removeprefix("latency|")), n) for f, n in sums.items() if f.startswith("latency|"))
    total = sum(n for _, n in steps)
    return {f"p{round(q * 100)}_seconds": _at(steps, q * total) for q in (0.5, 0.95, 0.99)}


def _at(steps: list[tuple[int, int]], rank: float) -> float | None:
    seen = 0
    for step, count in steps:
        seen += count
        if seen >= rank:
            return round(2 ** ((step + 0.5) / 4) / 1000, 4)
    return None
