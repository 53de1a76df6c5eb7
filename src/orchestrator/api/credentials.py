"""How a reader proves who it is: by a token, in a header or in a first frame, or by a ticket (contract §6)."""

import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Literal

import msgspec
from starlette.requests import HTTPConnection

from orchestrator.api.addresses import address_group
from orchestrator.api.forwarded import asked_host
from orchestrator.api.guard import require_scope
from orchestrator.api.headers import parameter, refuse_secrets
from orchestrator.auth.claims import Claims, invalid_token
from orchestrator.auth.identifier import Identifier, bearer_token
from orchestrator.auth.origins import is_same_origin
from orchestrator.broker.tickets import Ticket, Tickets
from orchestrator.errors import Problem

FIRST_FRAME_SECONDS: Final = 5.0
FIRST_FRAME_MAX: Final = 10 * 1024
"""Characters: the longest token, and what stands around it."""
PENDING_MAX: Final = 20
"""Sockets of one address that have not said yet who they are."""


class NoCredentials(Problem):
    """Nothing was sent that could prove anything; a socket may still do so by its first frame."""

    def __init__(self) -> None:
        super().__init__(
            "unauthorized", "send Authorization: Bearer and a token, or a ticket", reason="missing"
        )


class Credentials:
    """Finds out who wants to follow a session."""

    def __init__(self, identifier: Identifier, tickets: Tickets) -> None:
        self._identifier = identifier
        self._tickets = tickets

    async def of(self, asker: HTTPConnection, use: Literal["socket", "stream"]) -> Claims | None:
        """The claims that the handshake proves; None in header mode.

        Raises `invalid_id` for a token in the URL, `NoCredentials`, `unauthorized`, `access_denied` for a ticket of
        another origin, `insufficient_scope`.
        """
        ticket = None
        if asker.scope["query_string"]:
            refuse_secrets(asker.query_params)
            ticket = parameter(asker.query_params, "ticket")
        if not self._identifier.needs_token:
            if ticket is not None:
                raise Problem("unauthorized", "no ticket is valid here: token authentication is off")
            return None
        token = bearer_token(asker.headers)
        if token is not None:
            claims = await self._identifier.verify(token)
        elif ticket is not None:
            claims = await self._redeem(ticket, asker, use)
        else:
            raise NoCredentials
        require_scope(claims, "chat")
        check_lasting(claims)
        return claims

    async def of_token(self, token: str) -> Claims:
        """The claims of a token from a frame; raises `unauthorized` and `insufficient_scope`."""
        claims = await self._identifier.verify(token)
        require_scope(claims, "chat")
        check_lasting(claims)
        return claims

    async def _redeem(self, text: str, asker: HTTPConnection, use: Literal["socket", "stream"]) -> Claims:
        ticket = await self._tickets.redeem(text, use)
        if ticket is None:
            raise Problem("unauthorized", "the ticket is unknown, used or too old")
        if ticket.origin is not None and not _is_from(ticket.origin, asker, use):
            raise Problem("access_denied", "the ticket is for another origin")
        self._identifier.check_revoked(ticket.tenant, ticket.user, ticket.issued)
        return _claims(ticket)


def check_lasting(claims: Claims | None) -> None:
    """Raise `unauthorized` for a token that only the leeway still lets in: nothing can be held open by it."""
    if claims is not None and claims.expires <= time.time():
        raise invalid_token("the token has expired", "expired")


def _is_from(origin: str, asker: HTTPConnection, use: str) -> bool:
    given = asker.headers.get("origin")
    if given is None and use == "stream":
        # A browser names no origin with a GET to its own.
        return is_same_origin(origin, asked_host(asker.scope), asker.scope["scheme"])
    return given == origin


def _claims(ticket: Ticket) -> Claims:
    return Claims(
        user=ticket.user,
        tenant=ticket.tenant,
        tier=ticket.tier,
        session=ticket.session,
        agents=None if ticket.agents is None else frozenset(ticket.agents),
        scopes=frozenset({"chat"}),
        expires=ticket.expires,
        issued=ticket.issued,
    )


class Pending:
    """Sockets that have not proven anything yet: few of each address, since they cost as much as any other."""

    def __init__(self, of_all: int, most: int = PENDING_MAX) -> None:
        self._of_all = of_all
        self._most = most
        self._by_group: Counter[str] = Counter()

    @contextmanager
    def one_of(self, address: str) -> Generator[None]:
        """Count one more of this address; raises `rate_limited` where it, or all together, have as many as they may."""
        group = address_group(address)
        if self._by_group[group] >= self._most or self._by_group.total() >= self._of_all:
            raise Problem("rate_limited", "too many sockets have not authenticated yet")
        self._by_group[group] += 1
        try:
            yield
        finally:
            self._by_group[group] -= 1
            if not self._by_group[group]:
                del self._by_group[group]


class _AuthFrame(msgspec.Struct):
    type: Literal["auth"]
    token: str


_auth_frame: Final = msgspec.json.Decoder(_AuthFrame).decode


def token_of(text: str) -> str:
    """The token of a first frame; raises `unauthorized` for any other frame."""
    try:
        if len(text) <= FIRST_FRAME_MAX:
            return _auth_frame(text).token
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    raise Problem("unauthorized", 'the first frame has to be {"type":"auth","token":…}')
