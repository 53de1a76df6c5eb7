"""The proxy of the fault tests does what it says, and no more."""

import asyncio
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.faults.proxy import RINGS, Proxy, proxy
from tests.faults.resp import Message, Values
from tests.servers import free_port, wait_blocking

from orchestrator.embedded import ValkeyServer

ONCE: Final = Retry(NoBackoff(), 0)
MESSAGE: Final = b">3\r\n$8\r\nsmessage\r\n$2\r\nch\r\n$7\r\na\r\nb$1\r\r\n"
SENT: Final[list[tuple[bytes, Message | None]]] = [
    (b"%2\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n+proto\r\n:3\r\n", None),
    (b"+OK\r\n", None),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"_\r\n", None),
    (b"*0\r\n", None),
    (b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n", None),  # a list of that text: nobody has subscribed
    (b"*2\r\n*1\r\n$4\r\n\r\n>3\r\n~2\r\n:1\r\n,1.5\r\n", None),
    (b">3\r\n$10\r\nssubscribe\r\n$2\r\nch\r\n:1\r\n", None),
    (MESSAGE, Message("smessage", "ch")),
    (b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n", Message("invalidate", "")),
    (b">2\r\n$10\r\ninvalidate\r\n_\r\n", Message("invalidate", "")),
    (b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n", None),
    (b"-ERR no\r\n", None),
    (b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", None),
    (b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$0\r\n\r\n", Message("message", "x")),
    (b"*4\r\n$8\r\npmessage\r\n$2\r\nx*\r\n$2\r\nxy\r\n$1\r\nz\r\n", Message("pmessage", "x*")),
]
STREAM: Final = b"".join(value for value, _ in SENT)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_values_however_they_are_split(cuts: list[int]) -> None:
    """Each value comes whole and once, with the last of its bytes, and is known for what it is."""
    values, found = Values(), list[tuple[bytes, Message | None]]()
    places = [0, *sorted(cuts), len(STREAM)]
    for begin, end in pairwise(places):
        found += values.feed(STREAM[begin:end])
        whole = sum(len(value) for value, _ in found)
        assert whole <= end
        assert end - whole < max(len(value) for value, _ in SENT)
    assert found == SENT


def test_values_byte_by_byte() -> None:
    """The smallest pieces are no other than the largest."""
    values = Values()
    found = [pair for at in range(len(STREAM)) for pair in values.feed(STREAM[at : at + 1])]
    assert found == SENT == list(Values().feed(STREAM))


@pytest.fixture
def between(valkey: ValkeyServer) -> Iterator[Proxy]:
    """A proxy before the shared server."""
    with proxy(valkey.port, redis=True) as opened:
        yield opened


def client_of(between: Proxy, **options: Any) -> Any:
    """A client that repeats nothing."""
    return redis.Redis(port=between.port, socket_timeout=0.3, retry=ONCE, decode_responses=True, **options)


@pytest.mark.parametrize("protocol", [2, 3])
def test_messages_are_dropped_and_replies_are_not(between: Proxy, protocol: int) -> None:
    """Every third message is missing and the others are in their order; of spared channels none is."""
    with client_of(between, protocol=protocol) as client, client.pubsub() as listening:
        listening.subscribe("ch", "ch:probe")
        for _ in range(2):
            assert listening.get_message(timeout=5)["type"] == "subscribe"
        between.drop_messages(every=3, spared=":probe")
        for number in range(9):
            assert client.publish("ch", number) == 1
            assert client.publish("ch:probe", number) == 1
        heard = [listening.get_message(timeout=5) for _ in range(6 + 9)]
        assert [m["data"] for m in heard if m["channel"] == "ch"] == ["0", "1", "3", "4", "6", "7"]
        assert len([m for m in heard if m["channel"] == "ch:probe"]) == 9
        assert (between.messages, between.dropped) == (9, 3)


class Bare:
    """A connection without a library."""

    def __init__(self, between: Proxy) -> None:
        self.socket = socket.create_connection(("127.0.0.1", between.port), timeout=5)
        self.heard = b""

    def ask(self, *commands: str, until: bytes) -> bytes:
        """Send commands and read on to `until`; what was heard since the last time."""
        self.socket.sendall("".join(f"{command}\r\n" for command in commands).encode())
        while until not in self.heard:
            piece = self.socket.recv(4096)
            assert piece, "the connection has ended"
            self.heard += piece
        heard, self.heard = self.heard, b""
        return heard


@pytest.fixture
def bare(between: Proxy) -> Iterator[Bare]:
    """A connection through the proxy."""
    opened = Bare(between)
    yield opened
    opened.socket.close()


def test_silent_channel(between: Proxy, bare: Bare) -> None:
    """All messages are dropped while the connection stays and answers; then they come again."""
    bare.ask("HELLO 3", "SUBSCRIBE ch", until=b"subscribe\r\n$2\r\nch\r\n:1\r\n")
    between.drop_messages(every=1)
    assert b"lost" not in bare.ask("PUBLISH ch lost", "PING", until=b"PONG")
    between.heal()
    bare.ask("PUBLISH ch heard", until=b"heard")


def test_rings_are_dropped_when_it_is_asked(between: Proxy, bare: Bare) -> None:
    """What tracking tells is no message unless it is named."""
    bare.ask("HELLO 3", "SUBSCRIBE ch", "CLIENT TRACKING ON BCAST PREFIX x", until=b"+OK\r\n")
    between.drop_messages(every=1, kinds=RINGS)
    heard = bare.ask("PUBLISH ch heard", "SET x 1 EX 60", "PING", until=b"PONG")
    assert b"heard" in heard
    wait_blocking(lambda: between.dropped == 1)
    assert b"invalidate" not in heard + bare.ask("PING", until=b"PONG")


def test_reset(between: Proxy, bare: Bare) -> None:
    """The peer learns at once that the connection has failed, the server too, and a new one is well."""
    number = bare.ask("CLIENT ID", until=b"\r\n")[1:-2].decode()
    assert between.connections == 1
    between.reset()
    with pytest.raises(ConnectionResetError):
        bare.socket.recv(100)
    with client_of(between) as client:
        wait_blocking(lambda: number not in {row["id"] for row in client.client_list()})


def test_half_open(between: Proxy) -> None:
    """Nothing comes through, also on new connections, and none ends; one that has lost bytes never speaks again."""
    with client_of(between) as before, client_of(between) as meanwhile, client_of(between) as after:
        before.set("x", 1, ex=60)
        between.swallow()
        for client in (before, meanwhile):
            with pytest.raises(redis.TimeoutError):
                client.set("x", 2)
        between.heal()
        assert after.get("x") == "1"


def test_half_open_one_way(between: Proxy) -> None:
    """The server does what it is told and is not heard."""
    with client_of(between) as client, client_of(between) as after:
        client.ping()
        between.swallow("to_client")
        with pytest.raises(redis.TimeoutError):
            client.set("x", "done", ex=60)
        between.heal()
        assert after.get("x") == "done"


def test_the_end_of_a_server_is_not_told_while_half_open(between: Proxy, bare: Bare) -> None:
    """Who is half-open learns of no end either."""
    number = bare.ask("CLIENT ID", until=b"\r\n")[1:-2].decode()
    between.swallow("to_client")
    bare.socket.sendall(f"CLIENT KILL ID {number}\r\n".encode())
    bare.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        bare.socket.recv(100)


async def test_latency(between: Proxy) -> None:
    """Each way takes so much longer, and what is sent meanwhile does not wait for it; from a loop, too."""
    between.latency = 0.1
    reader, writer = await asyncio.open_connection("127.0.0.1", between.port)
    began = time.monotonic()
    for number in range(20):
        writer.write(b"ECHO %d\r\n" % number)
        await asyncio.sleep(0.01)
    for number in range(20):
        await reader.readline()
        assert (await reader.readline()).strip() == b"%d" % number
    assert time.monotonic() - began > 0.2
    writer.close()
    await writer.wait_closed()


def test_nobody_is_there() -> None:
    """Who is let through to nobody is sent away."""
    with proxy(free_port()) as between, socket.create_connection(("127.0.0.1", between.port)) as bare:
        bare.settimeout(5)
        with pytest.raises(ConnectionResetError):
            bare.recv(1)
