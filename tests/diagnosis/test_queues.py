"""The checks of what waits: tasks, callbacks, the agenda, dead letters."""

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.diagnosis.conftest import Beat, Look, client_of, codes

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.dispatch import Dispatch
from orchestrator.broker.keys import execution_queue
from orchestrator.broker.roster import Roster
from orchestrator.diagnosis import queues
from orchestrator.diagnosis.examination import Examination
from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.times import rfc3339

QUEUE = execution_queue("agent-1", "free")
CALLBACKS = "orchestrator:acme:callbacks"
DEAD = f"{{{CALLBACKS}}}:dead"


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[Any]:
    """What agents do, and what is done behind the service's back."""
    with client_of(valkey) as opened:
        yield opened


async def wait_since(broker: Broker, client: Any, seconds: float) -> None:
    """A task that has waited so long."""
    created = rfc3339(broker.clock.now() - int(seconds * 1e6))
    client.lpush(QUEUE, json.dumps({"created_at": created}))
    await Roster(broker, "orchestrator").note_queues([QUEUE])


async def serve(broker: Broker) -> None:
    """A live worker of the agent."""
    await Dispatch(broker.run).register("w1", ["agent-1"], 4, 60_000)


async def test_no_tasks(look: Look) -> None:
    """Nothing waits: nothing is wrong."""
    assert codes(await look(queues.execution)) == [""]


async def test_tasks_without_a_worker(look: Look, broker: Broker, client: Any) -> None:
    """Tasks wait and no worker lives: the queue is named, so that it can be compared."""
    await wait_since(broker, client, 30)
    (finding,) = await look(queues.execution)
    assert finding.code == "tasks_unserved"
    assert f"{QUEUE} (1)" in finding.what


async def test_tasks_that_have_just_come(look: Look, broker: Broker, client: Any) -> None:
    """A task of this moment says nothing yet."""
    await wait_since(broker, client, 0)
    assert codes(await look(queues.execution)) == [""]


@pytest.mark.parametrize(("seconds", "code"), [(30, ""), (600, "tasks_slow")])
async def test_tasks_with_a_worker(
    look: Look, broker: Broker, client: Any, seconds: float, code: str
) -> None:
    """A worker lives, so tasks may wait; but not for minutes."""
    await serve(broker)
    await wait_since(broker, client, seconds)
    assert codes(await look(queues.execution)) == [code]


async def report(broker: Broker, client: Any) -> None:
    """A callback that waits, of a tenant that is active."""
    await Agenda(broker).note("acme", broker.clock.now() + 60_000_000)
    client.lpush(CALLBACKS, "{}")


async def test_no_callbacks(look: Look, beat: Beat) -> None:
    """Nothing waits: nothing is wrong."""
    await beat()
    assert codes(await look(queues.callbacks)) == [""]


@pytest.mark.parametrize("alive", [True, False], ids=["a replica lives", "nobody lives"])
async def test_callbacks_that_nobody_takes(
    look: Look, broker: Broker, client: Any, beat: Beat, alive: bool
) -> None:
    """A callback that lies at the head is named, whether or not a replica says that it lives."""
    if alive:
        await beat()
    await report(broker, client)
    (finding,) = await look(queues.callbacks)
    assert (finding.code, f"{CALLBACKS} (1)" in finding.what) == ("callbacks_stuck", True)


async def test_callbacks_that_are_taken(
    look: Look, broker: Broker, client: Any, beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is taken meanwhile is delivery as it should be."""
    await beat()
    await report(broker, client)

    look_at_heads = queues.heads

    async def heads(exam: Examination, names: list[str]) -> dict[str, bytes | None]:
        found = await look_at_heads(exam, names)
        client.lpush(CALLBACKS, f'{{"another": {time.time()}}}')
        client.rpop(CALLBACKS)
        return found

    monkeypatch.setattr(queues, "heads", heads)
    assert codes(await look(queues.callbacks)) == [""]


@pytest.mark.parametrize(("seconds", "code"), [(300, "agenda_overdue"), (1, ""), (-60, "")])
async def test_agenda(look: Look, broker: Broker, seconds: float, code: str) -> None:
    """A look that is due is well for a moment, and minutes later it is not."""
    await Agenda(broker).note("acme", broker.clock.now() - int(seconds * 1e6))
    assert codes(await look(queues.agenda)) == [code]


def bury(valkey: ValkeyServer, age: float, reason: str = "not_json") -> None:
    """A dead letter of so long ago."""
    head = msgspec.msgpack.encode([reason, int((time.time() - age) * 1e6), 1, ""])
    with client_of(valkey) as client:
        client.lpush(DEAD, len(head).to_bytes(2) + head + b"?")
        client.expire(DEAD, 600)


@pytest.mark.parametrize(("age", "code"), [(60, "dead_letters"), (3 * 86_400, "")])
async def test_dead_letters(look: Look, broker: Broker, valkey: ValkeyServer, age: float, code: str) -> None:
    """Letters of the last day are a warning that says whose and why; older ones are told and no more."""
    await Agenda(broker).note("acme", broker.clock.now() + 60_000_000)
    bury(valkey, age + 60, "unknown_task")
    bury(valkey, age)
    (finding,) = await look(queues.dead_letters)
    assert finding.code == code
    assert ("acme (2, the last: not_json)" if code else "2 older ones") in finding.what


async def test_no_dead_letters(look: Look) -> None:
    """None is well."""
    assert codes(await look(queues.dead_letters)) == [""]
