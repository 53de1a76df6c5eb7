"""Callbacks that could not be used: read, put on their queue again, thrown away."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal, cast

import msgspec

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.protocol.times import rfc3339

LETTERS_MAX: Final = 1_000
"""Of a tenant; the scripts keep no more."""
_BATCH_BYTES: Final = 256 * 1024
"""About so much is sent to the server in a call, and compared there with what lies in the list."""

_head: Final = msgspec.msgpack.Decoder(tuple[str, int, int, str]).decode

Outcome = Literal["replayed", "purged", "gone", "cut"]
"""`gone`: somebody else was faster; `cut`: what is left of it is no callback."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A callback that could not be used: why, when, and what it was (cut at 64 KiB)."""

    id: str
    """Tells it from the tenant's others; from its time and content."""
    reason: str
    buried_at: str
    size: int
    """Of the whole, in bytes."""
    sha1: str
    """Of the whole, where it was cut and is not larger than 4 MiB."""
    callback: str
    at: int
    """When it was buried, microseconds."""
    entry: bytes
    """As it lies in Redis."""


class DeadLetters:
    """The dead letters of a deployment's tenants."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def of(self, tenant: str, start: int = 0, count: int = LETTERS_MAX) -> list[DeadLetter]:
        """A tenant's, the newest first."""
        key = self._broker.keys.of_tenant(tenant, "dead")
        reply = await self._broker.command(key, "LRANGE", key, start, start + count - 1)
        return [_letter(entry) for entry in cast("list[bytes]", reply)]

    async def count(self, tenant: str) -> int:
        """How many a tenant has."""
        key = self._broker.keys.of_tenant(tenant, "dead")
        return int(await self._broker.command(key, "LLEN", key))

    async def replay(self, tenant: str, letters: Sequence[DeadLetter]) -> list[Outcome]:
        """Put callbacks on the tenant's queue again, in the order in which they were buried; what became of each.

        Taking a letter out and pushing its callback is one step, so two operators replay it once.
        """
        # So that somebody looks at the queue, even where nobody heard the push and the tenant was long silent.
        await Agenda(self._broker).note(tenant, self._broker.clock.now())
        order = sorted(range(len(letters)), key=lambda place: letters[place].at)
        outcomes = await self._exhume(tenant, [letters[place] for place in order], "replayed")
        by_place = dict(zip(order, outcomes, strict=True))
        return [by_place[place] for place in range(len(letters))]

    async def purge(self, tenant: str, letters: Sequence[DeadLetter]) -> list[Outcome]:
        """Throw letters away; what became of each."""
        return await self._exhume(tenant, letters, "purged")

    async def _exhume(
        self, tenant: str, letters: Sequence[DeadLetter], done: Literal["replayed", "purged"]
    ) -> list[Outcome]:
        queue, replay = self._broker.keys.callbacks(tenant), int(done == "replayed")
        outcomes: list[Outcome] = []
        for batch in _batches(letters):
            reply = await self._broker.run("exhume", queue, replay, *batch)
            outcomes.extend(_outcome(copies, done) for copies in cast("list[int]", reply))
        return outcomes


def _outcome(copies: int, done: Outcome) -> Outcome:
    if copies == 0:
        return "gone"
    return done if copies > 0 else "cut"


def _batches(letters: Sequence[DeadLetter]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for letter in letters:
        batch.append(letter.entry)
        if sum(map(len, batch)) >= _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _letter(entry: bytes) -> DeadLetter:
    split = 2 + int.from_bytes(entry[:2])
    reason, at, size, digest = _head(entry[2:split])
    name = hashlib.sha256(entry).hexdigest()[:12]
    callback = entry[split:].decode("utf-8", "replace")
    return DeadLetter(name, reason, rfc3339(at), size, digest, callback, at, entry)
