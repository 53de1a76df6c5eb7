"""Nothing secret is ever logged or printed (contract §6). At the end of a run every log is searched again."""

import json
from contextlib import suppress
from typing import Any, Final

import pytest
from tests.contract.client import Tenant, unique
from tests.contract.conftest import Command, Connect, StartService
from tests.contract.event_stream import events
from tests.contract.socket_client import closing, dial, socket_url
from tests.planted import Planted
from tests.security.minting import HS256, OTHER_SECRET, SECRET, shared
from tests.security.user import User, attend
from tests.servers import OrchestratorServer
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

GATEWAY: Final = "planted-gateway-secret"
PASSWORD: Final = "planted-password-of-a-store"
EVERYTHING: Final = {"log_level": "DEBUG", "gateway_secret": GATEWAY}


@pytest.fixture(params=["text", "json"])
def talkative(request: pytest.FixtureRequest, service_with: StartService) -> OrchestratorServer:
    """A server that logs all that it can."""
    return service_with(**EVERYTHING, log_format=request.param)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (HS256.mint(sub="ada"), True),
        (f"401 for {HS256.mint(sub='ada')[:60]}…", True),
        (f"?token={shared(OTHER_SECRET).mint(sub='ada')} HTTP/1.1", True),
        (f"secret={SECRET}", True),
        ("ticket=Zm9yIG9uZSBzb2NrZXQ", True),
        ("task-eyJhbGciOiJIUzI1NiIs_1c9Q eyJx", False),
        ("nothing at all", False),
    ],
    # A token differs each time, and the ids of tests have to be the same in every process.
    ids=["token", "cut", "url", "constant", "ticket", "task", "nothing"],
)
def test_the_search_finds(text: str, is_found: bool) -> None:
    """Tokens, cut ones too, marked constants and tickets that were told; ids of tasks are none of these."""
    planted = Planted()
    planted.add("Zm9yIG9uZSBzb2NrZXQ")
    assert bool(list(planted.found_in(text.encode()))) == is_found


async def test_a_server_that_logs_everything(
    talkative: OrchestratorServer, connect: Connect, tenant: Tenant, planted: Planted
) -> None:
    """Every credential by every way, good and bad, right and wrong: no log has any of them, at DEBUG either."""
    user = User(connect(talkative), tenant)
    carried = {"X-Gateway-Secret": GATEWAY}
    await user.accepted(headers=carried)
    forged = shared(OTHER_SECRET).of(tenant)
    for headers in (
        {},
        {"X-Gateway-Secret": f"{GATEWAY}-wrong"},
        {**carried, "Authorization": f"Bearer {forged}"},
    ):
        await user.http.get("/api/chat/stats", headers=headers)
    for path in ("/api/chat/stats", "/nothing", "/docs", "/metrics"):
        for name in ("token", "access_token", "ticket", "secret"):
            await user.ask("GET", path, carried, params={name: user.token, "gateway": GATEWAY})
    await user.ask(
        "GET", f"/api/chat/sessions/{user.session_id}/events", carried, params={"token": user.token}
    )
    for path in (f"/{user.token}", f"/api/chat/tasks/{user.token}", f"/api/chat/sessions/{user.token}"):
        await user.ask("GET", path, carried)
    await by_sockets(talkative, user, forged, carried)
    await by_tickets(talkative, user, carried, planted)
    assert "websocket_opened" in talkative.log
    assert tenant.id in talkative.log
    assert list(planted.found_in(talkative.log.encode())) == []


async def by_sockets(server: OrchestratorServer, user: User, forged: str, carried: dict[str, str]) -> None:
    """Tokens in handshakes, frames, URLs and subprotocols."""
    for url in (
        socket_url(server, user.session_id),
        socket_url(server, user.session_id, token=user.token),
        socket_url(server, user.session_id, tenant_id=user.token, tier=SECRET),
        f"{server.ws_url}/ws/{user.token}",
    ):
        for credential in (
            user.credential,
            {"Authorization": f"Bearer {forged}"},
            {"Authorization": user.token},
        ):
            async with dial(url, additional_headers={**carried, **credential}) as socket:
                await shout(socket, auth(user.token), auth(forged), auth(GATEWAY), user.token)
    for token in (user.token, forged):
        async with dial(
            socket_url(server, user.session_id), additional_headers=carried, subprotocols=["bearer", token]
        ) as socket:
            await shout(socket, json.dumps({"type": "auth", "token": token, "x": GATEWAY}))


def auth(token: str) -> str:
    """The frame with a token."""
    return json.dumps({"type": "auth", "token": token})


async def shout(socket: ClientConnection, *frames: str) -> None:
    """Sends all of them, and what ends every socket, whatever the server makes of it."""
    with suppress(ConnectionClosed):
        for frame in (*frames, json.dumps({"type": frames[0], "request_id": frames[0]})):
            await socket.send(frame)
        await socket.send(b"binary")
    await closing(socket)


async def by_tickets(
    server: OrchestratorServer, user: User, carried: dict[str, str], planted: Planted
) -> None:
    """Tickets that are good, spent and for another session."""
    named = {**carried, "X-Session-ID": user.session_id}
    for session in (user.session_id, unique("sess")):
        answer = await user.ask("POST", "/api/auth/ticket", named)
        ticket = planted.add(answer.json()["ticket"])
        for _ in range(2):
            async with dial(socket_url(server, session, ticket=ticket), additional_headers=carried) as socket:
                await shout(socket, auth(ticket))
    ticket = planted.add((await user.ask("POST", "/api/auth/ticket", named)).json()["ticket"])
    async with events(user.http, user.session_id, carried, {"ticket": ticket}) as stream:
        await stream.frame()
    await user.http.get(
        f"/api/chat/sessions/{unique('sess')}/events", params={"ticket": ticket}, headers=carried
    )


async def test_messages_are_not_logged(
    service_with: StartService, connect: Connect, tenant: Tenant, redis_client: Any
) -> None:
    """What people say and agents answer is theirs: no line of the log has it."""
    server = service_with(log_level="DEBUG")
    user = User(connect(server), tenant)
    secret = unique("planted-confidence")
    accepted = await user.accepted(secret, metadata={"note": secret}, user_info={"name": secret})
    async with attend(server, user, accepted["position"]) as socket:
        await socket.send({"type": "send", "agent_id": tenant.agent, "message": secret, "unknown": secret})
        await socket.until("error")
        _, element = await redis_client.brpop([tenant.queue()], timeout=5)
        task = json.loads(element)
        result = {"task_id": task["task_id"], "status": "completed", "result": {"response": secret}}
        await redis_client.lpush(task["callback_queue"], json.dumps(result))
        await socket.ending(task["task_id"])
    assert secret not in server.log


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"postgresql+psycopg://orchestrator:{PASSWORD}@127.0.0.1:1/orchestrator"),
        ("DATABASE_URL", f"postgresql+psycopg://orchestrator@127.0.0.1:1/orchestrator?password={PASSWORD}"),
        ("REDIS_URL", f"redis://orchestrator:{PASSWORD}@127.0.0.1:1/0"),
        ("REDIS_URL", f"redis://:{PASSWORD}@127.0.0.1:1/0"),
        ("REDIS_URL", f"redis://127.0.0.1:1/0?username=x&password={PASSWORD}"),
    ],
)
@pytest.mark.parametrize("command", [("serve",), ("settings", "--json")], ids=str)
async def test_passwords_of_stores(
    orchestrator: Command, environment: dict[str, str], name: str, value: str, command: tuple[str, ...]
) -> None:
    """Neither a server that cannot start nor a command prints the password in a URL."""
    settings = {**environment, name: value, "ORCHESTRATOR_PORT": "1"}
    output = await orchestrator(*command, settings=settings, code=1 if command == ("serve",) else 0)
    printed = output.stdout + output.stderr
    assert PASSWORD not in printed
    assert printed


@pytest.mark.parametrize(
    "wrong",
    [
        {"ORCHESTRATOR_JWT_PUBLIC_KEY": f"-----BEGIN PRIVATE KEY-----\n{OTHER_SECRET}"},
        {"ORCHESTRATOR_JWT_JWKS_URL": f"https://ada:{PASSWORD}@issuer.example/keys"},
        {"ORCHESTRATOR_GATEWAY_SECRET": f"{GATEWAY} with\na newline"},
        {"DATABASE_URL": f"oracle://ada:{PASSWORD}@db/x"},
        {"REDIS_URL": f"ftp://ada:{PASSWORD}@cache/x"},
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["serve", "settings"])
async def test_faults_in_settings(
    orchestrator: Command, environment: dict[str, str], wrong: dict[str, str], command: str
) -> None:
    """The line that says what is wrong with a secret does not say the secret."""
    settings = {**environment, **wrong}
    output = await orchestrator(command, settings=settings, code=2)
    assert "planted" not in output.stdout + output.stderr
    assert next(iter(wrong)) in output.stderr


async def test_a_token_that_a_command_made(
    orchestrator: Command, connect: Connect, service: OrchestratorServer
) -> None:
    """`token create` prints the token alone, so that a shell can keep it; the service takes it."""
    output = await orchestrator("token", "create", "--sub", "ops", "--scope", "metrics")
    assert output.stdout.count("\n") == 1
    token = output.stdout.strip()
    answer = await connect(service).get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert SECRET not in output.stdout + output.stderr
