"""redeem.lua: a ticket opens one socket, or one stream that may come again (contract §6)."""

from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.broker.broker import Broker
from orchestrator.broker.tickets import TICKET_SECONDS, Ticket, Tickets

A_TICKET = Ticket(
    tenant="acme",
    tier="free",
    user="ann",
    session="s-1",
    agents=None,
    expires=4_000_000_000.5,
    issued=1_700_000_000,
    origin="https://app.example.com",
)


async def test_a_socket_uses_it_up(broker: Broker) -> None:
    """What was issued comes back once, and never again, to a stream neither."""
    tickets = Tickets(broker)
    text = await tickets.issue(A_TICKET)
    assert await tickets.redeem(text, "socket") == A_TICKET
    assert await tickets.redeem(text, "socket") is None
    assert await tickets.redeem(text, "stream") is None


async def test_a_stream_comes_again(broker: Broker, client: Any) -> None:
    """`EventSource` reconnects by itself: a stream's ticket holds while its token lives, and for no socket."""
    tickets = Tickets(broker)
    text = await tickets.issue(A_TICKET)
    assert [await tickets.redeem(text, "stream") for _ in range(3)] == [A_TICKET] * 3
    assert await tickets.redeem(text, "socket") is None
    assert await tickets.redeem(text, "stream") == A_TICKET
    (kept,) = [key for key in client.scan_iter() if key.endswith(b":stream")]
    assert client.pexpiretime(kept) == 4_000_000_000_500


async def test_a_token_that_has_ended(broker: Broker) -> None:
    """A stream does not come again when its token has ended."""
    tickets = Tickets(broker)
    text = await tickets.issue(replace(A_TICKET, expires=1.0))
    assert await tickets.redeem(text, "stream")
    assert await tickets.redeem(text, "stream") is None


@pytest.mark.parametrize(
    "text", ["", "x", "../" * 14 + "x", "{a}" * 14 + "a", "é" * 43, "A" * 44, "A" * 43, "A" * 42 + "\n"]
)
async def test_what_is_no_ticket(broker: Broker, text: str) -> None:
    """Any other text is no ticket."""
    assert await Tickets(broker).redeem(text, "socket") is None


async def test_redis_has_only_digests(broker: Broker, client: Any) -> None:
    """Who reads Redis has no ticket, and one that nobody uses ends by itself."""
    text = await Tickets(broker).issue(A_TICKET)
    (key,) = client.scan_iter()
    assert text.encode() not in key
    assert text not in repr(client.get(key))
    assert TICKET_SECONDS - 2 < client.ttl(key) <= TICKET_SECONDS
