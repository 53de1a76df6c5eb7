"""A socket ends with its token unless it is refreshed in place (contract §6)."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from tests.contract.client import Tenant
from tests.contract.conftest import NewContext
from tests.contract.event_stream import events
from tests.security.marks import BOTH
from tests.security.minting import HS256, OTHER_SECRET, shared
from tests.security.user import User, attend, stays, stream_ends
from tests.servers import OrchestratorServer, wait_until

pytestmark = BOTH


async def test_a_socket_ends_with_its_token(
    service: OrchestratorServer, http: httpx.AsyncClient, tenant: Tenant
) -> None:
    """4401 at `exp`, not before, however busy the socket is; a stream ends too."""
    exp = time.time() + 2
    user = User(http, tenant, exp=exp)
    async with (
        attend(service, user) as idle,
        attend(service, user) as busy,
        events(http, user.session_id, user.credential) as stream,
    ):
        for _ in range(10):
            await stays(busy)
        codes = await asyncio.gather(idle.closing(), busy.closing())
        assert time.time() >= exp - 0.1
        await stream_ends(stream)
    assert [code for code, _ in codes] == [4401, 4401]


async def test_a_socket_is_refreshed(
    service: OrchestratorServer, http: httpx.AsyncClient, tenant: Tenant
) -> None:
    """`auth` with a newer token of the same identity: `authenticated`, and the old end is none any more."""
    exp = time.time() + 2
    user = User(http, tenant, exp=exp)
    async with attend(service, user) as socket:
        answer = await socket.answer({"type": "auth", "token": HS256.of(tenant)})
        assert answer["type"] == "authenticated"
        await wait_until(lambda: time.time() > exp + 0.5)
        await stays(socket)
        accepted = await user.at(http).ask("GET", "/api/chat/stats")
        assert accepted.status_code == 401


async def test_a_refresh_may_end_sooner(service: OrchestratorServer, user: User) -> None:
    """The newest token counts, also where it is the shorter one."""
    async with attend(service, user) as socket:
        token = HS256.of(user.tenant, exp=time.time() + 1.5)
        assert (await socket.answer({"type": "auth", "token": token}))["type"] == "authenticated"
        assert (await socket.closing())[0] == 4401


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"tenant_id": "another"}, "access_denied"),
        ({"sub": "eve"}, "access_denied"),
        ({"tier": "enterprise"}, "tier_mismatch"),
        ({"session_id": "another"}, "session_denied"),
        ({"exp": 1}, "unauthorized"),
        ({"scope": "metrics"}, "insufficient_scope"),
        ({"tenant_id": None}, "unauthorized"),
    ],
    ids=str,
)
async def test_a_refresh_as_somebody_else(
    service: OrchestratorServer, user: User, claims: dict[str, Any], code: str
) -> None:
    """An `error` frame; the socket stays what it was."""
    said = {"type": "send", "message": "Hello", "agent_id": user.tenant.agent}
    async with attend(service, user) as socket:
        answer = await socket.answer({"type": "auth", "token": HS256.of(user.tenant, **claims)})
        assert (answer["type"], answer["data"]["code"]) == ("error", code)
        await stays(socket)
        assert (await socket.answer(said))["type"] == "accepted"


@pytest.mark.parametrize(
    "token", [None, "", "x", 7, shared(OTHER_SECRET)], ids=lambda token: type(token).__name__
)
async def test_a_refresh_that_proves_nothing(
    service: OrchestratorServer, http: httpx.AsyncClient, tenant: Tenant, token: Any
) -> None:
    """An `error` frame, and the old end stays where it was."""
    exp = time.time() + 2
    user = User(http, tenant, exp=exp)
    forged = token.of(tenant) if hasattr(token, "of") else token
    async with attend(service, user) as socket:
        answer = await socket.answer({"type": "auth", "token": forged})
        assert answer["type"] == "error"
        assert answer["data"]["code"] in ("unauthorized", "invalid_body")
        assert (await socket.closing())[0] == 4401
    assert time.time() >= exp - 0.1


async def test_a_refresh_narrows(service: OrchestratorServer, user: User, new_context: NewContext) -> None:
    """The agents of the newest token are the ones that the socket reaches."""
    other = await new_context(user.tenant, "agent")
    said = {"type": "send", "message": "Hello", "agent_id": user.tenant.agent}
    async with attend(service, user) as socket:
        assert (await socket.answer(said))["type"] == "accepted"
        token = HS256.of(user.tenant, agents=[other])
        assert (await socket.answer({"type": "auth", "token": token}))["type"] == "authenticated"
        assert (await socket.answer(said))["data"]["code"] == "access_denied"
