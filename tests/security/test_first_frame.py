"""A socket that says by its first frame who it is (contract §6)."""

import asyncio
import json
import time
from typing import Any, Final

import pytest
from tests.contract.client import unique
from tests.contract.socket_client import Socket, closing, dial, socket_url
from tests.security.minting import HS256, by_hand, claims_of
from tests.security.user import User, attend
from tests.servers import OrchestratorServer

NO_AUTH: Final[dict[str, str | bytes]] = {
    "ping": '{"type":"ping"}',
    "send": '{"type":"send","agent_id":"agent-1","message":"Hello"}',
    "cancel": '{"type":"cancel","task_id":"task-1"}',
    "answer": '{"type":"answer","task_id":"task-1","answer":1}',
    "subscribe": '{"type":"subscribe","events":["agent_*"]}',
    "no token": '{"type":"auth"}',
    "a token that is nothing": '{"type":"auth","token":null}',
    "a token that is no text": '{"type":"auth","token":["x"]}',
    "an empty token": '{"type":"auth","token":""}',
    "a list": '[{"type":"auth","token":"x"}]',
    "no JSON": "auth",
    "nothing": "",
    "binary": b'{"type":"auth","token":"x"}',
    "deep": "[" * 9_000,
    "long": json.dumps({"type": "auth", "token": "x" * 60_000}),
}


@pytest.mark.parametrize("frame", NO_AUTH.values(), ids=NO_AUTH)
async def test_a_first_frame_that_proves_nothing(
    service: OrchestratorServer, user: User, frame: str | bytes
) -> None:
    """4401, without an answer to what it asked for."""
    async with dial(socket_url(service, user.session_id)) as socket:
        await socket.send(frame)
        assert (await closing(socket))[0] in ((1003, 4401) if isinstance(frame, bytes) else (4401,))


async def test_what_follows_a_bad_frame_does_nothing(service: OrchestratorServer, user: User) -> None:
    """A good token behind a bad one, in the same packet, comes too late."""
    good, bad = (json.dumps({"type": "auth", "token": token}) for token in (user.token, "x"))
    async with dial(socket_url(service, user.session_id)) as socket:
        await socket.send(bad)
        await socket.send(good)
        code, _ = await closing(socket)
    assert code == 4401


async def test_no_first_frame(service: OrchestratorServer, user: User) -> None:
    """4401 when nothing came for 5 s; pings and pieces of a frame are nothing."""
    url = socket_url(service, user.session_id)
    began = time.monotonic()
    async with dial(url) as silent, dial(url) as pinging:
        await pinging.ping()
        codes = await asyncio.gather(closing(silent), closing(pinging))
    assert [code for code, _ in codes] == [4401, 4401]
    assert time.monotonic() - began > 4


async def test_acknowledged_first(service: OrchestratorServer, user: User) -> None:
    """`connection_ack`, then `authenticated`, then the backlog; and from then on it is a socket like any other."""
    accepted = await user.accepted()
    async with dial(socket_url(service, user.session_id, position=accepted["position"])) as connection:
        await connection.send(json.dumps({"type": "auth", "token": user.token}))
        socket = await Socket(connection, user.session_id, user.tenant.id).start(accepted["position"])
        assert (await socket.frame())["type"] == "authenticated"
        assert (await socket.event())["task_id"] == accepted["task_id"]
        assert (await socket.answer({"type": "ping"}))["type"] == "pong"


async def test_nothing_before_the_token(service: OrchestratorServer, user: User) -> None:
    """A socket that has not proven who it is hears nothing of its session, and does not stand in its way."""
    async with dial(socket_url(service, user.session_id)) as mute:
        async with attend(service, user) as socket:
            accepted = await user.accepted()
            assert (await socket.event())["task_id"] == accepted["task_id"]
        await mute.send(json.dumps({"type": "auth", "token": "x"}))
        assert (await closing(mute))[0] == 4401


async def test_an_expired_token_in_the_first_frame(service: OrchestratorServer, user: User) -> None:
    """4401, as at every entrance."""
    async with dial(socket_url(service, user.session_id)) as socket:
        await socket.send(json.dumps({"type": "auth", "token": HS256.of(user.tenant, exp=time.time() - 1)}))
        assert (await closing(socket))[0] == 4401


@pytest.mark.parametrize("member", [{"x": 1}, {"request_id": "r"}, {"token": "x"}], ids=str)
async def test_a_token_given_twice(service: OrchestratorServer, user: User, member: dict[str, Any]) -> None:
    """Members besides do not change who it is; a token given twice is the last one, or none."""
    text = json.dumps({"type": "auth", "token": user.token})[:-1] + "," + json.dumps(member)[1:]
    async with dial(socket_url(service, user.session_id)) as socket:
        await socket.send(text)
        if "token" in member:
            assert (await closing(socket))[0] == 4401
        else:
            assert json.loads(await socket.recv())["type"] in ("connection_ack", "error")


async def test_a_bad_parameter_and_no_token(service: OrchestratorServer, user: User) -> None:
    """What is wrong with the URL is told with 4400 once the token is known to be good, and never leads in."""
    for query in ({"tier": "gold"}, {"tenant_id": "{x}"}, {"user_id": "\x07"}):
        async with dial(socket_url(service, user.session_id, **query)) as socket:
            await socket.send(json.dumps({"type": "auth", "token": user.token}))
            assert (await closing(socket))[0] in (4400, 4403)


async def test_a_socket_of_a_forged_user(service: OrchestratorServer, user: User) -> None:
    """The close tells the forger nothing: the same code and reason whether tenant and session exist or not."""
    await user.accepted()
    told: set[tuple[int, str]] = set()
    for tenant_id in (user.tenant.id, unique("nobody")):
        forged = by_hand({"alg": "HS256"}, claims_of(user.tenant, tenant_id=tenant_id), "x" * 40)
        for session in (user.session_id, unique("sess")):
            async with dial(socket_url(service, session)) as socket:
                await socket.send(json.dumps({"type": "auth", "token": forged}))
                told.add(await closing(socket))
    assert len(told) == 1
