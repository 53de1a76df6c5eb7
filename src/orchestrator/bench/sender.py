"""A frontend's POSTs: each is sent until it is accepted or refused for good, and waits as long as it is told."""

import asyncio
import time
from collections import Counter
from typing import Any, Final

import httpx2
import msgspec

from orchestrator.bench.target import Target

UNREACHABLE: Final = "unreachable"
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Accepted(msgspec.Struct, frozen=True):
    """A 202; moments are of `time.perf_counter()`."""

    task_id: str
    sent: float
    answered: float


class Sender:
    """Sends messages of one tenant; a 429 is waited for, `patience` seconds a message at most."""

    def __init__(self, http: httpx2.AsyncClient, target: Target, patience: float) -> None:
        self.refusals: Final[Counter[str]] = Counter()
        """Answers that were no 202, by code; those that were waited for are among them."""
        self.waited = 0.0
        """Seconds that all messages together waited because a 429 said so."""
        self._http, self._target, self._patience = http, target, patience

    async def send(self, session: str, message: str) -> Accepted | None:
        """The acceptance of a message, or None where it was refused."""
        left = self._patience
        while True:
            sent = time.perf_counter()
            answer = await self._post(session, message)
            if answer is None:
                return None
            if answer.status_code == 202:
                return Accepted(_decode(answer.content)["task_id"], sent, time.perf_counter())
            wait = _told_to_wait(answer)
            if wait is None or wait > left:
                return None
            left -= wait
            self.waited += wait
            await asyncio.sleep(wait)

    async def _post(self, session: str, message: str) -> httpx2.Response | None:
        headers = self._target.headers() | {"X-Agent-ID": self._target.agent, "X-Session-ID": session}
        url = f"{self._target.url}/api/chat/send"
        try:
            answer = await self._http.post(url, headers=headers, json={"message": message})
        except httpx2.HTTPError:
            self.refusals[UNREACHABLE] += 1
            return None
        if answer.status_code != 202:
            self.refusals[_code(answer)] += 1
        return answer


def _told_to_wait(answer: httpx2.Response) -> float | None:
    told = answer.headers.get("Retry-After", "")
    return float(told) if answer.status_code == 429 and told.isdecimal() else None


def _code(answer: httpx2.Response) -> str:
    """The problem's code, or the status where something else than the service answered."""
    try:
        return str(_decode(answer.content)["code"])
    except (msgspec.DecodeError, KeyError):
        return f"http_{answer.status_code}"
