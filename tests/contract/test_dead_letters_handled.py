"""What operators do with dead letters: replay and purge, by id or many at once (contract §8)."""

import asyncio
import json
from typing import Any

from tests.contract.client import Agent, Caller
from tests.contract.conftest import Command
from tests.contract.exchange import asked, callback, dead_letters, ended, push, settle


async def buried(orchestrator: Command, caller: Caller, agent: Agent, *texts: str) -> list[dict[str, Any]]:
    """Letters of these, once they lie there; the oldest first."""
    await push(agent, {"callback_queue": caller.tenant.callbacks}, *texts)
    await settle(caller, agent)
    return await dead_letters(orchestrator, caller.tenant.id)


async def done(orchestrator: Command, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """What a command says that it did."""
    return json.loads((await orchestrator("dead", *arguments, "--json", code=code)).stdout)


async def test_replay(orchestrator: Command, caller: Caller, agent: Agent) -> None:
    """A callback that came before its attempt ends the task once it is replayed, and its letter is gone."""
    _, task = await asked(caller, agent)
    early = json.dumps(callback(task, "completed", result={"response": "late, but there"}, attempt=2))
    (letter,) = await buried(orchestrator, caller, agent, early)
    key = f"{{{caller.tenant.callbacks}}}:task:{task['task_id']}"
    await agent.redis.hset(key, "attempt", 2)

    (row,) = await done(orchestrator, "replay", letter["id"])
    assert row == {
        "tenant_id": caller.tenant.id, "id": letter["id"], "reason": letter["reason"], "outcome": "replayed"
    }  # fmt: skip
    ledger = await ended(caller, task["task_id"])
    assert ledger["result"]["response"] == "late, but there"
    assert await dead_letters(orchestrator, caller.tenant.id) == []


async def test_replay_once(orchestrator: Command, caller: Caller, agent: Agent) -> None:
    """Two operators at once replay each letter once; one that is still wrong comes back under a new id."""
    before = await buried(orchestrator, caller, agent, "rubbish 1", "rubbish 2")
    command = ("replay", "--all", "--yes", "--tenant", caller.tenant.id)
    both = await asyncio.gather(done(orchestrator, *command), done(orchestrator, *command))
    await settle(caller, agent)

    replayed = [row["id"] for rows in both for row in rows if row["outcome"] == "replayed"]
    after = await dead_letters(orchestrator, caller.tenant.id)
    assert {letter["id"] for letter in before} <= set(replayed)
    assert len(replayed) == len(set(replayed))
    assert len(after) == 2
    assert not {letter["id"] for letter in before} & {letter["id"] for letter in after}


async def test_cut_at_64_kib(orchestrator: Command, caller: Caller, agent: Agent) -> None:
    """A letter that is not the whole callback cannot be replayed: exit code 1, and it stays."""
    (letter,) = await buried(orchestrator, caller, agent, "x" * 100_000)
    refused = await orchestrator("dead", "replay", letter["id"], "--tenant", caller.tenant.id, code=1)
    assert "64 KiB" in refused.stderr
    (row,) = await done(orchestrator, "replay", "--all", "--yes", "--tenant", caller.tenant.id)
    assert row["outcome"] == "cut"
    assert await dead_letters(orchestrator, caller.tenant.id) == [letter]
