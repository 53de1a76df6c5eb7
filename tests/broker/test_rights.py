"""rights.lua: what the user lacks is found out before it is needed (each kind of server)."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.broker.tenant import KEEPING

from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import Refused
from orchestrator.broker.keys import Keys
from orchestrator.broker.rights import Rights
from orchestrator.embedded import ValkeyServer

Grant = Callable[..., None]


@pytest.fixture
def grant(client: Any) -> Iterator[Grant]:
    """Gives the user `svc` everything, and then what these rules say."""

    def given(*rules: str) -> None:
        client.execute_command("ACL", "SETUSER", "svc", "on", ">secret", "~*", "&*", "+@all", *rules)

    given()
    yield given
    client.acl_deluser("svc")


@pytest.fixture
async def rights(server: ValkeyServer, grant: Grant) -> AsyncIterator[Rights]:
    """Those of that user."""
    url = server.url.replace("://", "://svc:secret@")
    async with Broker(url, Keys("orchestrator", "orchestrator"), KEEPING) as broker:
        yield Rights(broker)


async def test_granted(rights: Rights, client: Any) -> None:
    """Who may do everything lacks nothing, and nothing was done to find out."""
    await rights.look()
    assert rights.granted
    assert client.dbsize() == 0


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ("-zadd", "ZADD {orchestrator:doctor:callbacks}:doctor"),
        ("-function|load", "FUNCTION LOAD"),
        ("-fcall", "fcall"),
        ("resetkeys", ""),
    ],
)
async def test_missing(rights: Rights, grant: Grant, rule: str, named: str) -> None:
    """What is missing is named, as long as it is; even where the question itself may not be asked."""
    await rights.look()
    grant(rule)
    with pytest.raises(Refused, match="NOPERM") as raised:
        await rights.look()
    assert named in str(raised.value)
    assert not rights.granted
    grant()
    await rights.look()
    assert rights.granted


async def test_doubt(rights: Rights) -> None:
    """A call that was refused for a right counts until somebody has looked; other refusals say nothing of it."""
    rights.doubt(Refused("WRONGTYPE no"))
    assert rights.granted
    for text in ("NOPERM no", "ACL failure in script: no"):
        rights.doubt(Refused(text))
        assert not rights.granted
        await rights.look()
        assert rights.granted
