"""The small pure parts: budgets, shares of work, bodies of a send, ledgers."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.budget import Budget
from orchestrator.protocol.ledger import is_waiting, read_ledger
from orchestrator.protocol.send_body import MESSAGE_MAX, SendBody, fault_of
from orchestrator.protocol.shares import LISTENERS_MAX, Shares
from orchestrator.protocol.waiting import Explanation


def test_burst_then_rate() -> None:
    """A burst passes at once, then so many a second."""
    budget = Budget(rate=5, burst=10, now=0)
    assert [budget.spend(0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert 0 < budget.wait_seconds <= 0.6
    assert budget.spend(0.7)
    assert not budget.spend(0.7)


def test_flood() -> None:
    """Who sends a whole burst on top of what was refused floods; who waits is well again."""
    budget = Budget(rate=5, burst=10, now=0)
    for _ in range(20):
        budget.spend(0)
    assert not budget.exhausted
    budget.spend(0)
    assert budget.exhausted
    for _ in range(1_000):
        budget.spend(0)
    assert budget.spend(3)
    assert not budget.exhausted


@given(st.lists(st.floats(0, 2), max_size=60))
def test_never_more_than_burst_and_rate(pauses: list[float]) -> None:
    """Whatever the rhythm, no more passes than a burst and what the time allows."""
    budget, now, passed = Budget(rate=3, burst=6, now=0), 0.0, 0
    for pause in pauses:
        now += pause
        passed += budget.spend(now)
    assert passed <= 6 + 3 * now + 1e-6


@given(st.lists(st.floats(0, 0.5), max_size=60))
def test_refused_ones_keep_nobody_out(pauses: list[float]) -> None:
    """Where refused ones count for nothing, the full rate passes however many come."""
    budget, now = Budget(rate=3, burst=3, now=0), 0.0
    assert [budget.take(now) for _ in range(100)] == [True] * 3 + [False] * 97
    for pause in pauses:
        now += pause
        budget.take(now)
    assert budget.take(now + 0.34)


names = st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), min_size=1, max_size=8, unique=True)


servers = st.integers(0, 16_383)


@given(names, st.text(max_size=9), servers)
def test_every_tenant_has_one_pump(replicas: list[str], tenant: str, server: int) -> None:
    """Of the live replicas exactly one takes a tenant's callbacks, and it hears the doorbell."""
    shares = [Shares(name, replicas, 16) for name in replicas]
    pumps = [share for share in shares if share.pumps(tenant, server)]
    assert len(pumps) == 1
    assert pumps[0].listens(server)


@given(names)
def test_every_part_has_one_owner(replicas: list[str]) -> None:
    """Each part of the agenda is looked after by one live replica, and moves only when that one goes."""
    owners = {name: set(Shares(name, replicas, 16).parts) for name in replicas}
    assert sorted(part for parts in owners.values() for part in parts) == list(range(16))
    rest = replicas[1:]
    assert all(set(Shares(name, rest, 16).parts) >= owners[name] for name in rest)


@given(names, servers)
def test_listeners(replicas: list[str], server: int) -> None:
    """Four replicas hear the doorbell of a server, or all where there are fewer; all agree who."""
    shares = [Shares(name, replicas, 16) for name in replicas]
    assert sum(share.listens(server) for share in shares) == min(len(replicas), LISTENERS_MAX)


def test_servers_have_listeners_of_their_own() -> None:
    """The more servers a Cluster has, the more replicas take callbacks."""
    replicas = [f"replica-{number}" for number in range(16)]
    shares = [Shares(name, replicas, 16) for name in replicas]
    busy = {share.replica for share in shares if any(map(share.listens, range(0, 16_384, 1_024)))}
    assert len(busy) > 3 * LISTENERS_MAX


def test_replica_that_nobody_knows_yet() -> None:
    """One that is not on the roster does everything: work done twice is only effort."""
    alone = Shares("new", ("a", "b"), 16)
    assert alone.listens(0)
    assert alone.pumps("acme", 0)
    assert alone.parts == tuple(range(16))


def body(**members: Any) -> SendBody:
    """A body as it is decoded at the edge."""
    return msgspec.json.decode(msgspec.json.encode({"message": "hi", **members}), type=SendBody)


@pytest.mark.parametrize(
    "members",
    [
        {"message": ""}, {"message": "x" * (MESSAGE_MAX + 1)}, {"message": 5}, {"message": None}, {"mesage": "x"},
        {"message_type": "html"}, {"stream": "yes"}, {"max_iterations": 0}, {"max_iterations": 1.5}, {"timeout": 0},
        {"timeout": -1}, {"metadata": []}, {"user_info": "x"}, {"turn_policy": "whatever"},
    ],
)  # fmt: skip
def test_bodies_that_are_refused(members: dict[str, Any]) -> None:
    """A message of 1 to 32 000 characters, and members of the contract's types; nothing unknown."""
    with pytest.raises(msgspec.ValidationError):
        body(**members)


def test_bodies() -> None:
    """What is not given has the contract's default; a message's length is in characters."""
    assert body() == SendBody(message="hi")
    assert body().stream
    assert len(body(message="é" * MESSAGE_MAX).message) == MESSAGE_MAX


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"timeout": 3_601}, "timeout"),
        ({"timeout": 3_600, "turn_policy": "queue"}, None),
    ],
)
def test_faults_beyond_types(members: dict[str, Any], fault: str | None) -> None:
    """A timeout above the deployment's is named; each turn policy is one."""
    found = fault_of(body(**members), 3_600)
    assert (found is None) if fault is None else (found is not None and fault in found)


RECORD: Mapping[str, bytes] = {
    "status": b"queued", "attempt": b"1", "session": b"sess-1", "context": b"agent-1",
    "queue": b"execution:agent-1:free",
    "accepted_at": b"1767323045678901", "queued_at": b"1767323045678902", "payload": b"{}",
}  # fmt: skip


def test_ledger_of_a_waiting_task() -> None:
    """What is not known is null."""
    ledger = read_ledger("task-1", RECORD, Explanation(3, (5, 20), "2 ahead"))
    assert (ledger.status, ledger.queue_position) == ("queued", 3)
    assert (ledger.eta_seconds, ledger.waiting_for) == ((5, 20), "2 ahead")
    assert (ledger.result, ledger.error, ledger.position) == (None, None, None)
    assert ledger.timeline["queued_at"] == "2026-01-02T03:04:05.678902Z"
    assert ledger.timeline["ended_at"] is None
    assert list(ledger.timeline) == [
        "accepted_at", "queued_at", "started_at", "first_chunk_at", "ended_at", "delivered_at", "acknowledged_at",
    ]  # fmt: skip
    assert is_waiting(RECORD)


def test_ledger_of_an_answer() -> None:
    """The result is the frame's, without what stands beside it."""
    raw = b'{"result":{"sources":[1],"x":2},"execution_time":1.5,"tokens_used":{"total":3}}'
    done = {
        **RECORD,
        "status": b"completed",
        "result": raw,
        "text": b"joined",
        "code": b"",
        "position": b"e:3-4",
    }
    ledger = read_ledger("task-1", done)
    assert ledger.result == {"response": "joined", "sources": [1], "x": 2, "agent_info": {}}
    assert (ledger.error, ledger.code, ledger.execution_time, ledger.tokens_used) == (
        None,
        None,
        1.5,
        {"total": 3},
    )
    assert ledger.position == "e:3-4"
    assert not is_waiting(done)


@given(st.binary(max_size=60), st.sampled_from([b"completed", b"failed", b"timeout", b"cancelled"]))
def test_ledger_of_any_callback(raw: bytes, status: bytes) -> None:
    """Whatever an agent sent, the ledger can be written."""
    msgspec.json.encode(read_ledger("task-1", {**RECORD, "status": status, "result": raw, "text": raw}))


def test_ledger_of_a_failure() -> None:
    """The error has the agent's type, too, where it told one."""
    raw = b'{"result":{"error":{"type":"Timeout","message":"m","code":"own"}}}'
    ledger = read_ledger("task-1", {**RECORD, "status": b"failed", "result": raw, "code": b""})
    assert ledger.error == {"code": "own", "message": "m", "type": "Timeout"}
    assert (ledger.code, ledger.result) == ("own", None)
