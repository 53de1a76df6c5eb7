"""Who gets a WebSocket, and what the first frame says (contract §4, §6)."""

import asyncio
import json
from typing import Any

import pytest
from tests.contract.client import Caller, unique
from tests.contract.conftest import NewTenant, StartService
from tests.contract.socket_client import closing, dial, epoch_of, socket_url, watch
from tests.servers import OrchestratorServer, wait_until
from websockets.exceptions import ConnectionClosed

EVIL = "https://evil.example"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("tenant_id", None),
        ("tenant_id", ""),
        ("tenant_id", "a b"),
        ("tenant_id", "{x}:y"),
        ("tenant_id", "x" * 129),
        ("tenant_id", "ten\u00e4nt"),
        ("tier", None),
        ("tier", ""),
        ("tier", "gold"),
        ("tier", "Professional"),
        ("user_id", "x" * 256),
        ("user_id", "bell\x07"),
    ],
)
async def test_a_bad_parameter_is_named(
    service: OrchestratorServer, caller: Caller, parameter: str, value: str | None
) -> None:
    """The handshake is completed and then closed with 4400 and a reason that names the parameter."""
    given = {"tenant_id": caller.tenant.id, "tier": caller.tenant.tier, parameter: value}
    async with dial(socket_url(service, caller.session_id, **given)) as connection:
        code, reason = await closing(connection)
    assert code == 4400
    assert parameter in reason


async def test_every_missing_parameter_closes_with_4400(service: OrchestratorServer) -> None:
    """Without any parameter too, the handshake is completed first."""
    async with dial(f"{service.ws_url}/ws/sess-1") as connection:
        code, reason = await closing(connection)
    assert code == 4400
    assert "tenant_id" in reason


@pytest.mark.parametrize("session", ["a b", "{x}", ".hidden", "x" * 129, "s:1"])
async def test_a_bad_session_id_is_named(service: OrchestratorServer, caller: Caller, session: str) -> None:
    """An id of a session that no key may be built from closes with 4400."""
    url = socket_url(service, session, tenant_id=caller.tenant.id, tier=caller.tenant.tier)
    async with dial(url) as connection:
        code, reason = await closing(connection)
    assert code == 4400
    assert "session" in reason


async def test_a_token_in_the_url_is_refused(service: OrchestratorServer, caller: Caller) -> None:
    """A token in the query string closes with 4400, whatever else is right, and never reaches the log."""
    secret = unique("secret")
    given = {"tenant_id": caller.tenant.id, "tier": caller.tenant.tier, "token": secret}
    async with dial(socket_url(service, caller.session_id, **given)) as connection:
        code, reason = await closing(connection)
    assert code == 4400
    assert "token" in reason
    assert secret not in service.log


@pytest.mark.parametrize("name", ["tier", "tenant_tier"])
async def test_the_tier_has_two_names(service: OrchestratorServer, caller: Caller, name: str) -> None:
    """`tenant_tier` is read as `tier`."""
    given = {"tenant_id": caller.tenant.id, name: caller.tenant.tier}
    async with dial(socket_url(service, caller.session_id, **given)) as connection:
        ack = json.loads(await connection.recv())
    assert ack["data"]["tenant_tier"] == caller.tenant.tier


async def test_the_acknowledgement_comes_first(service: OrchestratorServer, caller: Caller) -> None:
    """`connection_ack` is the first frame, is no event of the log, and has exactly these members."""
    async with watch(service, caller) as first, watch(service, caller) as second:
        ack = first.frames[0]
        assert ack.keys() == {"type", "data", "timestamp", "session_id", "tenant_id"}
        assert ack["data"] == {
            "connection_id": ack["data"]["connection_id"],
            "tenant_tier": "professional",
            "position": ack["data"]["position"],
            "recovered": True,
            "ping_interval": 30,
        }
        assert first.ack["connection_id"] != second.ack["connection_id"]
        assert epoch_of(first.ack["position"]) == epoch_of(second.ack["position"])


async def test_an_unknown_tenant_is_not_served(service: OrchestratorServer, caller: Caller) -> None:
    """A tenant that is not in the database closes with 4403."""
    url = socket_url(service, caller.session_id, tenant_id=unique("nobody"), tier="free")
    async with dial(url) as connection:
        assert (await closing(connection))[0] == 4403


async def test_another_tier_is_not_served(service: OrchestratorServer, caller: Caller) -> None:
    """A tier that is not the tenant's closes with 4403."""
    url = socket_url(service, caller.session_id, tenant_id=caller.tenant.id, tier="enterprise")
    async with dial(url) as connection:
        assert (await closing(connection))[0] == 4403


async def test_a_session_belongs_to_its_first_user(service: OrchestratorServer, caller: Caller) -> None:
    """Another user is refused with 4403; a socket that names none is let in."""
    async with watch(service, caller, user_id="ada"), watch(service, caller, user_id="ada"):
        async with watch(service, caller):
            pass
        given = {"tenant_id": caller.tenant.id, "tier": caller.tenant.tier, "user_id": "eve"}
        async with dial(socket_url(service, caller.session_id, **given)) as connection:
            assert (await closing(connection))[0] == 4403


async def test_a_foreign_origin_is_not_served(service: OrchestratorServer, caller: Caller) -> None:
    """A page of another host gets no socket: 4403."""
    url = socket_url(service, caller.session_id, tenant_id=caller.tenant.id, tier=caller.tenant.tier)
    for origin in (EVIL, f"http://127.0.0.1:{service.port + 1}", "null"):
        async with dial(url, origin=origin) as connection:
            assert (await closing(connection))[0] == 4403, origin


async def test_the_own_origin_is_served(service: OrchestratorServer, caller: Caller) -> None:
    """Host and port of the origin equal to `Host`: the service's own page."""
    async with watch(service, caller, options={"origin": service.url}) as socket:
        assert socket.ack["recovered"]


async def test_a_listed_origin_is_served(start_service: StartService, caller: Caller) -> None:
    """Origins in ORCHESTRATOR_ALLOWED_ORIGINS are served, no others."""
    server = start_service(allowed_origins="https://app.example")
    async with watch(server, caller, options={"origin": "https://app.example"}):
        pass
    url = socket_url(server, caller.session_id, tenant_id=caller.tenant.id, tier=caller.tenant.tier)
    async with dial(url, origin="https://app.example.evil.example") as connection:
        assert (await closing(connection))[0] == 4403


async def test_a_foreign_host_is_not_served(service: OrchestratorServer, caller: Caller) -> None:
    """In header mode on loopback `Host` must be loopback too, so that no rebound name gets in: 4403."""
    url = socket_url(service, caller.session_id, tenant_id=caller.tenant.id, tier=caller.tenant.tier)
    there = url.replace("127.0.0.1", "rebound.example")
    async with dial(there, host="127.0.0.1", port=service.port) as connection:
        assert (await closing(connection))[0] == 4403


def retry_after(reason: str) -> int:
    """What the JSON reason of 1013 and 4429 asks for; nothing else is in it."""
    members: dict[str, Any] = json.loads(reason)
    assert members.keys() == {"retry_after_ms"}
    return members["retry_after_ms"]


async def test_a_full_process_says_when_to_come_back(start_service: StartService, caller: Caller) -> None:
    """One connection above ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS: 1013; a place that gets free is given."""
    server = start_service(max_websocket_connections="2")
    url = socket_url(server, caller.session_id, tenant_id=caller.tenant.id, tier=caller.tenant.tier)
    async with watch(server, caller):
        async with watch(server, caller):
            async with dial(url) as connection:
                code, reason = await closing(connection)
            assert code == 1013
            assert retry_after(reason) > 0

        await wait_until(lambda: is_served(url))


async def test_a_tenant_has_its_own_limit(service: OrchestratorServer, new_tenant: NewTenant) -> None:
    """One connection above the tenant's `max_connections`: 4429, and other tenants are served."""
    small, other = await new_tenant(max_connections=2), await new_tenant()
    first, second = caller_of(small), caller_of(small)
    async with watch(service, first), watch(service, second):
        url = socket_url(service, unique("sess"), tenant_id=small.id, tier=small.tier)
        async with dial(url) as connection:
            code, reason = await closing(connection)
        assert code == 4429
        assert retry_after(reason) > 0
        async with watch(service, caller_of(other)):
            pass


def caller_of(tenant: Any) -> Caller:
    """A frontend that only opens sockets."""
    no_http: Any = None
    return Caller(no_http, tenant)


async def is_served(url: str) -> bool:
    """Whether a socket on this address is acknowledged rather than closed."""
    async with dial(url) as connection:
        try:
            return bool(await connection.recv())
        except ConnectionClosed:
            return False


async def test_an_aborted_handshake_leaves_nothing(service: OrchestratorServer, caller: Caller) -> None:
    """A client that goes away in the middle of its handshake takes no place and hurts nobody."""
    for request in (b"GET /ws/s HTTP/1.1\r\n", b"\x16\x03\x01", b""):
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(request)
        writer.close()
        await writer.wait_closed()
    async with watch(service, caller) as socket:
        assert socket.ack["recovered"]
