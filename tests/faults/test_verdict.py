"""The verdict finds what is planted, and nothing where nothing is."""

from typing import Any

import pytest
from tests.faults.continuity import Reader
from tests.faults.record import (
    Answer,
    Connection,
    Followed,
    Frame,
    Loss,
    Message,
    Record,
    Sent,
    SessionKey,
    View,
)
from tests.faults.verdict import judge

KEY = SessionKey("acme", "s1")
MESSAGE = Message(number=1, session=KEY, kind="sdk", words=3, pause=0.1)
DONE: dict[str, Any] = {"status": "completed", "code": None, "result": {"response": MESSAGE.answer}}


def frame(kind: str, offset: int, task_id: str = "task-1", covers: int = 1, **data: Any) -> Frame:
    """An event at an offset of the one epoch there is."""
    return Frame(10.0, kind, task_id, f"e:{offset}-{offset}", covers, data)


def update(offset: int, status: str, attempt: int = 1, **more: Any) -> Frame:
    """The task goes on."""
    return frame("task_update", offset, **more, status=status, attempt=attempt)


def chunk(offset: int, seq: int, attempt: int = 1, **more: Any) -> Frame:
    """Word `seq` of the answer."""
    return frame("agent_chunk", offset, delta=f"m1:{seq} ", seq=seq, seq_from=seq, attempt=attempt, **more)


def answer(offset: int, response: str = MESSAGE.answer, **more: Any) -> Frame:
    """The task is completed."""
    return frame("agent_response", offset, **more, status="completed", response=response)


WHOLE = [update(1, "queued"), update(2, "running"), chunk(3, 0), chunk(4, 1), chunk(5, 2), answer(6)]


def connection(frames: list[Frame], **more: Any) -> Connection:
    """One that began at the beginning, or anew."""
    told: dict[str, Any] = {"asked": None, "recovered": True, "position": "e:0-0"}
    return Connection(at=1.0, replica=0, frames=frames, **told | more)


def record(*connections: Connection, **more: Any) -> Record:
    """A record of one session and one accepted message that was completed."""
    sent = Sent(MESSAGE, [Answer(10.0, 0, 202, "", "task-1")])
    final = View(20.0, connections[-1].resumes_at, {"task-1": DONE})
    parts: dict[str, Any] = {
        "sent": [sent],
        "followed": {KEY: Followed(KEY, list(connections), final)},
        "ledgers": {"task-1": DONE},
    }
    return Record(**parts | more)


def rules(given: Record) -> set[str]:
    """The rules that were broken."""
    return {violation.rule for violation in judge(given).violations}


def test_all_kept() -> None:
    """A task that was accepted, answered, seen: nothing to object to."""
    assert rules(record(connection(WHOLE))) == set()


def test_a_new_attempt() -> None:
    """What an older attempt had said is discarded on `retrying`, and on a chunk of a higher one."""
    again = [chunk(offset, offset - 5, attempt=2) for offset in (5, 6, 7)]
    told = [*WHOLE[:3], update(4, "retrying", attempt=2), *again, answer(8)]
    silent = [*WHOLE[:4], *again, answer(8)]
    assert rules(record(connection(told))) == rules(record(connection(silent))) == set()


def test_covered_chunks() -> None:
    """Who comes back after the ending gets it with the chunks that it covers."""
    back = connection([answer(6, covers=3)], asked="e:3-3", position="e:6-6")
    assert rules(record(connection(WHOLE[:3]), back)) == set()


PLANTED: dict[str, list[Frame]] = {
    "hole": [*WHOLE[:3], *WHOLE[4:]],
    "repeat": [*WHOLE[:4], WHOLE[3], *WHOLE[4:]],
    "disorder": [*WHOLE[:5], Frame(10.0, "agent_response", "task-1", "f:6-6", 1, WHOLE[5].data)],
    "second_ending": [*WHOLE, answer(7)],
    "after_ending": [*WHOLE, update(7, "running")],
    "old_attempt": [update(1, "retrying", attempt=2), chunk(2, 0), answer(3)],
    "lost_chunk": [*WHOLE[:3], chunk(4, 2), answer(5)],
    "text": [*WHOLE[:4], frame("agent_chunk", 5, delta="?", seq=2, seq_from=2, attempt=1), answer(6)],
    "unseen": WHOLE[:5],
    "answer": [*WHOLE[:5], answer(6, "something else")],
    "ending": [*WHOLE[:5], frame("error", 6, status="cancelled", code="cancelled")],
    "stranger": [*WHOLE, update(7, "queued", task_id="task-2")],
}


@pytest.mark.parametrize("rule", PLANTED)
def test_planted_in_what_was_seen(rule: str) -> None:
    """Each fault of a sequence is found by its name."""
    assert rule in rules(record(connection(PLANTED[rule])))


def test_a_silent_task() -> None:
    """Who wants no chunks gets none, and the whole answer all the same; who wants them gets them."""
    followed = Followed(KEY, [connection([*WHOLE[:2], answer(3)])])
    assert Reader(followed, {"task-1": False}).violations == []
    asked = Reader(followed, {"task-1": True}).violations
    assert [violation.rule for violation in asked] == ["text"]
    spoken = Followed(KEY, [connection([*WHOLE[:3], answer(4)])])
    assert [violation.rule for violation in Reader(spoken, {"task-1": False}).violations] == [
        "unwanted_chunk"
    ]


def test_a_prefix_is_no_text() -> None:
    """An answer that lacks its end is wrong, unless frames covered the rest."""
    followed = Followed(KEY, [connection([*WHOLE[:4], answer(5)])])
    assert [violation.rule for violation in Reader(followed).violations] == ["text"]


@pytest.mark.parametrize(
    ("ledger", "rule"),
    [
        (None, "lost"),
        ({"status": "running"}, "no_ending"),
        ({"status": "failed", "code": "too_many_attempts"}, "ending"),
        ({"status": "timeout", "code": "deadline"}, "ending"),
        ({"status": "cancelled", "code": "cancelled"}, "ending"),
        ({"status": "cancelled", "code": "superseded"}, "ending"),
        ({"status": "completed", "result": {"response": "m1:0 "}}, "answer"),
    ],
)
def test_planted_in_the_ledger(ledger: dict[str, Any] | None, rule: str) -> None:
    """A task without an ending, and endings that nothing explains."""
    assert rule in rules(record(connection(WHOLE), ledgers={"task-1": ledger}))


def test_a_refusal_that_was_none() -> None:
    """What was answered with `unavailable` may not be answered by an agent."""
    refused = [Answer(10.0, 0, 503, "unavailable")]
    assert rules(record(connection(WHOLE), sent=[Sent(MESSAGE, refused)])) == {"stranger", "not_accepted"}


def test_an_answer_that_never_came() -> None:
    """Where no answer came the message may have become a task, but one only."""
    nameless = [Sent(MESSAGE, [Answer(10.0, 0, 0)])]
    assert rules(record(connection(WHOLE), sent=nameless)) == set()
    twice = [update(7, "queued", task_id="task-2"), answer(8, task_id="task-2")]
    assert rules(record(connection([*WHOLE, *twice]), sent=nameless)) >= {"stranger", "not_accepted"}


def test_a_nameless_task_that_was_taken_back() -> None:
    """Nobody was told its name, its key went with it, its message was accepted anew: only where writes were lost."""
    tries = [Answer(9.0, 0, 0), Answer(10.0, 0, 202, "", "task-1")]
    seen = [*WHOLE, update(7, "queued", task_id="task-0")]
    given = record(connection(seen), sent=[Sent(MESSAGE, tries)])
    assert "stranger" in rules(given)
    given.losses.append(Loss(8.0, 9.5))
    assert "stranger" not in rules(given)


def test_a_nameless_task_ends() -> None:
    """A task whose name nobody was told has to end as well."""
    given = record(connection(WHOLE), sent=[Sent(MESSAGE, [Answer(10.0, 0, 0)])], ledgers={})
    given.followed[KEY].final = View(20.0, "e:6-6", {"task-1": {"status": "queued"}})
    assert rules(given) == {"no_ending"}


def test_a_retry_that_was_accepted_again() -> None:
    """One key, one task: what was of unknown outcome is not there beside what was accepted."""
    tries = [Answer(9.0, 0, 503, "outcome_unknown", "task-0"), Answer(10.0, 1, 202, "", "task-1")]
    ledgers: dict[str, Any] = {"task-1": DONE}
    assert rules(record(connection(WHOLE), sent=[Sent(MESSAGE, tries)], ledgers=ledgers)) == set()
    found = rules(record(connection(WHOLE), sent=[Sent(MESSAGE, tries)], ledgers=ledgers | {"task-0": DONE}))
    assert "accepted_twice" in found


def test_a_cancellation_that_was_none() -> None:
    """What was said to be cancelled stays so."""
    sent = Sent(MESSAGE, [Answer(10.0, 0, 202, "", "task-1")], cancel_asked=True, cancelled="cancelled")
    assert rules(record(connection(WHOLE), sent=[sent])) == {"not_cancelled"}


def test_a_false_alarm() -> None:
    """`recovered: false` is for losses; where there was none it is wrong, although the view tells the ending."""
    view = View(11.0, "e:6-6", {"task-1": DONE})
    anew = connection([], asked="e:3-3", recovered=False, position="e:6-6", view=view)
    given = record(connection(WHOLE[:3]), anew)
    assert rules(given) == {"false_alarm"}
    given.losses.append(Loss(9.5, 10.5))
    assert rules(given) == set()


def test_a_lost_acceptance() -> None:
    """An acceptance that went with the lost second is counted; one of another second is not excused."""
    late = [Answer(13.0, 0, 202, "", "task-1", created=10.0)]
    given = record(connection([]), sent=[Sent(MESSAGE, late)], ledgers={}, losses=[Loss(9.5, 10.5)])
    assert judge(given).lost == {"task-1"}
    assert rules(given) == set()
    given.losses[:] = [Loss(20.0, 21.0)]
    assert rules(given) == {"lost"}


def test_not_to_the_end() -> None:
    """A client that has not seen the newest event in the end is behind, however long it had."""
    given = record(connection(WHOLE))
    given.followed[KEY].final = View(20.0, "e:7-7", {"task-1": DONE})
    assert rules(given) == {"behind"}


def test_what_is_left() -> None:
    """Whatever stays in Redis, or was dropped uncounted, is a violation."""
    assert rules(record(connection(WHOLE), leftovers=["x"], uncounted=["y"])) == {
        "left_in_redis",
        "uncounted",
    }
