"""`POST /api/auth/ticket`: what a browser opens a socket or a stream with (contract §6)."""

import time
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.bodies import optional_body
from orchestrator.api.credentials import check_lasting
from orchestrator.api.forwarded import asked_host
from orchestrator.api.guard import proven_claims
from orchestrator.api.headers import caller, header
from orchestrator.api.problems import JsonResponse
from orchestrator.auth.identity import Identity
from orchestrator.auth.origins import Origins
from orchestrator.broker.tickets import TICKET_SECONDS, Ticket, Tickets
from orchestrator.errors import Problem
from orchestrator.protocol.budget import Budget

TICKETS_PER_SECOND: Final = 0.5
TICKETS_AT_ONCE: Final = 30
SUBJECTS_MAX: Final = 10_000
"""How many subjects are remembered: who has not asked for longest is forgotten first."""


class TicketBody(msgspec.Struct, forbid_unknown_fields=True):
    """What may be asked of a ticket."""

    origin: str | None = None
    """The only origin from which it may come: a server names the one of its page."""


class IssuedTicket(msgspec.Struct, frozen=True):
    """The 201's body."""

    ticket: str
    expires_in: int


_decode: Final = msgspec.json.Decoder(TicketBody).decode


class Allowances:
    """How many tickets each subject (tenant, user) may have of this process: what it took lies in Redis for a while."""

    def __init__(self) -> None:
        self._budgets: Final[dict[tuple[str, str], Budget]] = {}

    def __len__(self) -> int:
        return len(self._budgets)

    def take(self, subject: tuple[str, str], now: float) -> None:
        """Count one more; raises `rate_limited`."""
        budget = self._budgets.pop(subject, None) or Budget(TICKETS_PER_SECOND, TICKETS_AT_ONCE, now)
        self._budgets[subject] = budget
        if len(self._budgets) > SUBJECTS_MAX:
            del self._budgets[next(iter(self._budgets))]
        if not budget.take(now):
            raise Problem("rate_limited", "too many tickets of this user", retry_after=budget.wait_seconds)


class TicketOffice:
    """The route that issues tickets."""

    def __init__(self, tickets: Tickets, origins: Origins) -> None:
        self._tickets = tickets
        self._origins = origins
        self._allowances = Allowances()

    async def issue(self, request: Request) -> Response:
        """201 with a ticket for the session in `X-Session-ID`."""
        claims = proven_claims(request)
        if claims is None:
            raise Problem(
                "unauthorized", "a ticket is given for a bearer token; token authentication is off here"
            )
        if claims.tenant is None:
            raise Problem("access_denied", "a ticket is a user's: this token names no tenant")
        check_lasting(claims)
        session = header(request.headers, "X-Session-ID") or claims.session
        if session is None:
            raise Problem("missing_headers", "send this header too: X-Session-ID", missing=["X-Session-ID"])
        identity = caller(request.headers, claims, session)
        origin = await self._origin(request)
        self._allowances.take(identity.subject, time.monotonic())
        text = await self._tickets.issue(_ticket(identity, session, claims.expires, origin))
        headers = {"Cache-Control": "no-store"}
        return JsonResponse(IssuedTicket(text, TICKET_SECONDS), 201, headers)

    async def _origin(self, request: Request) -> str | None:
        """The origin of the request or, where a server asks, the one that it names."""
        own = request.headers.get("origin")
        body = await optional_body(request, _decode)
        named = body.origin if body else None
        if named is None:
            return own
        if own is not None and own != named:
            raise Problem("access_denied", "`origin` contradicts the origin of the request")
        if not self._origins.could_ask(named, asked_host(request.scope), request.scope["scheme"]):
            raise Problem("access_denied", "this origin is not allowed (ORCHESTRATOR_ALLOWED_ORIGINS)")
        return named


def _ticket(identity: Identity, session: str, expires: float, origin: str | None) -> Ticket:
    if identity.tier is None:
        raise Problem("missing_headers", "send this header too: X-Tenant-Tier", missing=["X-Tenant-Tier"])
    return Ticket(
        tenant=identity.tenant,
        tier=identity.tier,
        user=identity.user,
        session=session,
        agents=None if identity.agents is None else sorted(identity.agents),
        expires=expires,
        issued=identity.issued,
        origin=origin,
    )
