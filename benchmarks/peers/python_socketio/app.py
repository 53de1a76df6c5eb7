"""The chat service as python-socketio is taught: rooms by an `AsyncRedisManager`, FastAPI and Redis lists beside it."""

# python-socketio and redis-py are typed in part.
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import parse_qs

import socketio
from benchmarks.peers.fastapi_lists.app import (
    REDIS_URL,
    Accepted,
    ChatHeaders,
    ChatMessage,
    Frame,
    Tier,
    channel_of,
    enqueue,
    work_callbacks,
)
from fastapi import FastAPI, Header, Request
from pydantic import BaseModel, Field, ValidationError
from redis.asyncio import Redis
from socketio.exceptions import ConnectionRefusedError  # noqa: A004 - python-socketio calls it so


class Handshake(BaseModel):
    """What a client says of itself in the query of its handshake."""

    tenant_id: str = Field(min_length=1)
    tier: Tier
    session_id: str = Field(min_length=1)


# `connect` emits, so the client has to be connected by then.
sio = socketio.AsyncServer(
    async_mode="asgi", client_manager=socketio.AsyncRedisManager(REDIS_URL), always_connect=True
)


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    """The socket joins its session's room."""
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    try:
        hello = Handshake.model_validate(query)
    except ValidationError as error:
        raise ConnectionRefusedError("tenant_id, tier and session_id are needed") from error
    await sio.enter_room(sid, channel_of(hello.tenant_id, hello.session_id))
    ack = Frame(
        type="connection_ack",
        session_id=hello.session_id,
        tenant_id=hello.tenant_id,
        data={"tenant_tier": hello.tier},
    )
    await sio.emit(ack.type, ack.model_dump(mode="json"), to=sid)


async def tell(frame: Frame) -> None:
    """Whichever replica has sockets in the room sends it."""
    room = channel_of(frame.tenant_id, frame.session_id)
    await sio.emit(frame.type, frame.model_dump(mode="json"), room=room)


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncGenerator[None]:
    """Redis and the worker live as long as the app."""
    # The pool of redis-py ends at 100 connections unless it is told otherwise, and fails the call that wants one more.
    redis = Redis.from_url(REDIS_URL, decode_responses=True, max_connections=10_000)
    api.state.redis = redis
    worker = asyncio.create_task(work_callbacks(redis, tell))
    yield
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    await redis.aclose()


api = FastAPI(lifespan=lifespan)


@api.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Whether Redis answers."""
    await request.app.state.redis.ping()
    return {"status": "healthy"}


@api.post("/api/chat/send", status_code=202)
async def send(request: Request, headers: Annotated[ChatHeaders, Header()], body: ChatMessage) -> Accepted:
    """Queues a message for its agent."""
    return await enqueue(request.app.state.redis, headers, body)


app = socketio.ASGIApp(sio, other_asgi_app=api)
