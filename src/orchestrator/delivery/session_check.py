"""Compares what sockets have with where their logs stand; that keeps the logs, and tells of the sockets, too."""

import asyncio
from collections.abc import Iterator
from typing import Final

from orchestrator.broker.callbacks import QUEUES_PER_CALL
from orchestrator.broker.logs import Logs, Touch
from orchestrator.delivery.websocket_manager import WebSocketManager

SESSIONS_PER_CALL: Final = 100
TOLD_AT_ONCE: Final = 200


async def check_sessions(
    manager: WebSocketManager, logs: Logs, replica: str, *, busy: bool, is_cluster: bool
) -> None:
    """Look at sessions that may have a task under way, or at all, many a call. Raises `BrokerError`."""
    for some in _calls(manager, busy=busy, is_cluster=is_cluster):
        for one, tops in zip(some, await logs.touch(replica, some), strict=True):
            manager.check(one.tenant, one.sessions, tops)


async def tell_sockets(manager: WebSocketManager, logs: Logs, replica: str) -> None:
    """Tell how many sockets each tenant has here, where that is another number than before. Raises `BrokerError`."""
    counts = manager.changed_counts()
    for start in range(0, len(counts), TOLD_AT_ONCE):
        some = counts[start : start + TOLD_AT_ONCE]
        await asyncio.gather(*(logs.tell_sockets(name, replica, count) for name, count in some))


def _calls(manager: WebSocketManager, *, busy: bool, is_cluster: bool) -> Iterator[list[Touch]]:
    tenants_max = 1 if is_cluster else QUEUES_PER_CALL  # in a Cluster tenants lie in different slots
    call: list[Touch] = []
    size = 0
    for tenant, sessions in manager.sessions_to_check(busy=busy):
        sockets = 0 if busy else manager.count_of(tenant)
        for start in range(0, len(sessions), SESSIONS_PER_CALL):
            some = sessions[start : start + SESSIONS_PER_CALL]
            if size + len(some) > SESSIONS_PER_CALL or len(call) == tenants_max:
                yield call
                call, size = [], 0
            call.append(Touch(tenant, some, sockets))
            size += len(some)
    if call:
        yield call
