"""LangGraph's streamed runs: one POST to `PATH`, answered by Server-Sent Events."""

from typing import Any, Final

import msgspec

PATH: Final = "/runs/stream"
_decode: Final = msgspec.json.Decoder().decode


def run_of(message: str) -> dict[str, Any]:
    """The body that lets the agent answer a message: each piece is a `custom` event, the end an `updates`."""
    said = {"messages": [{"role": "user", "content": message}]}
    return {"assistant_id": "agent", "input": said, "stream_mode": ["custom", "updates"]}


def response_of(update: dict[str, Any]) -> str:
    """The whole answer, from the data of `updates`."""
    return update["answer"]["messages"][0]["content"]


class Events:
    """What was sent so far of one stream."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The events, by name and data, that are whole with these bytes."""
        *whole, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        return [_event(block) for block in whole if not block.startswith(b":")]


def _event(block: bytes) -> tuple[str, Any]:
    fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
    return fields[b"event"].decode(), _decode(fields[b"data"])
