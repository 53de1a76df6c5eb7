"""What a worker reports about one attempt at a task (contract §5)."""

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec

from orchestrator.protocol.tasks import DEFAULT_MESSAGES, CallbackStatus

LARGEST_CALLBACK: Final = 1 << 20
"""Bytes; the service refuses more."""
LARGEST_CHUNK: Final = 32 * 1024
"""Bytes of UTF-8; a longer piece of text is reported in several."""


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt failed, in words that viewers may read."""

    type: str
    message: str
    code: str


class ResultTooLargeError(Exception):
    """The answer is longer than a callback may be."""

    failure: Final = Failure("WorkerError", DEFAULT_MESSAGES["result_too_large"], "result_too_large")


class Callback(msgspec.Struct, frozen=True, kw_only=True, tag_field="action_type", tag="execution.callback"):
    """One element of a callback queue."""

    task_id: str
    status: CallbackStatus
    attempt: int | msgspec.UnsetType = msgspec.UNSET
    seq: int | msgspec.UnsetType = msgspec.UNSET
    result: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    execution_time: float | msgspec.UnsetType = msgspec.UNSET
    tokens_used: Any | msgspec.UnsetType = msgspec.UNSET


class Reports:
    """The callbacks of one attempt, in the order in which they are awaited."""

    def __init__(
        self,
        task_id: str,
        attempt: int | msgspec.UnsetType,
        send: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._task_id = task_id
        self._attempt = attempt
        self._send = send
        self._began = time.monotonic()
        self._chunks: list[str] = []
        self._size = 0
        self._seq = 0

    @property
    def text(self) -> str:
        """All chunks so far, joined."""
        return "".join(self._chunks)

    async def running(self) -> None:
        """An agent has the task."""
        await self._send(self._encoded("running"))

    async def chunk(self, delta: str) -> None:
        """A piece of the answer; ResultTooLargeError once the pieces make no ending any more."""
        self._size += len(delta.encode())
        if self._size > LARGEST_CALLBACK:
            raise ResultTooLargeError
        self._chunks.append(delta)
        for piece in _pieces(delta):
            seq, self._seq = self._seq, self._seq + 1
            await self._send(self._encoded("streaming", result={"delta": piece}, seq=seq))

    async def completed(self, result: dict[str, Any]) -> Failure | None:
        """The answer; what had to be reported instead where it is too large.

        `tokens_used` in `result` goes to the callback's member of that name. TypeError or
        ValueError where `result` is not JSON.
        """
        members = dict(result)
        tokens = members.pop("tokens_used", msgspec.UNSET)
        ending = self._ending("completed", members, tokens_used=tokens)
        if len(ending) > LARGEST_CALLBACK:
            await self.failed(ResultTooLargeError.failure)
            return ResultTooLargeError.failure
        await self._send(ending)
        return None

    async def failed(self, failure: Failure) -> None:
        """The attempt failed, and the task with it."""
        ending = self._ending("failed", {"error": failure})
        if len(ending) > LARGEST_CALLBACK:
            ending = self._ending("failed", {"error": ResultTooLargeError.failure})
        await self._send(ending)

    def _ending(self, status: CallbackStatus, result: dict[str, Any], **members: Any) -> bytes:
        seconds = round(time.monotonic() - self._began, 3)
        return self._encoded(status, result=result, execution_time=seconds, **members)

    def _encoded(self, status: CallbackStatus, **members: Any) -> bytes:
        callback = Callback(task_id=self._task_id, status=status, attempt=self._attempt, **members)
        return msgspec.json.encode(callback)


def _pieces(text: str) -> Iterator[str]:
    if len(text.encode()) <= LARGEST_CHUNK:
        if text:
            yield text
        return
    # No character takes more than four bytes, so that many characters always fit.
    for start in range(0, len(text), LARGEST_CHUNK // 4):
        yield text[start : start + LARGEST_CHUNK // 4]
