"""Handles a tenant's callbacks: lets the script take them, and does what the script leaves to Python."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast

import msgspec

from orchestrator.broker.callbacks import CALLBACK_BYTES_MAX, HUGE_BYTES, ITEMS_PER_CALL, Callbacks, Delivered
from orchestrator.broker.connection import BrokerError, Refused
from orchestrator.delivery.endings import Endings
from orchestrator.metrics import Counter, Histogram, Metrics
from orchestrator.protocol.callbacks import read_callback, result_of
from orchestrator.protocol.tasks import ENDINGS
from orchestrator.telemetry import Log, LogEvent

QUESTION_BYTES_MAX: Final = 64 * 1024
"""A question is read whenever somebody looks at its session."""
STRIKES_MAX: Final = 3
"""A callback that the script cannot take that often is buried, so that it does not block its queue."""

# What is wrong with the server or our rights rather than with the callback is never the callback's end.
_SERVERS_OWN: Final = (
    "NOPERM",
    "ERR ACL failure in script",  # what NOPERM and MOVED are called inside a script
    "ERR Script attempted",
    "OOM",
    "READONLY",
    "MISCONF",
    "NOREPLICAS",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
)


class Handled(msgspec.Struct, frozen=True):
    """What is left after a call, by tenant."""

    more: list[str]
    """Those with more waiting; first whom the call did not come to, so that a heavy backlog starves nobody."""
    failed: list[str]
    """Those whose queue cannot be taken as the server is now: try again a while later."""
    many: frozenset[str] = frozenset()
    """Those with more than another call takes."""
    took: frozenset[str] = frozenset()
    """Those of whom something was taken, which rings the bell."""


class CallbackHandler:
    """Takes callbacks of some tenants and notes what became of them."""

    def __init__(
        self,
        callbacks: Callbacks,
        endings: Endings,
        attend: Callable[[str, int], Awaitable[None]],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._callbacks = callbacks
        self._endings = endings
        self._attend = attend
        self._metrics = metrics
        self._log = log
        self._strikes: dict[str, int] = {}
        self._finishing: set[str] = set()

    async def handle(self, tenants: list[str]) -> Handled:
        """Take what waits for `tenants`, within bounds.

        Raises `BrokerError` where Redis cannot be asked; nothing is lost by that.
        """
        served: list[str] = []
        passed_over: list[str] = []
        failed: list[str] = []
        replies = list(zip(tenants, await self._callbacks.deliver(tenants), strict=True))
        # What the script has done is noted for all, before anything that may fail is done for one.
        for tenant, delivered in replies:
            await self._note(tenant, delivered)
        for tenant, delivered in replies:
            if tenant in self._finishing:
                continue  # another call for it sees to what stops this one, too, and tells what is left
            last = await self._finish(tenant, delivered)
            if last.stop == "error":
                failed.append(tenant)
            elif last.left:
                (served if delivered.taken or last.taken else passed_over).append(tenant)
        many = frozenset(tenant for tenant, delivered in replies if _is_many(delivered))
        took = frozenset(tenant for tenant, delivered in replies if delivered.taken or delivered.stop)
        return Handled([*passed_over, *served], failed, many, took)

    async def is_any_left(self, tenants: list[str]) -> bool:
        """Whether there is something to take; costs a fraction of `handle`. Raises `BrokerError`."""
        return await self._callbacks.is_any_left(tenants)

    async def _finish(self, tenant: str, delivered: Delivered) -> Delivered:
        """Do what the script left undone; how the queue stands after it."""
        if delivered.taken:
            self._strikes.pop(tenant, None)  # another callback is at the head now
        if not delivered.stop:
            return delivered
        self._finishing.add(tenant)
        try:
            if delivered.stop == "big":
                return await self._take_big(tenant, delivered.size)
            return await self._strike(tenant, delivered)
        finally:
            self._finishing.discard(tenant)

    async def _take_big(self, tenant: str, size: int) -> Delivered:
        """Read one callback of over 40 KiB here, where it holds up nobody else's; a huge one stays where it is."""
        if size >= HUGE_BYTES:
            delivered = await self._callbacks.deliver_huge(tenant)
            await self._note(tenant, delivered)
            return delivered
        raw = await self._callbacks.peek(tenant)
        if raw is None:
            return Delivered(0, 0, "", "", 0)
        # In a thread: to repair a hostile one takes long enough for every socket here to feel it.
        envelope, verdict = await asyncio.to_thread(judge_big, raw)
        delivered = await self._callbacks.deliver_big(tenant, raw, envelope, verdict)
        await self._note(tenant, delivered)
        return await self._strike(tenant, delivered) if delivered.stop == "error" else delivered

    async def _strike(self, tenant: str, delivered: Delivered) -> Delivered:
        """The callback at the head could not be taken: try again, bury it at the third time."""
        self._log.warning(LogEvent.CALLBACK_FAILED, tenant_id=tenant, error=delivered.error)
        if delivered.error.startswith(_SERVERS_OWN):
            return delivered
        self._strikes[tenant] = self._strikes.get(tenant, 0) + 1
        raw = await self._callbacks.peek(tenant)
        if raw is None or self._strikes[tenant] < STRIKES_MAX:
            return msgspec.structs.replace(delivered, stop="")
        del self._strikes[tenant]
        try:
            buried = await self._callbacks.bury(tenant, raw, "undeliverable")
        except Refused:
            return delivered  # it lies with the tenant's keys, not with the callback
        await self._note(tenant, buried)
        return buried

    async def _note(self, tenant: str, delivered: Delivered) -> None:
        for what, count in delivered.counts.items():
            kind, _, label = what.partition("|")
            self._count(tenant, kind, label, count)
        for started in delivered.started:
            self._metrics.observe(Histogram.QUEUE, started.queue_micros / 1e6)
        self._endings.note_moves(delivered.moves)
        self._endings.note(tenant, delivered.ended)
        if delivered.due:
            # Lost, it waits for the agenda's next look: the tenant is looked at every minute.
            with suppress(BrokerError):
                await self._attend(tenant, delivered.due)

    def _count(self, tenant: str, what: str, label: str, count: int) -> None:
        match what:
            case "taken":
                self._metrics.count(Counter.CALLBACKS, label, by=count)
            case "retried":
                self._metrics.count(Counter.TASKS_RETRIED, label, by=count)
            case "dropped":
                self._metrics.count(Counter.CALLBACKS_DROPPED, label, by=count)
                self._log.debug(LogEvent.CALLBACK_DROPPED, tenant_id=tenant, reason=label, count=count)
            case "dead":
                self._metrics.count(Counter.DEAD_LETTERS, label, by=count)
                self._log.warning(LogEvent.DEAD_LETTER, tenant_id=tenant, reason=label, count=count)
            case "dead_overflow":
                self._metrics.count(Counter.DEAD_LETTERS, "overflow", by=count)
            case "publish_failed":
                self._log.error(LogEvent.PUBLISH_FAILED, tenant_id=tenant)
            case _:
                self._metrics.count(Counter.SEQ_GAPS, by=count)
                self._log.debug(LogEvent.SEQ_GAP, tenant_id=tenant, count=count)


def _is_many(delivered: Delivered) -> bool:
    return not delivered.stop and delivered.left > ITEMS_PER_CALL


def judge_big(raw: bytes) -> tuple[dict[str, Any] | None, str]:
    """The envelope of a large callback as deliver_big.lua takes it, and the verdict on its size.

    Over 1 MiB only an ending is of use: it ends its task as failed with `result_too_large`. Nothing is repaired then:
    that takes most of a second a MiB.
    """
    callback = read_callback(raw, repair=len(raw) <= CALLBACK_BYTES_MAX)
    if not callback:
        return None, "not_json"
    result = result_of(callback)
    told = ("action_type", "task_id", "status", "attempt", "seq", "lease", "retry", "took")
    envelope = {name: callback.get(name) for name in told}
    asks, is_piece = (callback.get("status") == status for status in ("input_required", "streaming"))
    envelope["delta"] = result.get("delta") if is_piece and isinstance(result.get("delta"), str) else None
    envelope["has_response"] = result.get("response") is not None
    envelope["has_result"] = bool(result)
    envelope["has_prompt"] = isinstance(result.get("prompt"), str) and result["prompt"] != ""
    envelope["question"], envelope["expires_in"] = result.get("question"), result.get("expires_in")
    if len(raw) <= (QUESTION_BYTES_MAX if asks else CALLBACK_BYTES_MAX):
        return _packable(envelope), ""
    return _packable(envelope), "result_too_large" if callback.get("status") in ENDINGS else "too_large"


def _packable(envelope: dict[str, Any]) -> dict[str, Any]:
    """Only what the script can judge: a number is a number there, everything else that is no text is a fault."""
    plain = {name: value for name, value in envelope.items() if value is not None}
    return {name: value if _is_packable(value) else False for name, value in plain.items()}


def _is_packable(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) < 2**63
    if isinstance(value, list):
        return all(isinstance(item, str) for item in cast("list[Any]", value))
    return isinstance(value, str | float)
