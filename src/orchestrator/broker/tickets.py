"""One-time tickets, with which a browser opens a socket or a stream without its token in the URL (contract §6)."""

import hashlib
import re
import secrets
from typing import Final, Literal, cast

import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.protocol.tiers import Tier

TICKET_SECONDS: Final = 30
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z").match


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket stands for."""

    tenant: str
    tier: Tier
    user: str
    session: str
    agents: list[str] | None
    expires: float
    """When the token ends, Unix seconds."""
    issued: float | None
    origin: str | None
    """The only origin from which it may come; None: any that is allowed."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Ticket).decode


class Tickets:
    """Issues and takes tickets. Redis has their digests only: who reads it has no ticket."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def issue(self, ticket: Ticket) -> str:
        """The text that stands for `ticket`, for 30 seconds."""
        text = secrets.token_urlsafe(32)
        key = self._key(text)
        await self._broker.command(key, "SET", key, _encode(ticket), "EX", TICKET_SECONDS)
        return text

    async def redeem(self, text: str, use: Literal["socket", "stream"]) -> Ticket | None:
        """What a ticket stands for, or None where there is none, or none any more."""
        if not _SHAPE(text):
            return None
        key = self._key(text)
        ticket = cast("bytes | None", await self._broker.run("redeem", [key, f"{key}:stream"], use))
        return _decode(ticket) if ticket else None

    def _key(self, text: str) -> str:
        return self._broker.keys.ticket(hashlib.sha256(text.encode()).hexdigest())
