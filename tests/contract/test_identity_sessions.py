"""A session belongs to the first user that used it (contract §6, header mode)."""

from typing import Any

import httpx
from tests.contract.client import Caller, problem
from tests.contract.conftest import NewTenant
from tests.contract.event_stream import events
from tests.contract.socket_client import closing, dial, socket_url
from tests.servers import OrchestratorServer

ALICE = {"X-User-ID": "alice"}
BOB = {"X-User-ID": "bob"}


async def test_another_user_is_refused(caller: Caller) -> None:
    """403 `session_denied` for who names another user; the first goes on."""
    assert (await caller.send(headers=ALICE)).status_code == 202
    problem(await caller.send(headers=BOB), 403, "session_denied")
    assert (await caller.send(headers=ALICE)).status_code == 202


async def test_who_names_nobody_is_let_in(caller: Caller) -> None:
    """The flow of a plain WebSocket URL names none."""
    assert (await caller.send(headers=ALICE)).status_code == 202
    assert (await caller.send()).status_code == 202
    problem(await caller.send(headers=BOB), 403, "session_denied")


async def test_a_session_that_nobody_named_goes_to_the_first_who_does(caller: Caller) -> None:
    """Used without a user first: the first user named owns it."""
    assert (await caller.send()).status_code == 202
    assert (await caller.send(headers=ALICE)).status_code == 202
    problem(await caller.send(headers=BOB), 403, "session_denied")


async def test_the_view_of_a_session_is_its_users(caller: Caller) -> None:
    """Another user reads neither the view nor the events."""
    await caller.accepted(headers=ALICE)
    path = f"/api/chat/sessions/{caller.session_id}"
    for route in (path, f"{path}/events"):
        answer = await caller.http.get(route, headers={**caller.headers, **BOB})
        problem(answer, 403, "session_denied")
    answer = await caller.http.get(path, headers={**caller.headers, **ALICE})
    assert answer.status_code == 200


async def test_another_user_cannot_cancel(caller: Caller) -> None:
    """Refused, whether as not theirs or as not there, and the task goes on."""
    task_id = (await caller.accepted(headers=ALICE))["task_id"]
    path = f"/api/chat/tasks/{task_id}/cancel"
    answer = await caller.http.post(path, headers={**caller.headers, **BOB})
    assert answer.status_code in (403, 404), answer.text
    assert await caller.status(task_id) in ("accepted", "queued")


async def test_a_user_by_any_name(caller: Caller) -> None:
    """A name beyond ASCII comes as UTF-8 in a header, and is the same user as in a query."""
    named: Any = {"X-User-ID": "à la Zoë 李".encode()}
    accepted = await caller.send(headers=named)
    assert accepted.status_code == 202, accepted.text
    path = f"/api/chat/sessions/{caller.session_id}"
    own = {**caller.headers, **named}
    assert (await caller.http.get(path, headers=own)).status_code == 200
    problem(await caller.http.get(path, headers={**caller.headers, **BOB}), 403, "session_denied")


async def test_a_stream_names_its_user_in_the_query(caller: Caller) -> None:
    """`user_id` of an `EventSource` is held to the same rule."""
    await caller.accepted(headers=ALICE)
    query = {"tenant_id": caller.tenant.id, "tier": caller.tenant.tier}
    path = f"/api/chat/sessions/{caller.session_id}/events"
    problem(await caller.http.get(path, params={**query, "user_id": "bob"}), 403, "session_denied")
    async with events(caller.http, caller.session_id, params={**query, "user_id": "alice"}) as stream:
        assert (await stream.frame())["type"] == "connection_ack"


async def test_a_socket_of_another_user_is_closed(caller: Caller, service: OrchestratorServer) -> None:
    """4403, not yours."""
    await caller.accepted(headers=ALICE)
    names = {"tenant_id": caller.tenant.id, "tier": caller.tenant.tier}
    async with dial(socket_url(service, caller.session_id, **names, user_id="bob")) as socket:
        assert (await closing(socket))[0] == 4403
    async with dial(socket_url(service, caller.session_id, **names)) as socket:
        assert "connection_ack" in str(await socket.recv())


async def test_the_same_session_of_another_tenant_is_free(
    caller: Caller, http: httpx.AsyncClient, new_tenant: NewTenant
) -> None:
    """Owners are kept by tenant and session."""
    await caller.accepted(headers=ALICE)
    other = Caller(http, await new_tenant(), caller.session_id)
    assert (await other.send(headers=BOB)).status_code == 202
