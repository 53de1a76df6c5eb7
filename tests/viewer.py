"""A client that comes back: it follows a session over any replicas and proves by arithmetic what it saw."""

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from tests.contract.client import Tenant
from tests.line import AT_ONCE, Line

from orchestrator.protocol.position import Position, parse_position

BACK_OFF_SECONDS: Final = 0.2
_ENDINGS: Final = {"agent_response", "error"}
_TOLD_WHEN: Final = {1012, 1013, 4429}
_decode: Final = msgspec.json.Decoder().decode


class Absence(NamedTuple):
    """A time without a connection; moments are of `time.perf_counter()`."""

    code: int
    reason: str
    left: float
    dialled: float
    """When the attempt began that succeeded."""
    back: float
    caught_up: float
    """When it had read up to where the log stood as it came back."""


class Viewer:
    """Follows one session until `stop()`, however often its connection ends. What it proves are counts that stay 0."""

    def __init__(self, session: str, tenant: Tenant, replica: Callable[[], str]) -> None:
        """`replica` names where the next attempt goes: `ws://host:port`."""
        self.session: Final = session
        self.at_once, self.pause = AT_ONCE, 0.0
        self.holds: Callable[[], float | None] = lambda: None
        """Seconds until the next connection is torn."""
        self.offline: float | None = None
        """Seconds away after that; None: as the server says, or a short while."""
        self.on_event: Callable[[dict[str, Any]], None] = lambda _: None
        self.on_close: Callable[[int, str], None] = lambda _code, _reason: None
        self.breaks = self.repeats = self.unrecovered = 0
        self.reached: Position | None = None
        self.endings: Counter[str] = Counter()
        self.answers: dict[str, int] = {}
        """Hash of each response."""
        self.shown: defaultdict[str, list[str]] = defaultdict(list)
        """Text of each task that streams, by pieces."""
        self.merged = 0
        """Frames that stood for several events."""
        self.misread = 0
        """Responses that do not begin with what was shown."""
        self.absences: list[Absence] = []
        self._tenant = tenant
        self._replica = replica
        self._left: tuple[int, str, float] | None = None
        self._dialled = self._back = 0.0
        self._target: int | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def offset(self) -> int:
        """Up to where it has everything."""
        return self.reached.offset if self.reached else -1

    @property
    def connected(self) -> bool:
        """Whether it follows, and has caught up since it came."""
        return self.reached is not None and self._left is None

    @property
    def faults(self) -> dict[str, int]:
        """What may not be."""
        counts = {"breaks": self.breaks, "repeats": self.repeats, "unrecovered": self.unrecovered}
        twice = sum(times - 1 for times in self.endings.values())
        return {name: n for name, n in {**counts, "ended twice": twice, "misread": self.misread}.items() if n}

    def start(self) -> None:
        """Connects, and goes on by itself."""
        self._following = asyncio.create_task(self._follow())

    async def dial_anew(self, at_once: int, pause: float) -> None:
        """Leaves and comes back, to read at another pace."""
        await self.stop()
        self.at_once, self.pause = at_once, pause
        self.start()

    async def stop(self) -> None:
        """Leaves."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            if not self._following.cancelled() and (fault := self._following.exception()):
                raise fault

    async def _follow(self) -> None:
        while True:
            wait = await self._connected()
            await asyncio.sleep(wait)

    async def _connected(self) -> float:
        """One connection from its beginning to its end; how long to wait for the next."""
        self._dialled = time.perf_counter()
        line = Line(self._url(), at_once=self.at_once, pause=self.pause)
        torn = False
        try:
            async with asyncio.timeout(self.holds()):
                await self._read(line)
        except TimeoutError:
            torn = True
        except OSError:
            pass  # refused or broken: as if it had been closed without a word
        finally:
            line.end(torn=torn)
        return self._note_end(*line.closed_with, torn=torn)

    async def _read(self, line: Line) -> None:
        await line.open()
        while (texts := await line.read()) is not None:
            for text in texts:
                self._take(_decode(text))

    def _url(self) -> str:
        query = {"tenant_id": self._tenant.id, "tier": self._tenant.tier}
        if self.reached:
            query["position"] = str(self.reached)
        return f"{self._replica()}/ws/{quote(self.session)}?{urlencode(query)}"

    def _note_end(self, code: int, reason: str, *, torn: bool) -> float:
        if self._left is None and self.reached:
            self._left = code, reason, time.perf_counter()
        self._target = None
        self.on_close(code, reason)
        if torn and self.offline is not None:
            return self.offline
        if code in _TOLD_WHEN:
            return float(json.loads(reason)["retry_after_ms"]) / 1000
        return BACK_OFF_SECONDS * random.uniform(0.5, 1.5)

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "connection_ack":
            self._acknowledge(frame["data"])
        elif "position" in frame:
            self._follow_on(frame)
            self.on_event(frame)
        self._note_caught_up()

    def _acknowledge(self, ack: dict[str, Any]) -> None:
        position = parse_position(ack["position"])
        assert position, ack
        self.unrecovered += not ack["recovered"]
        if self.reached is None or not ack["recovered"]:
            self.reached = position
        self._back, self._target = time.perf_counter(), position.offset

    def _follow_on(self, frame: dict[str, Any]) -> None:
        position, covers = parse_position(frame["position"]), frame.get("covers", 1)
        assert position, frame
        assert self.reached, "an event before the acknowledgement"
        if position.offset <= self.reached.offset:
            self.repeats += 1
            return
        self.breaks += (position.epoch, position.offset) != (self.reached.epoch, self.reached.offset + covers)
        self.reached = position
        self.merged += covers > 1
        if frame["type"] == "agent_chunk":
            self.shown[frame["task_id"]].append(frame["data"]["delta"])
        elif frame["type"] in _ENDINGS:
            self._end(frame["task_id"], frame["data"].get("response") or "")

    def _end(self, task: str, response: str) -> None:
        self.endings[task] += 1
        self.answers[task] = hash(response)
        self.misread += not response.startswith("".join(self.shown.pop(task, ())))

    def _note_caught_up(self) -> None:
        if self._target is None or self.offset < self._target:
            return
        self._target = None
        if self._left:
            code, reason, left = self._left
            now = time.perf_counter()
            self.absences.append(Absence(code, reason, left, self._dialled, self._back, now))
            self._left = None
