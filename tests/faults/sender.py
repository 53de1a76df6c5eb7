"""Sends messages as a careful frontend does: with a key it tries until it knows, without one it tries once."""

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import httpx
from tests.faults.frontend import Frontend
from tests.faults.plan import Plan
from tests.faults.record import Answer, Message, Sent, SessionKey

_PATIENCE: Final = 60.0
"""Seconds for which a message with a key is tried."""
_PASSING: Final = frozenset({"unreachable", "unavailable", "outcome_unknown", "rate_limited", "queue_full"})


class Sender:
    """Messages of every session; `sent` is each with all of its answers."""

    def __init__(
        self,
        plan: Plan,
        ports: list[int],
        http: httpx.AsyncClient,
        frontends: Mapping[SessionKey, Frontend],
        chance: random.Random,
    ) -> None:
        self.sent: list[Sent] = []
        self._plan = plan
        self._ports = ports
        self._http = http
        self._frontends = frontends
        self._chance = chance
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Sends for so long, then waits for what is still being tried or cancelled."""
        until = time.monotonic() + seconds
        for pause, message in self._plan.messages():
            await asyncio.sleep(pause)
            if time.monotonic() > until:
                break
            self._begin(message)
        await asyncio.gather(*self._open)

    def _begin(self, message: Message) -> None:
        sent = Sent(message)
        self.sent.append(sent)
        task = asyncio.create_task(self._send(sent))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _send(self, sent: Sent) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            answer = await (self._ask if sent.message.by_socket else self._post)(sent.message)
            sent.answers.append(answer)
            if answer.status == 202:
                await self._maybe_cancel(sent)
                return
            passes = answer.status == 0 or answer.code in _PASSING
            if not (sent.message.key and passes and time.monotonic() < until):
                return
            await asyncio.sleep(self._chance.uniform(0.3, 1.5))

    async def _ask(self, message: Message) -> Answer:
        """By a frame on the socket that follows the session."""
        frame = {"type": "send", "request_id": f"{message.name}-{time.monotonic_ns()}", **_body(message)}
        frame["agent_id"] = self._plan.customer(message.session).agent(message.kind)
        frame |= {"idempotency_key": message.key} if message.key else {}
        try:
            told = await self._frontends[message.session].ask(frame)
        except ConnectionError:
            return Answer(time.time(), -1, 503, "unreachable")
        if told is None:
            return Answer(time.time(), -1, 0)
        if told["type"] == "accepted":
            return Answer(time.time(), -1, 202, "", told["data"]["task_id"], _created(told["data"]))
        # Of an outcome that is not known a complaint does not name the task.
        code = told["data"]["code"]
        return Answer(time.time(), -1, 0 if code == "outcome_unknown" else 503, code)

    async def _post(self, message: Message) -> Answer:
        replica = self._chance.randrange(len(self._ports))
        url = f"http://127.0.0.1:{self._ports[replica]}/api/chat/send"
        try:
            answer = await self._http.post(url, headers=self._headers(message), json=_body(message))
        except httpx.HTTPError as error:
            # Only a connection that was never made says for certain that nothing was sent.
            refused = isinstance(error, httpx.ConnectError)
            return Answer(time.time(), replica, 503 if refused else 0, "unreachable" if refused else "")
        body: dict[str, Any] = answer.json()
        code, created = body.get("code", ""), _created(body)
        return Answer(time.time(), replica, answer.status_code, code, body.get("task_id"), created)

    async def _maybe_cancel(self, sent: Sent) -> None:
        if sent.message.cancel_after is None or sent.accepted is None:
            return
        await asyncio.sleep(sent.message.cancel_after)
        sent.cancel_asked = True
        port = self._chance.choice(self._ports)
        url = f"http://127.0.0.1:{port}/api/chat/tasks/{sent.accepted.task_id}/cancel"
        try:
            answer = await self._http.post(url, headers=self._headers(sent.message))
        except httpx.HTTPError:
            return
        if answer.status_code == 200:
            sent.cancelled = answer.json()["status"]

    def _headers(self, message: Message) -> dict[str, str]:
        customer = self._plan.customer(message.session)
        headers = {
            "X-Tenant-ID": customer.id,
            "X-Tenant-Tier": customer.tier,
            "X-Session-ID": message.session.session,
            "X-Agent-ID": customer.agent(message.kind),
        }
        return headers | ({"Idempotency-Key": message.key} if message.key else {})


def _body(message: Message) -> dict[str, Any]:
    body = {"message": message.text, "stream": message.stream, "turn_policy": message.policy}
    return body | ({"timeout": message.timeout} if message.timeout else {})


def _created(body: dict[str, Any]) -> float:
    """When the task was accepted; 0 where it was not."""
    created: str | None = body.get("created_at")
    return datetime.fromisoformat(created).timestamp() if created else 0.0
