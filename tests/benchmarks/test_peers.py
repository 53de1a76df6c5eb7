"""The peers of the bench: what is pure of them, and the one that needs nothing but what the tests have."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from benchmarks.peers import langgraph_wire, socketio_wire
from benchmarks.peers.check import check
from benchmarks.peers.homes import SOURCES, LeftOutError, ThisEnvironment
from benchmarks.peers.peer import FLOOR, Peer
from benchmarks.peers.running import SERVICE_CORE, running
from tests.servers import free_port


def test_a_socket_joins_by_its_handshake() -> None:
    """Who follows which session stands in the query, quoted."""
    assert socketio_wire.path("tenant-1", "free", "a&b") == (
        "/socket.io/?EIO=4&transport=websocket&tenant_id=tenant-1&tier=free&session_id=a%26b"
    )


@pytest.mark.parametrize(
    ("frame", "reply"),
    [
        (b'0{"sid":"x","pingInterval":25000}', b"40"),
        (b'40{"sid":"y"}', None),
        (b"2", b"3"),
        (b'42["agent_chunk",{}]', None),
    ],
)
def test_what_a_socket_is_answered(frame: bytes, reply: bytes | None) -> None:
    """It is let in by one frame, and a ping wants a pong."""
    assert socketio_wire.reply(frame) == reply


@pytest.mark.parametrize("frame", [b"1", b"41", b'44{"message":"no"}'])
def test_a_refused_socket_is_an_error(frame: bytes) -> None:
    """Nobody waits for events that never come."""
    with pytest.raises(socketio_wire.RefusedError):
        socketio_wire.reply(frame)


def test_events_are_the_services_frames() -> None:
    """The argument of an event is the frame; nothing else is an event."""
    assert socketio_wire.event(b'42["agent_chunk",{"type":"agent_chunk"}]') == {"type": "agent_chunk"}
    assert [socketio_wire.event(frame) for frame in (b"2", b"40", b"0{}")] == [None, None, None]


def test_a_run_is_read_however_it_is_cut() -> None:
    """Events are the same byte by byte; comments are none."""
    stream = (
        b': hello\r\n\r\nevent: custom\r\ndata: {"seq":0}\r\n\r\nevent: updates\r\ndata: {"a":"b: c"}\r\n\r\n'
    )
    events = langgraph_wire.Events()
    seen = [event for at in range(len(stream)) for event in events.feed(stream[at : at + 1])]
    assert seen == [("custom", {"seq": 0}), ("updates", {"a": "b: c"})]


def test_the_floor_answers(tmp_path: Path) -> None:
    """The bare server starts on its core, reads, answers and streams."""
    with running(FLOOR, "", free_port(), tmp_path / "log") as found:
        if hasattr(os, "sched_getaffinity") and SERVICE_CORE in os.sched_getaffinity(0):
            assert os.sched_getaffinity(found.pid) == {SERVICE_CORE}
        asyncio.run(check(found, ""))


def test_what_is_not_installed_is_left_out() -> None:
    """A bench goes on without the peers that a machine cannot have."""
    with pytest.raises(LeftOutError, match="no_such_module"):
        ThisEnvironment("json", "no_such_module").prepare()


def test_what_does_not_start_is_left_out(tmp_path: Path) -> None:
    """The reason is the last thing that it said."""
    command = ("-c", "raise SystemExit('no room')")
    peer = Peer("broken", "ends at once", "plain", ThisEnvironment(), command, ())
    with pytest.raises(LeftOutError, match="no room"), running(peer, "", free_port(), tmp_path / "log"):
        pass


@pytest.mark.parametrize(
    "lock", sorted(SOURCES.glob("*/package-lock.json")), ids=lambda lock: lock.parent.name
)
def test_locks_of_node_name_hashes_and_no_registry(lock: Path) -> None:
    """A mirror serves as well, and nothing unhashed is fetched."""
    packages = {name: package for name, package in json.loads(lock.read_text())["packages"].items() if name}
    assert packages
    assert [name for name, package in packages.items() if "integrity" not in package] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []
