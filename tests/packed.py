"""What keys of tasks and sessions hold packed (records.lua, logs.lua): read, or changed behind the service's back."""

import struct
from typing import Any, Final, NamedTuple, Self

_RUN: Final = struct.Struct(">QIIBBIQQ")
_LENGTH: Final = struct.Struct(">H")
_STATE: Final = struct.Struct(">QqQIQQIH")


class Run(NamedTuple):
    """The front of `run`, what a piece of text needs of its task; `rest` is left as it is."""

    next_seq: int
    chunks: int
    text_bytes: int
    plain: int
    stream: int
    attempt: int
    lease: int
    deadline: int
    rest: bytes

    @classmethod
    def read(cls, packed: bytes) -> Self:
        """As the record has it."""
        return cls._make((*_RUN.unpack_from(packed), packed[_RUN.size :]))

    def packed(self) -> bytes:
        """As the record has it."""
        return _RUN.pack(*self[:-1]) + self.rest

    @property
    def seq(self) -> int:
        """The highest seen, -1 before the first."""
        return self.next_seq - 1


class State(NamedTuple):
    """Where the log of a session stands."""

    top: int
    size: int
    """In bytes."""
    mark: int
    waiting: int
    """Endings that wait for their reader."""
    expires: int
    keep: int
    held: int
    epoch: str

    @classmethod
    def read(cls, packed: bytes) -> Self:
        """As the hash has it."""
        *numbers, length = _STATE.unpack_from(packed)
        return cls._make((*numbers, packed[_STATE.size : _STATE.size + length].decode()))

    def packed(self) -> bytes:
        """As the hash has it."""
        return _STATE.pack(*self[:-1], len(self.epoch)) + self.epoch.encode()


def text_of(client: Any, key: str) -> tuple[bytes, bytes | None]:
    """Of the task with this record: its text, and `run`, which stands behind it once somebody has reported the task."""
    value = client.get(key.replace("}:task:", "}:text:")) or b""
    return _parted(value) if value else (b"", None)


def _parted(value: bytes) -> tuple[bytes, bytes]:
    (size,) = _LENGTH.unpack(value[-_LENGTH.size :])
    return value[:-size], value[-size:]


def run_of(client: Any, key: str) -> Run:
    """Of a task that somebody has reported."""
    _, packed = text_of(client, key)
    assert packed
    return Run.read(packed)


def change_run(client: Any, key: str, **changes: int) -> None:
    """Where the task has begun."""
    packed = run_of(client, key)._replace(**changes).packed()
    name = key.replace("}:task:", "}:text:")
    client.setrange(name, client.strlen(name) - len(packed), packed)


def state_of(client: Any, key: str) -> State | None:
    """None where there is no such session."""
    packed = client.hget(key, "state")
    return State.read(packed) if packed else None


def waiting_endings(client: Any, key: str) -> dict[str, int]:
    """The endings of a session that wait for their reader: task -> offset."""
    fields = client.hgetall(key)
    found = {name.decode(): int(value) for name, value in fields.items() if name.startswith(b"task-")}
    assert State.read(fields[b"state"]).waiting == len(found)
    return found
