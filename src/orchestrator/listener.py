"""The one listening socket, and who has it when it cannot be ours."""

import errno
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.errors import OrchestratorError

BACKLOG: Final = 2048

KERNEL_BUFFER: Final = 128 * 1024
"""Bytes each way, of each connection. Left to itself Linux keeps 4 MiB for a peer that does not read, and as much for
one that sends without being read: memory that belongs to no process, until there is none for anybody."""

UNACKNOWLEDGED_SECONDS: Final = 40
"""How long a peer may leave unacknowledged, or not let us send, what is written to it; as long as a WebSocket may be
silent by default. Streams of events have no pongs: without it a peer that vanished is kept for a quarter of an hour."""


class PortTakenError(OrchestratorError):
    """Another process listens on the port."""


def listen(host: str, port: int, way_out: str = "use --port {port}") -> socket.socket:
    """A socket that listens on `host`:`port`; `PortTakenError` says who does already.

    `way_out` is what its message offers in the end, with the next port at `{port}`.

    It listens before anything else is started, so that what cannot start has not begun.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise OrchestratorError(f"cannot listen on {host} port {port}: {error.strerror}") from error
        raise PortTakenError(_taken(host, port, way_out)) from error
    bound_connections(listener)
    return listener


def bound_connections(listener: socket.socket, unacknowledged: float = UNACKNOWLEDGED_SECONDS) -> None:
    """Set what each accepted connection inherits: how much the kernel keeps for it, and how long for a dead peer."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(unacknowledged * 1000))


def _taken(host: str, port: int, way_out: str) -> str:
    # The oldest: the ones after it have the socket from it, and it would start them again.
    holder = min(_holders(port), default=None)
    who, stop = (
        (f"process {holder}", f"stop it (kill {holder})") if holder else ("another process", "stop it")
    )
    return f"port {port} on {host} is in use by {who}; {stop} or {way_out.format(port=next_port(port))}"


def next_port(port: int) -> int:
    """The one to offer when `port` is taken."""
    return port % 65_535 + 1


def _holders(port: int) -> Iterator[int]:
    """The processes that listen on the port, as far as this system and our rights show them."""
    if sys.platform != "linux":
        return
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in wanted:
                yield int(link.parts[2])
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A is LISTEN
                yield fields[9]
