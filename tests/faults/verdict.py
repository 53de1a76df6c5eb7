"""The verdict: what was promised of each message against what was seen. Pure: a record goes in, violations come out."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.faults.continuity import Reader, Violation
from tests.faults.record import ENDED, Followed, Frame, Ledger, Record, Sent, SessionKey, place_of

_REPLACING: Final = {"superseded": {"interrupt", "latest"}, "merged": {"merge"}}
"""Codes of tasks that another message of their session ended, and the policies that do so."""
_OF_LOST_CALLBACKS: Final = {"lost_chunk", "text"}
"""What is no fault of the service where callbacks went with the writes that were taken back."""
SLACK: Final = 1.0
"""Seconds by which a replica's estimate of the server's clock may be wrong, at the most."""


class Verdict(NamedTuple):
    """What came out; `lost` are acceptances that went with the writes that were taken back, as documented."""

    violations: list[Violation]
    lost: set[str]


def judge(record: Record) -> Verdict:
    """Every violation of the promise, and none where it was kept."""
    return _Judge(record).verdict()


class _Judge:
    def __init__(self, record: Record) -> None:
        self._record = record
        self._found: list[Violation] = []
        self._lost: set[str] = set()
        streams = {task_id: sent.message.stream for sent in record.sent for task_id in sent.tasks}
        self._readers = {key: Reader(followed, streams) for key, followed in record.followed.items()}

    def verdict(self) -> Verdict:
        for reader in self._readers.values():
            self._session(reader)
        for sent in self._record.sent:
            self._message(sent)
        self._answered_twice()
        for rule, lines in (("left_in_redis", self._record.leftovers), ("uncounted", self._record.uncounted)):
            self._found += [Violation(rule, SessionKey("-", "-"), None, line) for line in lines]
        return Verdict(self._found, self._lost)

    def _session(self, reader: Reader) -> None:
        excused = _OF_LOST_CALLBACKS if self._record.losses else set[str]()
        self._found += [violation for violation in reader.violations if violation.rule not in excused]
        if reader.resets and not self._record.losses:
            self._object("false_alarm", reader.key, None, "recovered: false, and nothing had been lost")
        for task_id in _strangers(self._record, reader.key):
            self._object("stranger", reader.key, task_id, "a task that no answer has named")
        final = self._record.followed[reader.key].final
        if final and (reader.last is None or place_of(final.position) != reader.last):
            self._object("behind", reader.key, None, f"seen up to {reader.last}, and it is {final.position}")
        for task_id, ledger in (final.tasks if final else {}).items():
            if ledger["status"] not in ENDED and task_id not in self._record.ledgers:
                self._object("no_ending", reader.key, task_id, f"still {ledger['status']}")

    def _message(self, sent: Sent) -> None:
        for task_id in sorted(sent.tasks):
            ledger = self._record.ledgers.get(task_id)
            accepted = sent.accepted is not None and sent.accepted.task_id == task_id
            if ledger is not None:
                self._task(sent, task_id, ledger)
            elif accepted:
                self._vanished(sent, task_id)
        existing = [task_id for task_id in sent.tasks if self._record.ledgers.get(task_id)]
        if len(existing) > 1 and not self._record.losses:
            self._object("accepted_twice", sent.message.session, existing[0], f"also {existing[1:]}")

    def _vanished(self, sent: Sent, task_id: str) -> None:
        assert sent.accepted is not None
        # It was recorded between the request and its answer, which may be seconds apart where Redis was away.
        asked, answered = sent.accepted.created, sent.accepted.at
        losses = self._record.losses
        if any(asked <= loss.until + SLACK and loss.since - SLACK <= answered for loss in losses):
            self._lost.add(task_id)
        else:
            self._object("lost", sent.message.session, task_id, "accepted with 202, and nobody knows it")

    def _task(self, sent: Sent, task_id: str, ledger: Ledger) -> None:
        key, status = sent.message.session, ledger["status"]
        if status not in ENDED:
            self._object("no_ending", key, task_id, f"still {status}")
            return
        if sent.cancelled == "cancelled" and status != "cancelled" and not self._record.losses:
            self._object("not_cancelled", key, task_id, f"the cancellation said so, and it ended as {status}")
        if reason := _unexplained(sent, ledger, self._record):
            self._object("ending", key, task_id, reason)
        if status == "completed":
            self._answer(sent, task_id, ledger["result"].get("response"))
        self._seen(sent, task_id, ledger)

    def _answer(self, sent: Sent, task_id: str, response: object) -> None:
        message = sent.message
        whole = isinstance(response, str) and (
            response.endswith(message.answer) if message.policy == "merge" else response == message.answer
        )
        if not whole:
            self._object("answer", message.session, task_id, f"{response!r} instead of {message.answer!r}")

    def _seen(self, sent: Sent, task_id: str, ledger: Ledger) -> None:
        key = sent.message.session
        reader, followed = self._readers[key], self._record.followed[key]
        frame = reader.endings.get(task_id)
        if frame is None:
            if not _shown_by_view(followed, task_id):
                self._object("unseen", key, task_id, f"ended as {ledger['status']}; its client was not told")
        elif frame.data.get("status") != ledger["status"]:
            self._object("ending", key, task_id, f"told {frame.data}, and the ledger says {ledger['status']}")
        elif frame.type == "agent_response" and frame.data.get("response") != ledger["result"]["response"]:
            self._object("answer", key, task_id, f"told {frame.data}, and the ledger says {ledger['result']}")

    def _answered_twice(self) -> None:
        """Two tasks with the same message: a retry that was accepted again, or a refusal that was none."""
        owners: defaultdict[tuple[SessionKey, str], set[str]] = defaultdict(set)
        for key, frame in _responses(self._record):
            for word in str(frame.data.get("response") or "").split():
                owners[key, word.partition(":")[0]].add(frame.task_id)
        for sent in self._record.sent:
            answered = owners[sent.message.session, sent.message.name]
            surplus = answered if _is_refused(sent) else set(sorted(answered)[1:])
            if surplus and not self._record.losses:
                self._object("not_accepted", sent.message.session, min(surplus), f"answers {sent.message}")

    def _object(self, rule: str, key: SessionKey, task_id: str | None, detail: str) -> None:
        self._found.append(Violation(rule, key, task_id, detail))


def _is_refused(sent: Sent) -> bool:
    """Whether every answer said that it was certainly not accepted."""
    return all(answer.status >= 400 and answer.code != "outcome_unknown" for answer in sent.answers)


def _responses(record: Record) -> Iterator[tuple[SessionKey, Frame]]:
    for key, followed in record.followed.items():
        for frame in followed.frames:
            if frame.type == "agent_response":
                yield key, frame


def _strangers(record: Record, key: SessionKey) -> list[str]:
    """Tasks of a session that cannot be any message's: more than those whose answer never came."""
    of_session = [sent for sent in record.sent if sent.message.session == key]
    followed = record.followed[key]
    seen = {frame.task_id for frame in followed.frames} | set(followed.final.tasks if followed.final else ())
    strangers = sorted(seen - {task_id for sent in of_session for task_id in sent.tasks})
    taken_back = bool(record.losses)
    return strangers[sum(sent.may_be_nameless(taken_back=taken_back) for sent in of_session) :]


def _shown_by_view(followed: Followed, task_id: str) -> bool:
    """Whether a client that had to begin anew read the ending in the session's view."""
    views = [connection.view for connection in followed.connections if connection.view]
    return any(view.tasks.get(task_id, {}).get("status") in ENDED for view in views)


def _unexplained(sent: Sent, ledger: Ledger, record: Record) -> str:
    """Why nothing that was done to this task explains its ending; "" where something does."""
    message, status, code = sent.message, ledger["status"], ledger.get("code")
    if status == "failed":
        return f"failed with {code}, and agents here never fail"
    if status == "timeout" and message.kind == "sdk" and message.timeout is None and not record.losses:
        return "its agent is supervised and it had time enough, and it ended as timeout"
    if status == "cancelled" and code in _REPLACING:
        policies = {other.message.policy for other in record.sent if other.message.session == message.session}
        return "" if policies & _REPLACING[code] else f"{code}, and no message of its session does that"
    if status == "cancelled" and not sent.cancel_asked:
        return f"cancelled with {code}, and nobody asked for it"
    return ""
