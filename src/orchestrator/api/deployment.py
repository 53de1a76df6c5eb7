"""The state of the deployment: health, sockets, metrics, queues."""

import asyncio
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.admission.access import Access
from orchestrator.api.problems import JsonResponse
from orchestrator.auth.identity import require_id
from orchestrator.auth.tokens import Tokens
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.queues import Queues
from orchestrator.broker.roster import Roster
from orchestrator.figures import Figures, Report, overview, socket_stats
from orchestrator.metrics import CONTENT_TYPE
from orchestrator.runtime import Runtime

PING_SECONDS: Final = 2.0


class Deployment:
    """Routes for operators and probes."""

    def __init__(
        self,
        runtime: Runtime,
        roster: Roster,
        queues: Queues,
        access: Access,
        figures: Figures,
        tokens: Tokens | None,
    ) -> None:
        self._runtime = runtime
        self._roster = roster
        self._queues = queues
        self._access = access
        self._figures = figures
        self._tokens = tokens

    async def health(self, _request: Request) -> Response:
        """Whether the service does its work: `healthy`, `degraded` or `unhealthy`, and what fails."""
        answers, database = await asyncio.gather(self._redis_answers(), self._access.reachable())
        failing = self._failing(redis_answers=answers, database=database)
        if "redis" in failing:
            return JsonResponse({"status": "unhealthy", "failing": failing}, 503)
        if failing:
            return JsonResponse({"status": "degraded", "failing": failing})
        return JsonResponse({"status": "healthy"})

    async def live(self, _request: Request) -> Response:
        """The process answers; nothing outside matters."""
        return JsonResponse({"status": "alive"})

    async def ready(self, _request: Request) -> Response:
        """Whether this replica can work: a publish came back, it can verify tokens, and it is not draining."""
        if self._runtime.draining:
            return JsonResponse({"status": "draining"}, 503)
        failing = self._failing()
        if failing:
            return JsonResponse({"status": "not_ready", "failing": failing}, 503)
        return JsonResponse({"status": "ready"})

    async def sockets(self, request: Request) -> Response:
        """`/ws/stats`."""
        tenant = request.query_params.get("tenant_id") or None
        if tenant is not None:
            require_id("tenant_id", tenant)
        return JsonResponse(socket_stats(await self._reports(), tenant))

    async def overview(self, _request: Request) -> Response:
        """`/metrics/overview`."""
        reports = await self._reports()
        totals = await self._roster.totals()
        for field, count in self._figures.untold().items():
            totals[field] = totals.get(field, 0) + count
        return JsonResponse(overview(reports, totals))

    async def queues(self, _request: Request) -> Response:
        """`/metrics/queues`."""
        rows = await self._queues.survey(self._figures.noted_queues())
        totals = {
            kind: sum(row.depth for row in rows if row.kind == kind) for kind in ("execution", "callbacks")
        }
        return JsonResponse({"queues": rows, "totals": totals})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus' text format, for all processes on this port."""
        own = self._own_report()
        try:
            reports = await self._others()
        except BrokerError:
            reports = {}
        text = self._figures.prometheus(own, [*reports.values(), own])
        return Response(text, media_type=None, headers={"Content-Type": CONTENT_TYPE})

    async def _reports(self) -> list[Report]:
        return [*(await self._others()).values(), self._own_report()]

    async def _others(self) -> dict[str, Report]:
        reports = await self._roster.reports()
        reports.pop(self._runtime.replica, None)
        return reports

    def _own_report(self) -> Report:
        """What this process would tell now; plain data, as the others' is."""
        return msgspec.to_builtins(self._figures.report(self._runtime.manager.figures()))

    def _failing(self, *, redis_answers: bool = True, database: bool = True) -> list[str]:
        """What does not work. A Redis that answers may refuse every write: the heartbeat is one."""
        redis = redis_answers and self._runtime.can_write
        works = {
            "redis": redis,
            "delivery": self._runtime.listener.healthy or not redis,
            "database": database,
            "issuer": self._tokens is None or self._tokens.ready,
        }
        return [name for name, does in works.items() if not does]

    async def _redis_answers(self) -> bool:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._roster.live()
        except (BrokerError, TimeoutError):
            return False
        return True
