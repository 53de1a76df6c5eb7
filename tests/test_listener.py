"""The listening socket: what each connection inherits of it."""

import errno
import select
import socket
from contextlib import suppress

from orchestrator.listener import KERNEL_BUFFER, UNACKNOWLEDGED_SECONDS, bound_connections, listen


def fill(connection: socket.socket) -> int:
    """Write until nothing more is taken; how much was."""
    connection.setblocking(False)
    taken = 0
    with suppress(BlockingIOError):
        while True:
            taken += connection.send(b"x" * 65_536)
    return taken


def test_the_kernel_keeps_little_for_a_peer() -> None:
    """Left to itself it keeps megabytes for each peer that does not read, and nobody's memory figure shows them."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        connection, _ = listener.accept()
        with connection:
            assert fill(connection) < 8 * KERNEL_BUFFER


def test_a_peer_that_takes_nothing_is_given_up_by_the_kernel() -> None:
    """What it does not acknowledge or does not let us send ends the connection: a stream of events has no pongs."""
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return  # an option of Linux; elsewhere the application's own clocks are all there is
    with listen("127.0.0.1", 0) as listener:
        usual = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert usual == UNACKNOWLEDGED_SECONDS * 1_000
        bound_connections(listener, unacknowledged=0.5)
        with socket.create_connection(listener.getsockname()[:2]):
            connection, _ = listener.accept()
            with connection:
                fill(connection)
                poll = select.poll()
                poll.register(connection, 0)
                assert poll.poll(10_000), "the connection has failed"
                assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ETIMEDOUT
