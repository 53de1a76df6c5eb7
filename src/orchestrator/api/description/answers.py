"""The bodies of answers that the service puts together without a type of their own.

Nothing is encoded with these: tests hold them against what a running server answers.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct

from orchestrator.api.description.values import Count, Id, Left, Position, Seconds
from orchestrator.broker.queues import QueueRow
from orchestrator.protocol.ledger import Ledger
from orchestrator.protocol.tasks import EndStatus
from orchestrator.protocol.tiers import Tier


class SessionView(Struct):
    """What a client shows of a session when it cannot resume."""

    position: Position
    tasks: Annotated[
        list[Ledger], Meta(description="Open tasks and the newest ended ones, the newest first.")
    ]


class TaskCounts(Struct):
    """Tasks as they are now, and endings of the last 24 hours."""

    queued: Count
    running: Count
    completed: Count
    failed: Count
    timeout: Count
    cancelled: Count


class Latency(Struct):
    """Seconds from the acceptance of a task to its ending; null where none ended. Read from steps of 19 %."""

    p50_seconds: Seconds | None
    p95_seconds: Seconds | None
    p99_seconds: Seconds | None


class Period(Struct):
    """What happened in a period."""

    accepted: Count
    completed: Count
    failed: Count
    timeout: Count
    cancelled: Count
    latency: Latency


class TenantStats(Struct):
    """Figures of one tenant."""

    tenant_id: Id
    tasks: TaskCounts
    outstanding: Annotated[Count, Meta(description="Tasks without an ending.")]
    by_agent: Annotated[
        dict[str, dict[Literal["accepted", EndStatus], Count]],
        Meta(description="Accepted tasks and endings of the last 24 hours, by context id."),
    ]
    latency: Annotated[Latency, Meta(description="Of the last 24 hours.")]
    last_hour: Period
    last_day: Period
    callbacks_waiting: Annotated[Count, Meta(description="Callbacks in the tenant's queue.")]
    dead_letters: Annotated[Count, Meta(description="Callbacks kept because they could not be used.")]


class Health(Struct):
    """Whether the service does its work.

    Unhealthy: Redis cannot be reached, or takes no writes. Degraded: without the database cached answers go on, and
    nobody new gets in; without the issuer's keys, which were never obtained, nobody does; without delivery (a publish
    does not come back) events are read from the log, seconds late.
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    failing: list[Literal["redis", "delivery", "database", "issuer"]] | Left = UNSET


class Liveness(Struct):
    """The process answers; nothing outside of it matters."""

    status: Literal["alive"]


class Readiness(Struct):
    """Whether this replica can deliver, proven by a publish that came back, and verify tokens."""

    status: Literal["ready", "draining", "not_ready"]
    failing: list[Literal["redis", "delivery", "issuer"]] | Left = UNSET


class States(Struct):
    """WebSockets and streams by what they do: catch up with the log, or follow it live."""

    replay: Count | Left = UNSET
    live: Count | Left = UNSET
    closed: Count | Left = UNSET


class SocketStats(Struct):
    """The open WebSockets and event streams of the deployment, or of one tenant in it."""

    total: Count
    by_tenant: Annotated[
        dict[str, Count],
        Meta(description="The 100 tenants with the most.", extra_json_schema={"maxProperties": 100}),
    ]
    by_tier: dict[Tier, Count]
    by_state: States
    replicas: Annotated[Count, Meta(description="Live replicas that told of their sockets.")]


class TaskSums(Struct):
    """Tasks since the deployment began. A status without an ending may be missing."""

    accepted: Count
    completed: Count | Left = UNSET
    failed: Count | Left = UNSET
    timeout: Count | Left = UNSET
    cancelled: Count | Left = UNSET


class CallbackSums(Struct):
    """Callbacks since the deployment began."""

    taken: Annotated[dict[str, Count], Meta(description="By status.")]
    dropped: Annotated[dict[str, Count], Meta(description="By reason: `late`, `fenced`, `duplicate`, …")]
    dead_letters: Annotated[dict[str, Count], Meta(description="By reason.")]


class SocketSums(Struct):
    """Sockets as they are now."""

    total: Count
    by_tier: dict[Tier, Count]
    by_state: States


class Percentiles(Struct):
    """Seconds; null where nothing was measured yet."""

    p50: Seconds | None
    p95: Seconds | None
    p99: Seconds | None


class Latencies(Struct):
    """How long tasks took."""

    answer_seconds: Annotated[Percentiles, Meta(description="From acceptance to ending.")]
    queue_seconds: Annotated[Percentiles, Meta(description="From acceptance to the first attempt's start.")]


class Overview(Struct):
    """The whole deployment at a glance."""

    tasks: TaskSums
    callbacks: CallbackSums
    websockets: SocketSums
    latency: Latencies
    replicas: Count
    uptime_seconds: Annotated[Seconds, Meta(description="Of the replica that runs longest.")]


class QueueTotals(Struct):
    """Elements that wait, by kind of queue."""

    execution: Count
    callbacks: Count


class QueueStats(Struct):
    """The queues that were used of late, and how much waits in them."""

    queues: list[QueueRow]
    totals: QueueTotals
