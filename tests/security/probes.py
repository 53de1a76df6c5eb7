"""Questions about somebody's things: what each route can be asked about another's tenant, session or task."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import httpx
from tests.contract.client import unique
from tests.security.user import User

Method = tuple[str, str]


class Things(NamedTuple):
    """What somebody has, or what nobody has: names of the same form and length."""

    tenant: str
    agent: str
    collection: str
    session: str
    task: str
    position: str

    def hidden(self, text: bytes) -> bytes:
        """`text` with these names made alike."""
        for place, name in self._asdict().items():
            text = text.replace(name.encode(), f"<{place}>".encode())
        return text


NO_TASK: Final = "task-" + "A" * 22


def nobodys() -> Things:
    """Names that nobody has given to anything."""
    agent = f"agent-{unique('a')}"
    return Things(
        unique("tenant"), agent, f"collection-{unique('c')}", unique("sess"), NO_TASK, "0" * 16 + ":1-1"
    )


Probe = Callable[[User, Things], Awaitable[list[httpx.Response]]]


async def by_send(user: User, them: Things) -> list[httpx.Response]:
    """Messages to their agent and collection, in their name, and with a token of ours."""
    context = {
        "X-Context-Type": "collection",
        "X-Agent-ID": them.collection,
        "X-Collection-ID": them.collection,
    }
    headers: list[dict[str, str]] = [
        {"X-Agent-ID": them.agent},
        {"X-Collection-ID": them.collection},
        context,
        {"X-Tenant-ID": them.tenant},
        {"X-Agent-ID": them.agent.removeprefix("agent-")},
    ]
    return [await user.send(headers=given) for given in headers]


async def by_task(user: User, them: Things) -> list[httpx.Response]:
    """The ledger of their task, with and without their name."""
    path = f"/api/chat/tasks/{them.task}"
    stated = {"X-Session-ID": them.session, "X-Agent-ID": them.agent}
    return [
        await user.ask("GET", path),
        await user.ask("GET", path, stated),
        await user.ask("GET", path, {"X-Tenant-ID": them.tenant}),
        await user.ask("HEAD", path),
    ]


async def by_cancel(user: User, them: Things) -> list[httpx.Response]:
    """A stop of their task."""
    path = f"/api/chat/tasks/{them.task}/cancel"
    return [await user.ask("POST", path), await user.ask("POST", path, {"X-Tenant-ID": them.tenant})]


async def by_answer(user: User, them: Things) -> list[httpx.Response]:
    """An answer to what their agent asks, or might."""
    path, body = f"/api/chat/tasks/{them.task}/answer", {"answer": "yes", "question": "1"}
    stated = {"X-Tenant-ID": them.tenant}
    return [
        await user.ask("POST", path, json=body),
        await user.ask("POST", path, json={"answer": "yes"}),
        await user.ask("POST", path, stated, json=body),
    ]


async def by_session(user: User, them: Things) -> list[httpx.Response]:
    """The view of their session."""
    path = f"/api/chat/sessions/{them.session}"
    return [
        await user.ask("GET", path),
        await user.ask("GET", path, {"X-Tenant-ID": them.tenant}),
        await user.ask("HEAD", path),
    ]


async def by_stream(user: User, them: Things) -> list[httpx.Response]:
    """A stream of their session in their name; in one's own name see the test of sockets."""
    path = f"/api/chat/sessions/{them.session}/events"
    return [
        await user.ask("GET", path, params={"tenant_id": them.tenant}),
        await user.ask("GET", path, {"X-Tenant-ID": them.tenant}),
    ]


async def by_stats(user: User, them: Things) -> list[httpx.Response]:
    """Figures of their tenant."""
    path = "/api/chat/stats"
    return [
        await user.ask("GET", path, {"X-Tenant-ID": them.tenant}),
        await user.ask("GET", path, params={"tenant_id": them.tenant}),
    ]


async def by_ticket(user: User, them: Things) -> list[httpx.Response]:
    """A ticket in their name."""
    named = {"X-Session-ID": them.session, "X-Tenant-ID": them.tenant}
    return [await user.ask("POST", "/api/auth/ticket", named)]


PROBES: Final[dict[Method, Probe]] = {
    ("POST", "/api/chat/send"): by_send,
    ("GET", "/api/chat/tasks/{task_id}"): by_task,
    ("POST", "/api/chat/tasks/{task_id}/cancel"): by_cancel,
    ("POST", "/api/chat/tasks/{task_id}/answer"): by_answer,
    ("GET", "/api/chat/sessions/{session_id}"): by_session,
    ("GET", "/api/chat/sessions/{session_id}/events"): by_stream,
    ("GET", "/api/chat/stats"): by_stats,
    ("POST", "/api/auth/ticket"): by_ticket,
}
