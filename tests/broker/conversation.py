"""A session in which messages are sent by turn policies, driven as the sender and the agents drive it."""

from typing import Any, Final

import msgspec
from tests.broker.tenant import Tenant, callback
from tests.packed import state_of

from orchestrator.broker.admissions import AdmitReply, AdmitRequest
from orchestrator.broker.callbacks import Delivered, Ended
from orchestrator.broker.errands import Errands
from orchestrator.broker.keys import execution_queue
from orchestrator.broker.turns import Turns

OTHER: Final = "agent-456"
MARKER_MS: Final = 60_000


class Conversation:
    """One session of a tenant; what its scripts leave to be done on queues is done at once."""

    def __init__(self, tenant: Tenant, session: str = "sess-1") -> None:
        self.tenant: Final = tenant
        self.session: Final = session
        self.turns: Final = Turns(tenant.broker)
        self.ended: list[Ended] = []
        self.payloads: dict[str, bytes] = {}

    def request(self, policy: str, agent: str = "agent-123", **changes: Any) -> AdmitRequest:
        """A send by this policy."""
        return self.tenant.request(
            session=self.session,
            turn_policy=policy or None,
            context=agent,
            contexts=[agent],
            queue=execution_queue(agent, "free"),
            **changes,
        )

    async def admit(self, asked: AdmitRequest, *, pushes: bool = True) -> AdmitReply:
        """Ask, as often as the script wants to know more; the task is pushed unless it is held."""
        payload = self.payload(asked)
        asked = msgspec.structs.replace(asked, within_reach=pushes and self.tenant.admissions.reach_queues)
        reply = await self.tenant.admissions.admit(self.tenant.name, asked, payload)
        if reply.outcome == "merge":
            asked = msgspec.structs.replace(asked, merged=reply.waiting)
            payload = self.joined([*reply.payloads, payload])
        elif reply.outcome == "steer":
            line = f'{{"task_id":"{asked.task}","message":"hi"}}'
            asked = msgspec.structs.replace(asked, inbox=line)
        if reply.outcome in {"merge", "steer"}:
            reply = await self.tenant.admissions.admit(self.tenant.name, asked, payload)
        self.payloads[asked.task] = payload
        self.ended += reply.ended
        await self.run(list(zip(reply.errands, reply.payloads, strict=True)))
        if reply.outcome == "accepted" and not reply.held and not reply.pushed and pushes:
            await self.tenant.admissions.push(asked.queue, asked.task, 1, payload, MARKER_MS)
            await self.tenant.admissions.mark_queued(self.tenant.name, (asked.task, 1))
        return reply

    def payload(self, asked: AdmitRequest) -> bytes:
        """The task as it is pushed."""
        return asked.task.encode()

    def joined(self, payloads: list[bytes]) -> bytes:
        """The task that carries on others."""
        return b"+".join(payloads)

    async def say(self, policy: str, agent: str = "agent-123", **changes: Any) -> str:
        """The task of a message that is accepted."""
        reply = await self.admit(self.request(policy, agent, **changes))
        assert reply.outcome == "accepted", reply
        return reply.task

    async def run(self, errands: Errands) -> None:
        """Push and withdraw what a script left to be pushed and withdrawn."""
        admissions = self.tenant.admissions
        for errand, payload in errands:
            if errand.withdraw:
                await admissions.withdraw(errand.queue, errand.task, errand.attempt, errand.marker_ms)
            else:
                await admissions.push(errand.queue, errand.task, errand.attempt, payload, errand.marker_ms)
                await admissions.mark_queued(self.tenant.name, (errand.task, errand.attempt))

    async def started(self, policy: str = "parallel", agent: str = "agent-123") -> str:
        """A task that an agent has taken and reported."""
        task = await self.say(policy, agent)
        self.take(agent)
        await self.report(task, "running")
        return task

    def take(self, agent: str = "agent-123") -> bytes | None:
        """What an agent gets from its queue."""
        taken: bytes | None = self.tenant.client.rpop(execution_queue(agent, "free"))
        return taken

    async def report(self, task: str, status: str, **members: Any) -> Delivered:
        """A callback of an agent, delivered."""
        delivered = await self.tenant.deliver(callback(task, status, **members))
        self.ended += delivered.ended
        return delivered

    async def advance(self) -> str:
        """Let the next one go, if it may: its task, or ''."""
        turn, errands = await self.turns.advance(self.tenant.name, self.session)
        await self.run(errands)
        return turn.released

    def queued(self, agent: str = "agent-123") -> list[bytes]:
        """What waits for an agent, the next one first."""
        waiting: list[bytes] = self.tenant.client.lrange(execution_queue(agent, "free"), 0, -1)
        return waiting[::-1]

    async def endings(self) -> dict[str, dict[str, Any]]:
        """The data of each ending in the log, by task."""
        frames = await self.tenant.frames(session=self.session)
        return {
            frame["task_id"]: frame["data"]
            for frame in frames
            if frame["type"] in {"error", "agent_response"}
        }

    async def codes(self) -> dict[str, str]:
        """Why tasks ended, by task; `completed` where they were answered."""
        return {task: data.get("code", data["status"]) for task, data in (await self.endings()).items()}

    def held(self) -> list[str]:
        """The tasks that wait their turn."""
        return [task.decode() for task in self.tenant.client.zrange(self.tenant.key("held"), 0, -1)]

    def count(self) -> int:
        """How many the session itself says it holds."""
        state = state_of(self.tenant.client, self.tenant.key(f"session:{self.session}"))
        return state.held if state else 0
