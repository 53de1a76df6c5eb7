"""Without a right that the service needs nothing is taken or ended: a script would be stopped half way."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.broker.tenant import KEEPING, SECOND, Tenant, chunk
from tests.delivery.parts import Parts
from tests.packed import run_of, text_of
from tests.servers import wait_until

from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import Refused
from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.shares import Shares

ALONE = Shares("r1", ["r1"], 16)
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
async def limited(broker_server: ValkeyServer, grant: Grant, tenant: Tenant) -> AsyncIterator[Parts]:
    """The delivery side of a replica whose user is `svc`, with its worker running."""
    url = broker_server.url.replace("://", "://svc:secret@")
    async with Broker(url, tenant.broker.keys, KEEPING) as broker:
        await broker.set_clock()
        parts = Parts(Tenant(broker, tenant.client, tenant.name))
        async with parts.pumping():
            yield parts


async def lose(parts: Parts, grant: Grant, rule: str) -> None:
    """The user has lost a right, and the replica has looked."""
    grant(rule)
    with pytest.raises(Refused):
        await parts.rights.look()


async def regain(parts: Parts, grant: Grant) -> None:
    """It has the right again, and the replica has looked."""
    grant()
    await parts.rights.look()


async def test_no_piece_comes_twice(limited: Parts, tenant: Tenant, grant: Grant) -> None:
    """What could be recorded and not be trimmed stays on the queue until it can be both."""
    task = await tenant.task()
    await lose(limited, grant, "-ltrim")
    tenant.report(chunk(task, "x"))
    limited.worker.ring(tenant.name)
    await wait_until(lambda: "callback_failed" in limited.events)
    assert text_of(tenant.client, tenant.key(f"task:{task}")) == (b"", None)
    await regain(limited, grant)
    await wait_until(lambda: not tenant.client.llen(tenant.queue))
    assert text_of(tenant.client, tenant.key(f"task:{task}"))[0] == b"x"


async def test_found_out_by_a_call(limited: Parts, tenant: Tenant, grant: Grant) -> None:
    """Nobody waits for the next look: the first call that is refused is the last one."""
    task = await tenant.task()
    grant("-ltrim")
    tenant.report(chunk(task, "x"))
    limited.worker.ring(tenant.name)
    await wait_until(lambda: not limited.rights.granted)
    await wait_until(lambda: limited.events.count("callback_failed") == 3)
    assert run_of(tenant.client, tenant.key(f"task:{task}")).chunks == 1


async def test_no_deadline_is_enforced(limited: Parts, tenant: Tenant, grant: Grant) -> None:
    """Deadlines wait too, since the answer that came in time cannot be taken."""
    task = await tenant.task(timeout=-1)
    await limited.agenda.note(tenant.name, tenant.broker.clock.now() - SECOND)
    await lose(limited, grant, "-ltrim")
    await limited.sweeper.sweep(ALONE)
    assert await tenant.status(task) == "accepted"
    await regain(limited, grant)
    await limited.sweeper.sweep(ALONE)
    assert await tenant.status(task) == "timeout"
