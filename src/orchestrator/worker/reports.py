"""What a worker reports about one attempt at a task (contract §5)."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from orchestrator.protocol.tasks import DEFAULT_MESSAGES, CallbackStatus
from orchestrator.worker.outbox import Outbox

LARGEST_CALLBACK: Final = 1 << 20
"""Bytes; the service refuses more."""
_MOST_TOOK: Final = 100
"""Ids; the service reads no more of one callback."""
LARGEST_QUESTION: Final = 64 * 1024
"""Bytes of the callback; the service keeps it as long as the question is open."""


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt failed, in words that viewers may read."""

    type: str
    message: str
    code: str


class ResultTooLargeError(Exception):
    """The answer is longer than a callback may be."""

    failure: Final = Failure("WorkerError", DEFAULT_MESSAGES["result_too_large"], "result_too_large")


_Status = CallbackStatus | Literal["input_required"]


class Callback(msgspec.Struct, frozen=True, kw_only=True, tag_field="action_type", tag="execution.callback"):
    """One element of a callback queue."""

    task_id: str
    status: _Status
    attempt: int | msgspec.UnsetType = msgspec.UNSET
    seq: int | msgspec.UnsetType = msgspec.UNSET
    result: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    execution_time: float | msgspec.UnsetType = msgspec.UNSET
    tokens_used: Any | msgspec.UnsetType = msgspec.UNSET
    lease: float | msgspec.UnsetType = msgspec.UNSET
    """Seconds without a sign of the agent after which the next attempt may begin."""
    retry: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether another attempt may do better."""
    took: Sequence[str] | msgspec.UnsetType = msgspec.UNSET
    """The tasks whose messages this attempt has read and answers along with its own."""


class Question(msgspec.Struct, frozen=True):
    """What a person is asked; `question` counts the questions of an attempt: "1", "2", …"""

    prompt: str
    schema: dict[str, Any] | None
    question: str
    expires_in: float


class Reports:
    """The callbacks of one attempt, in the order in which they are awaited.

    Chunks that follow each other within `chunk_interval` seconds become one; 0 is for none.
    """

    def __init__(
        self,
        task_id: str,
        attempt: int | msgspec.UnsetType,
        send: Callable[[bytes], Awaitable[None]],
        chunk_interval: float = 0.0,
    ) -> None:
        self._task_id = task_id
        self._attempt = attempt
        self._send = send
        self._outbox = Outbox(self._send_chunk, chunk_interval)
        self._began = time.monotonic()
        self._chunks: list[str] = []
        self._size = 0
        self._seq = 0
        self._tokens = Counter[str]()
        self._over = False

    @property
    def text(self) -> str:
        """All chunks so far, joined."""
        return "".join(self._chunks)

    async def running(self, lease: float | None = None) -> None:
        """An agent has the task; with `lease` it asks to be watched: see `Callback.lease`."""
        self._go_on()
        await self._send(self._encoded("running", lease=lease or msgspec.UNSET))

    async def chunk(self, delta: str) -> None:
        """A piece of the answer; ResultTooLargeError once the pieces make no ending any more."""
        self._go_on()
        self._size += len(delta.encode())
        if self._size > LARGEST_CALLBACK:
            raise ResultTooLargeError
        self._chunks.append(delta)
        await self._outbox.put(delta)

    async def progress(self, detail: dict[str, Any]) -> None:
        """Anything else worth showing. ValueError where it is too large, TypeError where no JSON."""
        self._go_on()
        callback = self._encoded("progress", result=detail)
        if len(callback) > LARGEST_CALLBACK:
            raise ValueError(f"what is emitted has {len(callback)} bytes, more than {LARGEST_CALLBACK}")
        await self._in_turn(callback)

    async def took(self, task_ids: Sequence[str]) -> None:
        """The messages of these tasks were read."""
        self._go_on()
        for start in range(0, len(task_ids), _MOST_TOOK):
            await self._in_turn(self._encoded("running", took=task_ids[start : start + _MOST_TOOK]))

    async def asked(self, question: Question) -> None:
        """A person has to answer before it goes on. ValueError where the question is too large."""
        self._go_on()
        callback = self._encoded("input_required", result=msgspec.to_builtins(question))
        if len(callback) > LARGEST_QUESTION:
            raise ValueError(f"the question has {len(callback)} bytes, more than {LARGEST_QUESTION}")
        await self._in_turn(callback)

    def tokens_used(self, tokens: Mapping[str, int]) -> None:
        """Adds to what the ending tells."""
        self._tokens.update(tokens)

    def drop(self) -> None:
        """Nobody listens any more: forgets the chunks that are not sent, and takes only an ending."""
        self._over = True
        self._outbox.drop()

    async def completed(self, result: dict[str, Any]) -> Failure | None:
        """The answer; what had to be reported instead where it is too large.

        `tokens_used` in `result` goes to the callback's member of that name. TypeError or
        ValueError where `result` is not JSON.
        """
        members = dict(result)
        tokens = {"tokens_used": members.pop("tokens_used")} if "tokens_used" in members else {}
        ending = self._ending("completed", members, **tokens)
        if len(ending) > LARGEST_CALLBACK:
            await self.failed(ResultTooLargeError.failure)
            return ResultTooLargeError.failure
        await self._in_turn(ending)
        return None

    async def failed(self, failure: Failure, *, retry: bool = False) -> None:
        """The attempt failed, and the task with it unless another may `retry`."""
        again = retry or msgspec.UNSET
        ending = self._ending("failed", {"error": failure}, retry=again)
        if len(ending) > LARGEST_CALLBACK:
            ending = self._ending("failed", {"error": ResultTooLargeError.failure}, retry=again)
        await self._in_turn(ending)

    def _go_on(self) -> None:
        """Ends an agent here that kept its cancellation to itself."""
        if self._over:
            raise asyncio.CancelledError

    async def _in_turn(self, callback: bytes) -> None:
        """Sends what must not overtake the text before it."""
        await self._outbox.flush()
        await self._send(callback)

    async def _send_chunk(self, piece: str) -> None:
        seq, self._seq = self._seq, self._seq + 1
        await self._send(self._encoded("streaming", result={"delta": piece}, seq=seq))

    def _ending(self, status: CallbackStatus, result: dict[str, Any], **members: Any) -> bytes:
        seconds = round(time.monotonic() - self._began, 3)
        tokens = dict(self._tokens) or msgspec.UNSET
        return self._encoded(
            status, result=result, execution_time=seconds, **{"tokens_used": tokens, **members}
        )

    def _encoded(self, status: _Status, **members: Any) -> bytes:
        callback = Callback(task_id=self._task_id, status=status, attempt=self._attempt, **members)
        return msgspec.json.encode(callback)
