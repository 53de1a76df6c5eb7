"""The chat service as FastAPI and redis-py are taught: lists to and from the agents, Pub/Sub between replicas."""

# redis-py is typed in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import json
import logging
import os
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

from fastapi import FastAPI, Header, Query, Request, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

REDIS_URL: Final = os.environ["REDIS_URL"]
TENANTS: Final = os.environ.get("TENANTS", "tenant-456").split(",")
TASK_TTL: Final = 3600
IDLE: Final = "chat:idle"
FrameType = Literal["connection_ack", "agent_chunk", "agent_response", "error"]
FRAMES: Final[Mapping[str, FrameType]] = {
    "streaming": "agent_chunk",
    "completed": "agent_response",
    "failed": "error",
}

logger = logging.getLogger(__name__)


class Tier(StrEnum):
    """What a tenant pays for."""

    free = "free"
    advance = "advance"
    professional = "professional"
    enterprise = "enterprise"


class ChatHeaders(BaseModel):
    """Who sends, to whom, and in which session."""

    x_tenant_id: str = Field(min_length=1, max_length=128)
    x_agent_id: str = Field(min_length=1, max_length=128)
    x_tenant_tier: Tier
    x_session_id: str = Field(min_length=1, max_length=128)


class ChatMessage(BaseModel):
    """What is sent."""

    message: str = Field(min_length=1, max_length=32_768)


class Task(BaseModel):
    """What waits for an agent."""

    task_id: str = Field(default_factory=lambda: str(uuid4()))
    session_id: str
    tenant_id: str
    agent_id: str
    tier: Tier
    message: str
    callback_queue: str
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Accepted(BaseModel):
    """What the sender is told."""

    task_id: str
    status: Literal["queued"] = "queued"
    queue: str
    session_id: str


class Callback(BaseModel):
    """What an agent reports."""

    task_id: str
    status: Literal["streaming", "completed", "failed"]
    seq: int | None = None
    result: dict[str, Any] = {}


class Frame(BaseModel):
    """What a session's sockets are sent."""

    type: FrameType
    task_id: str | None = None
    session_id: str
    tenant_id: str
    timestamp: datetime = Field(default_factory=lambda: datetime.now(UTC))
    data: dict[str, Any] = {}


class ConnectionManager:
    """The sockets of this replica by channel; what is published on a channel goes to each of its sockets."""

    def __init__(self, redis: Redis) -> None:
        self._pubsub = redis.pubsub(ignore_subscribe_messages=True)
        self._sockets: defaultdict[str, set[WebSocket]] = defaultdict(set)

    async def connect(self, channel: str, websocket: WebSocket) -> None:
        """Subscribes with the first socket of a channel."""
        self._sockets[channel].add(websocket)
        if len(self._sockets[channel]) == 1:
            await self._pubsub.subscribe(channel)

    async def disconnect(self, channel: str, websocket: WebSocket) -> None:
        """Unsubscribes with the last one."""
        self._sockets[channel].discard(websocket)
        if not self._sockets[channel]:
            del self._sockets[channel]
            await self._pubsub.unsubscribe(channel)

    async def listen(self) -> None:
        """Forwards for ever."""
        await self._pubsub.subscribe(IDLE)  # without any subscription `listen` would end
        async for message in self._pubsub.listen():
            for websocket in list(self._sockets.get(message["channel"], ())):
                try:
                    await websocket.send_text(message["data"])
                except (WebSocketDisconnect, RuntimeError):
                    logger.info("a socket is gone; its own handler takes it out")


Tell = Callable[[Frame], Awaitable[None]]


async def work_callbacks(redis: Redis, tell: Tell) -> None:
    """Takes what agents report, one callback after the other, and tells it to its session."""
    queues = [f"orchestrator:{tenant}:callbacks" for tenant in TENANTS]
    while True:
        try:
            found = await redis.brpop(queues, timeout=1)
            if found:
                await handle_callback(redis, found[1], tell)
        except RedisError:
            logger.exception("Redis is away")
            await asyncio.sleep(1)


async def handle_callback(redis: Redis, raw: bytes | str, tell: Tell) -> None:
    """Finds the task's session and tells it."""
    try:
        callback = Callback.model_validate_json(raw)
    except ValidationError:
        logger.warning("not a callback: %r", raw)
        return
    stored = await redis.get(f"task:{callback.task_id}")
    if stored is None:
        logger.warning("no such task: %s", callback.task_id)
        return
    data = {"status": callback.status, **callback.result}
    if callback.seq is not None:
        data["seq"] = callback.seq
    await tell(Frame(type=FRAMES[callback.status], task_id=callback.task_id, data=data, **json.loads(stored)))


async def enqueue(redis: Redis, headers: ChatHeaders, body: ChatMessage) -> Accepted:
    """The task lies in its agent's queue, and its session is known."""
    task = Task(
        session_id=headers.x_session_id,
        tenant_id=headers.x_tenant_id,
        agent_id=headers.x_agent_id,
        tier=headers.x_tenant_tier,
        message=body.message,
        callback_queue=f"orchestrator:{headers.x_tenant_id}:callbacks",
    )
    queue = f"execution:{task.agent_id}:{task.tier}"
    session = json.dumps({"session_id": task.session_id, "tenant_id": task.tenant_id})
    async with redis.pipeline() as pipe:
        pipe.set(f"task:{task.task_id}", session, ex=TASK_TTL)
        pipe.lpush(queue, task.model_dump_json())
        await pipe.execute()
    return Accepted(task_id=task.task_id, queue=queue, session_id=task.session_id)


def channel_of(tenant_id: str, session_id: str) -> str:
    """Where what a session is told is published."""
    return f"chat:{tenant_id}:{session_id}"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Redis, the worker and the listener live as long as the app."""
    # The pool of redis-py ends at 100 connections unless it is told otherwise, and fails the call that wants one more.
    redis = Redis.from_url(REDIS_URL, decode_responses=True, max_connections=10_000)
    app.state.redis = redis
    app.state.connections = ConnectionManager(redis)

    async def publish(frame: Frame) -> None:
        await redis.publish(channel_of(frame.tenant_id, frame.session_id), frame.model_dump_json())

    background = [
        asyncio.create_task(work_callbacks(redis, publish)),
        asyncio.create_task(app.state.connections.listen()),
    ]
    yield
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    await redis.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Whether Redis answers."""
    await request.app.state.redis.ping()
    return {"status": "healthy"}


@app.post("/api/chat/send", status_code=202)
async def send(request: Request, headers: Annotated[ChatHeaders, Header()], body: ChatMessage) -> Accepted:
    """Queues a message for its agent."""
    return await enqueue(request.app.state.redis, headers, body)


@app.websocket("/ws/{session_id}")
async def follow(
    websocket: WebSocket, session_id: str, tenant_id: Annotated[str, Query(min_length=1)], tier: Tier
) -> None:
    """Sends everything of a session until the client leaves."""
    connections: ConnectionManager = websocket.app.state.connections
    channel = channel_of(tenant_id, session_id)
    await websocket.accept()
    await connections.connect(channel, websocket)
    try:
        ack = Frame(
            type="connection_ack", session_id=session_id, tenant_id=tenant_id, data={"tenant_tier": tier}
        )
        await websocket.send_text(ack.model_dump_json())
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        await connections.disconnect(channel, websocket)
