"""Both ends of many conversations: people who send one message after the other, an agent that streams answers."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from uuid import uuid4

import httpx
import redis.asyncio
from tests.contract.client import Tenant
from tests.viewer import Viewer

from benchmarks.measures import CALLBACKS, QUEUE, TENANT
from orchestrator.embedded import DEMO_TENANT

DEMO: Final = Tenant(DEMO_TENANT, "professional", "agent-123")
PUSH_SECONDS: Final = 0.005
ARRIVAL_SECONDS: Final = 10.0
"""Within which all have begun to talk."""
POSTS_AT_ONCE: Final = 50
_AGAIN_SECONDS: Final = 0.1


class Speech(NamedTuple):
    """How the agent answers in a session."""

    pieces: int
    """Of each answer."""
    every: float
    """Seconds from one to the next."""
    piece: Callable[[int], str]
    streamed: bool = True
    """As the text of the answer; else as progress, of which each piece is an event by itself for ever."""


class Talk:
    """Every message that was accepted, and what was answered to it."""

    def __init__(
        self, agent: redis.asyncio.Redis, http: httpx.AsyncClient, entrance: Callable[[], str]
    ) -> None:
        """`entrance` names where the next request goes: `http://host:port`."""
        self.over: Final = asyncio.Event()
        self.pushed = 0
        self.tasks: defaultdict[str, list[str]] = defaultdict(list)
        """By session."""
        self.said: dict[str, int] = {}
        """Hash of each task's answer."""
        self.spoken: dict[str, int] = {}
        """Pieces of each task's answer."""
        self._agent, self._http, self._entrance = agent, http, entrance
        self._posts = asyncio.Semaphore(POSTS_AT_ONCE)
        self._speeches: dict[str, Speech] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._reports: list[str] = []

    async def converse(self, session: str, speech: Speech) -> None:
        """One message after the other, each once the last was answered, until it is over."""
        self._speeches[session] = speech
        await asyncio.sleep(random.random() * ARRIVAL_SECONDS)
        while not self.over.is_set():
            task = await self._send(session)
            self.tasks[session].append(task)
            await self._ended.setdefault(task, asyncio.Event()).wait()

    @asynccontextmanager
    async def answering(self) -> AsyncGenerator[None]:
        """While the agent is there; what it has begun it ends."""
        working = [asyncio.create_task(self._take()), asyncio.create_task(self._push())]
        try:
            yield
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    def missing(self, viewers: Iterable[Viewer]) -> int:
        """Answers that did not reach who follows their session, or not as they were said."""
        return sum(
            viewer.answers.get(task) != self.said[task]
            for viewer in viewers
            for task in self.tasks[viewer.session]
        )

    async def _send(self, session: str) -> str:
        """Sent until it is accepted: the key makes that once."""
        headers = {**TENANT, "X-Session-ID": session, "Idempotency-Key": uuid4().hex}
        while True:
            answer = await self._post(headers)
            if answer is not None and answer.status_code == 202:
                return str(answer.json()["task_id"])
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _post(self, headers: dict[str, str]) -> httpx.Response | None:
        body = {"message": "go", "timeout": 3000}
        async with self._posts:  # a pool of connections is slow where thousands wait for one
            try:
                return await self._http.post(f"{self._entrance()}/api/chat/send", headers=headers, json=body)
            except httpx.TransportError:
                return None

    async def _take(self) -> None:
        async with asyncio.TaskGroup() as answers:
            while True:
                found: Any = await self._agent.brpop([QUEUE], timeout=1)  # pyright: ignore[reportGeneralTypeIssues]
                if found:
                    answers.create_task(self._answer(json.loads(found[1])))

    async def _answer(self, task: dict[str, Any]) -> None:
        name, speech, number = task["task_id"], self._speeches[task["session_id"]], 0
        said: list[str] = []
        while number < speech.pieces and not self.over.is_set():
            piece = speech.piece(number)
            if speech.streamed:
                said.append(piece)
                self._report(name, "streaming", seq=number, result={"delta": piece})
            else:
                self._report(name, "progress", result={"piece": piece})
            number += 1
            await asyncio.sleep(speech.every)
        self._report(name, "completed", result={"response": "".join(said)})
        self.said[name], self.spoken[name] = hash("".join(said)), number
        self._ended.setdefault(name, asyncio.Event()).set()

    def _report(self, task: str, status: str, **members: Any) -> None:
        self._reports.append(json.dumps({"task_id": task, "status": status, **members}))

    async def _push(self) -> None:
        """A few milliseconds' worth at a time, or the load would cost more than what it measures."""
        while True:
            await asyncio.sleep(PUSH_SECONDS)
            some, self._reports = self._reports, []
            for start in range(0, len(some), 100):
                await self._agent.lpush(CALLBACKS, *some[start : start + 100])
            self.pushed += len(some)
