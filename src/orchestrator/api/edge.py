"""What every HTTP request passes: Host and Origin, the gateway's secret, CORS, errors as problems, figures."""

import asyncio
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.endpoints import Handler, KnownRequest
from orchestrator.api.forwarded import asked_host
from orchestrator.api.headers import OPTIONAL, REQUIRED
from orchestrator.api.problems import count_credential, problem_response, refused
from orchestrator.api.request_headers import headers_of
from orchestrator.auth.identifier import Identifier
from orchestrator.auth.origins import Origins
from orchestrator.broker.connection import BrokerError
from orchestrator.errors import Problem
from orchestrator.metrics import Counter, Metrics
from orchestrator.protocol.identifiers import is_valid_id
from orchestrator.telemetry import Log, LogEvent

REST_SECONDS: Final = 0.5
REST_MAX: Final = 64 * 1024
"""How long and for how much of a body one waits that is refused anyway."""

HEALTH: Final = frozenset({"/health", "/health/live", "/health/ready", "/api/chat/health", "/ws/health"})

_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_CLOSE: Final = (b"connection", b"close")
_ALLOWED_HEADERS: Final = ", ".join([*REQUIRED, *OPTIONAL, "Authorization", "Content-Type", "Last-Event-ID"])
_EXPOSED_HEADERS: Final = (
    "Location, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, WWW-Authenticate"
)


class Edge:
    """The outermost layer of the application."""

    def __init__(
        self, app: ASGIApp, *, identifier: Identifier, origins: Origins, metrics: Metrics, log: Log
    ) -> None:
        self._app = app
        self._identifier = identifier
        self._origins = origins
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it. WebSockets are refused where close codes are spoken: see websocket.py."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)
        answer, body = _Answer(send, self._listed(headers)), _Body(receive)
        try:
            await self._pass(scope, headers, body, answer)
        except HTTPException as refusal:
            if not answer.status:
                await refused(refusal)(scope, body, answer)
        except Exception as error:  # noqa: BLE001 - `_problem` tells what is none of ours in the log
            problem = self._problem(error, scope)
            if not answer.status:  # else it has begun: nothing can be said any more
                await self._refuse(problem, scope, body, answer)
        route = scope.get("route")
        self._count(getattr(route, "path", "other"), answer.status or 499)

    def direct(self, path: str, handler: Handler) -> Handler:
        """What answers a request to `path` that came whole: the same as above, with no channel to pass through."""

        async def answered(request: KnownRequest) -> Response:
            scope, headers, route = request.scope, request.headers, "other"
            try:
                self._origins.check(headers, asked_host(scope), scope["scheme"])
                self._identifier.check_gateway(headers)
                route = path
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - as above
                response = self._refusal(self._problem(error, scope), scope)
            _dress(response.raw_headers, self._listed(headers))
            self._count(route, response.status_code)
            return response

        return answered

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, answer: "_Answer") -> None:
        if scope["path"] in HEALTH:
            await self._app(scope, receive, answer)
            return
        self._origins.check(headers, asked_host(scope), scope["scheme"])
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight()(scope, receive, answer)
            return
        self._identifier.check_gateway(headers)
        await self._app(scope, receive, answer)

    def _problem(self, error: Exception, scope: Scope) -> Problem:
        """What an exception is to the caller; never with internals."""
        if isinstance(error, Problem):
            return error
        if isinstance(error, BrokerError):
            return Problem("unavailable", "Redis cannot be reached or takes no writes", retry_after=1)
        self._log.error(LogEvent.UNEXPECTED_ERROR, path=scope["path"], exc_info=error)
        return Problem("internal", "something went wrong here")

    async def _refuse(self, problem: Problem, scope: Scope, body: "_Body", answer: "_Answer") -> None:
        response = self._refusal(problem, scope)
        # Who asks before it sends (`Expect`) is told at once.
        answer.closes = "expect" in headers_of(scope) or await body.stays_away()
        await response(scope, body, answer)

    def _refusal(self, problem: Problem, scope: Scope) -> Response:
        """A refusal, counted and logged."""
        count_credential(problem, self._metrics)
        if scope["path"] == "/api/chat/send":
            self._metrics.count(Counter.SENDS_REFUSED, problem.code)
            named = _named(headers_of(scope))
            self._log.info(LogEvent.SEND_REFUSED, code=problem.code, detail=problem.detail, **named)
        return problem_response(problem)

    def _count(self, route: str, status: int) -> None:
        self._metrics.count(Counter.HTTP_REQUESTS, route, str(status))

    def _listed(self, headers: Headers) -> str | None:
        origin = headers.get("origin")
        return origin if origin is not None and self._origins.is_listed(origin) else None


class _Body:
    """Receives on; knows whether the request has come to its end."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def __call__(self) -> Message:
        """The next part."""
        message = await self._receive()
        self._ended = not message.get("more_body", False)
        return message

    async def stays_away(self) -> bool:
        """Wait a little for the rest of a small body; whether it did not come.

        An answer that is given in the middle of a request ends the connection, and a client that sends its next request
        on it gets nothing. For a body that goes on and on the protocol waits, so that its sender reads the answer.
        """
        taken = 0
        try:
            async with asyncio.timeout(REST_SECONDS):
                while not self._ended and taken <= REST_MAX:
                    taken += len((await self()).get("body", b""))
        except TimeoutError:
            return True
        return False


class _Answer:
    """Sends on, with CORS headers for a listed origin; remembers the status."""

    def __init__(self, send: Send, origin: str | None) -> None:
        self._send = send
        self._origin = origin
        self.status = 0
        self.closes = False
        """Whether the connection ends with it."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"] = list(message["headers"])
            if self.closes:
                headers.append(_CLOSE)
            _dress(headers, self._origin)
        await self._send(message)


def _dress(headers: list[tuple[bytes, bytes]], origin: str | None) -> None:
    """Add what every answer carries, and what lets a page of a listed `origin` read it."""
    headers.append(_NOSNIFF)
    if origin:
        named = MutableHeaders(raw=headers)
        named["Access-Control-Allow-Origin"] = origin
        named["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
        named.add_vary_header("Origin")


def _named(headers: Headers) -> dict[str, str]:
    """Tenant and session of a request, where they are ids."""
    stated = {"tenant_id": headers.get("x-tenant-id", ""), "session_id": headers.get("x-session-id", "")}
    return {name: value for name, value in stated.items() if is_valid_id(value)}


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
            "Vary": "Origin",
        },
    )
