"""Who may see what, as a model, beside the service that has to agree with it (contract §6).

Two tenants with two users each do random things in sessions and to tasks that may be anybody's. The model knows who
owns what; each answer, ledger, view and event of the service has to be what the model says, and nothing else.
"""

import asyncio
import secrets
from typing import Any, Final

import httpx
import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from tests.contract.client import Agent, Tenant, unique
from tests.contract.exchange import ended
from tests.contract.socket_client import closing, dial, offset_of, socket_url
from tests.security.user import User, attend
from tests.servers import OrchestratorServer

USERS: Final = ("ada", "eve")
SESSIONS: Final = 3
_people: Final = st.tuples(st.integers(0, 1), st.sampled_from(USERS), st.integers(0, SESSIONS - 1))

Person = tuple[int, str, int]
"""Tenant, user and session that somebody acts as."""


class Task(msgspec.Struct):
    """A task as the model knows it."""

    id: str
    tenant: int
    user: str
    session: int
    secret: str
    is_over: bool = False


class World(msgspec.Struct, frozen=True):
    """What the model plays on: the service, and tenants that this run made."""

    runner: asyncio.Runner
    server: OrchestratorServer
    http: httpx.AsyncClient
    redis: Any
    tenants: tuple[Tenant, Tenant]


class IsolationModel(RuleBasedStateMachine):
    """Everybody tries everything on everybody's things."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.sessions = [unique("sess") for _ in range(SESSIONS)]
        self.owners: dict[tuple[int, int], str] = {}
        self.tasks: list[Task] = []
        self.accepted_before = [self.accepted(tenant) for tenant in (0, 1)]

    # Who acts, and what he may

    def user(self, person: Person, session: int | None = None) -> User:
        tenant, name, own = person
        session = own if session is None else session
        return User(self.world.http, self.world.tenants[tenant], name, self.sessions[session])

    def agent(self, tenant: int) -> Agent:
        return Agent(self.world.redis, self.world.tenants[tenant])

    def may(self, person: Person) -> bool:
        tenant, name, session = person
        return self.owners.get((tenant, session), name) == name

    def is_mine(self, person: Person, task: Task) -> bool:
        return (task.tenant, task.user) == person[:2]

    def tasks_of(self, tenant: int, session: int) -> set[str]:
        return {task.id for task in self.tasks if (task.tenant, task.session) == (tenant, session)}

    def accepted(self, tenant: int) -> int:
        """How many messages of a tenant were accepted, as its figures tell anybody of it."""
        answer = self.world.runner.run(self.user((tenant, "ada", 0)).get("/api/chat/stats"))
        return answer.json()["last_day"]["accepted"]

    def is_clean(self, person: Person, text: str) -> None:
        """`text`, which `person` was given, has no secret and no task of anybody else."""
        for task in self.tasks:
            if not self.is_mine(person, task):
                assert task.secret not in text, (person, task, text)
                assert task.id not in text, (person, task, text)

    # What may happen

    @rule(person=_people)
    def a_message_is_sent(self, person: Person) -> None:
        tenant, name, session = person
        secret = f"secret {secrets.token_hex(8)}"
        answer = self.world.runner.run(self.user(person).send(secret))
        assert answer.status_code == (202 if self.may(person) else 403), (person, answer.text)
        self.is_clean(person, answer.text)
        if answer.status_code == 202:
            self.owners[tenant, session] = name
            self.tasks.append(Task(answer.json()["task_id"], tenant, name, session, secret))

    @precondition(lambda self: any(not task.is_over for task in self.tasks))
    @rule(data=st.data(), ends=st.booleans())
    def an_agent_answers(self, data: st.DataObject, ends: bool) -> None:
        task = data.draw(st.sampled_from([task for task in self.tasks if not task.is_over]))
        self.world.runner.run(self._answer(task, ends=ends))
        task.is_over = task.is_over or ends

    async def _answer(self, task: Task, *, ends: bool) -> None:
        """Reports as its agent would; which element of the queue it took does not matter to the service."""
        agent, tenant = self.agent(task.tenant), self.world.tenants[task.tenant]
        about = {"task_id": task.id, "callback_queue": tenant.callbacks}
        await agent.report(about, "streaming", result={"delta": f"{task.secret} "})
        if ends:
            await agent.complete(about, task.secret)
            owner = User(self.world.http, tenant, task.user, self.sessions[task.session])
            await ended(owner, task.id)

    @precondition(lambda self: self.tasks)
    @rule(person=_people, data=st.data())
    def a_ledger_is_read(self, person: Person, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.tasks))
        answer = self.world.runner.run(self.user(person).get(f"/api/chat/tasks/{task.id}"))
        assert answer.status_code == (200 if self.is_mine(person, task) else 404), (person, task, answer.text)
        self.is_clean(person, answer.text)

    @precondition(lambda self: self.tasks)
    @rule(person=_people, data=st.data(), by_socket=st.booleans())
    def a_task_is_cancelled(self, person: Person, data: st.DataObject, by_socket: bool) -> None:
        task = data.draw(st.sampled_from(self.tasks))
        mine = self.is_mine(person, task)
        if by_socket:
            self.world.runner.run(self._cancelled_by_socket(person, task))
        else:
            answer = self.world.runner.run(self.user(person).cancel(task.id))
            assert answer.status_code == (200 if mine else 404), (person, task, answer.text)
        task.is_over = task.is_over or mine

    async def _cancelled_by_socket(self, person: Person, task: Task) -> None:
        user = User(self.world.http, self.world.tenants[person[0]], person[1])
        async with attend(self.world.server, user) as socket:
            await socket.send({"type": "cancel", "task_id": task.id})
            answer = await socket.answer({"type": "ping"})
            assert answer["type"] == ("pong" if self.is_mine(person, task) else "error"), answer

    @rule(person=_people)
    def a_session_is_viewed(self, person: Person) -> None:
        tenant, _, session = person
        answer = self.world.runner.run(self.user(person).get(f"/api/chat/sessions/{self.sessions[session]}"))
        if (tenant, session) not in self.owners:
            assert answer.status_code == 404, (person, answer.text)
        elif not self.may(person):
            assert answer.status_code == 403, (person, answer.text)
        else:
            assert {task["task_id"] for task in answer.json()["tasks"]} == self.tasks_of(tenant, session)
        self.is_clean(person, answer.text)

    @rule(person=_people)
    def a_session_is_followed(self, person: Person) -> None:
        tenant, name, session = person
        self.world.runner.run(self._follow(person))
        if self.may(person):
            self.owners[tenant, session] = name

    async def _follow(self, person: Person) -> None:
        user = self.user(person)
        if not self.may(person):
            url = socket_url(self.world.server, user.session_id, position="earliest")
            async with dial(url, additional_headers=user.credential) as refused:
                assert (await closing(refused))[0] == 4403, person
            return
        async with attend(self.world.server, user, "earliest") as socket:
            is_empty = offset_of(socket.ack["position"]) == 0
            for event in [] if is_empty else await socket.caught_up():
                assert event["task_id"] in self.tasks_of(person[0], person[2]), (person, event)
                self.is_clean(person, str(event))

    @rule(person=_people)
    def figures_are_read(self, person: Person) -> None:
        mine = [task for task in self.tasks if task.tenant == person[0]]
        assert self.accepted(person[0]) == self.accepted_before[person[0]] + len(mine), person
