"""The peers, one description each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from benchmarks.peers.homes import Home, NodeModules, OwnEnvironment, ThisEnvironment

Wire = Literal["plain", "socketio", "langgraph", "floor"]


@dataclass(frozen=True)
class Peer:
    """A program that does what the service does; `{port}` in its command is where it listens on 127.0.0.1."""

    name: str
    says: str
    """What it is, on one line."""
    wire: Wire
    home: Home
    command: tuple[str, ...]
    """Without the program, which is its home's."""
    packages: tuple[str, ...]
    """Whose versions matter."""
    agent: tuple[str, ...] = ()
    """The command of an agent that is part of it, a process of its own which prints `ready`. Else agents use lists."""
    ready: str = "/health"
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def scripted(self) -> bool:
        """Whether the message itself has to say how it is answered: `Script`."""
        return bool(self.agent) or self.wire == "langgraph"

    def versions(self) -> str:
        """`name version` of each package, with commas."""
        return ", ".join(f"{package} {self.home.version(package)}" for package in self.packages)


def _uvicorn(app: str, *options: str) -> tuple[str, ...]:
    quiet = ("--no-access-log", "--log-level", "warning")
    return ("-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "{port}", *quiet, *options)


FLOOR: Final = Peer(
    name="floor",
    says="bare uvicorn: reads a request, answers; sends frames in a loop",
    wire="floor",
    home=ThisEnvironment("uvicorn"),
    command=_uvicorn(
        "benchmarks.peers.floor.app:app",
        *("--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio"),
    ),
    packages=("uvicorn", "uvloop", "httptools", "websockets"),
)

PEERS: Final = (
    Peer(
        name="fastapi_lists",
        says="FastAPI, Redis lists by BRPOP, Pub/Sub between replicas",
        wire="plain",
        home=ThisEnvironment("fastapi"),
        command=_uvicorn("benchmarks.peers.fastapi_lists.app:app"),
        packages=("fastapi", "pydantic", "redis", "hiredis", "uvicorn", "uvloop", "httptools", "websockets"),
    ),
    Peer(
        name="fastify",
        says="Node: Fastify, Redis lists by BRPOP, Pub/Sub between replicas",
        wire="plain",
        home=NodeModules("fastify"),
        command=("server.js",),
        packages=("node", "fastify", "@fastify/websocket", "ws", "ioredis"),
    ),
    Peer(
        name="socketio_bullmq",
        says="Node: Fastify, Socket.IO with its Redis adapter, BullMQ; its agent is a BullMQ worker",
        wire="socketio",
        home=NodeModules("socketio_bullmq"),
        command=("server.js",),
        agent=("agent.js",),
        packages=("node", "fastify", "socket.io", "@socket.io/redis-adapter", "bullmq", "ioredis"),
    ),
    Peer(
        name="python_socketio",
        says="FastAPI, python-socketio with its Redis manager, Redis lists by BRPOP",
        wire="socketio",
        home=ThisEnvironment("socketio"),
        command=_uvicorn("benchmarks.peers.python_socketio.app:app"),
        packages=("python-socketio", "python-engineio", "fastapi", "redis", "uvicorn", "uvloop"),
    ),
    Peer(
        name="langgraph_dev",
        says="LangGraph's development server, in memory; its agent runs in it",
        wire="langgraph",
        home=OwnEnvironment("langgraph_dev"),
        command=(
            *("-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--allow-blocking"),
            *("--host", "127.0.0.1", "--port", "{port}", "--n-jobs-per-worker", "100"),
            *("--server-log-level", "WARNING"),
        ),
        packages=("langgraph-api", "langgraph-cli", "langgraph-runtime-inmem", "langgraph", "uvicorn"),
        ready="/ok",
        # It must neither tell anybody anything nor keep anything; it looks for no network.
        environment={
            "LANGSMITH_TRACING": "false",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "LANGGRAPH_DISABLE_FILE_PERSISTENCE": "true",
            "LOG_LEVEL": "ERROR",
        },
    ),
)
