"""The life of tasks as the contract has it: what each report, end and loss does, and what viewers are told."""

from collections import Counter
from typing import Any, Final

import msgspec

from orchestrator.protocol.tasks import DEFAULT_CODES, ENDINGS, EndStatus, Status
from orchestrator.protocol.turn_policies import TurnPolicy

ATTEMPTS_MAX: Final = 3


class Task(msgspec.Struct):
    """An accepted message, as far as the service remembers it."""

    id: str
    session: str
    context: str
    stream: bool
    status: Status = "accepted"
    code: str = ""
    attempt: int = 1
    seq: int = -1
    text: str = ""
    leased: bool = False
    held: bool = False
    target: str = ""
    """The task to whose inbox it was added."""
    unpushed: bool = True

    @property
    def open(self) -> bool:
        """Whether it has no ending."""
        return self.status not in ENDINGS

    @property
    def waits(self) -> bool:
        """Whether no agent has reported it."""
        return self.status in {"accepted", "queued"}


class Told(msgspec.Struct, frozen=True):
    """An event that viewers get: its data have these members, beside others."""

    session: str
    task: str
    type: str
    data: dict[str, Any]


class Life:
    """All tasks of a tenant. `told` and `counts` are taken by whoever compares them."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.lost: set[str] = set()
        self.ghosts: set[str] = set()
        """Lost tasks that are still counted as outstanding; their deadline takes them off."""
        self.lost_running = 0
        self.told: list[Told] = []
        self.counts: Counter[str] = Counter()

    def open(self, session: str | None = None) -> list[Task]:
        """The tasks without an ending, by acceptance."""
        return [task for task in self.tasks.values() if task.open and session in {None, task.session}]

    @property
    def outstanding(self) -> int:
        """What counts against `max_outstanding`."""
        return len(self.open()) + len(self.ghosts)

    @property
    def running(self) -> int:
        """What the tenant's figures say runs."""
        return sum(task.status == "running" for task in self.tasks.values()) + self.lost_running

    # Admission

    def stops(self, policy: TurnPolicy, session: str, context: str) -> tuple[list[Task], str]:
        """What a message by this policy ends, and as what."""
        others = self.open(session)
        if policy == "interrupt":
            return others, "superseded"
        if policy == "latest":
            return [task for task in others if task.waits], "superseded"
        begun = {task.id for task in others if not task.waits}
        joined = [
            task for task in others if task.waits and task.context == context and task.target not in begun
        ]
        return (joined, "merged") if policy == "merge" else ([], "")

    def accept(self, task: Task, policy: TurnPolicy) -> list[Task]:
        """A message is accepted; what it ends."""
        stops, code = self.stops(policy, task.session, task.context)
        for other in stops:
            self.end(other, "cancelled", code, **({"into": task.id} if code == "merged" else {}))
        others = self.open(task.session)
        targets = [other for other in others if not other.held and other.context == task.context]
        if policy == "steer" and targets:
            task.target = targets[-1].id
        task.held = bool(task.target or (policy in {"queue", "latest", "merge"} and others))
        self._tell(task, "task_update", status="queued", attempt=1)
        if task.held:
            task.status, task.unpushed = "queued", False
            self._tell(task, "task_update", status="queued", waiting_for="an earlier message of this session")
        self.tasks[task.id] = task
        return stops

    def queued(self, task: Task, attempt: int) -> None:
        """Somebody noted that an attempt was pushed."""
        if task.attempt == attempt:
            task.unpushed = False
        if task.status == "accepted":
            task.status = "queued"

    def turn_of(self, session: str) -> Task | None:
        """The held message that goes next, where nothing is active."""
        others = self.open(session)
        return next((task for task in others if task.held), None) if all(t.held for t in others) else None

    def release(self, task: Task) -> None:
        """It waits no longer for an earlier message."""
        task.held, task.target, task.unpushed = False, "", True
        self._tell(task, "task_update", status="queued", attempt=task.attempt)

    # What agents report

    def report(self, callback: dict[str, Any]) -> None:
        """One callback, as the contract's table of statuses has it."""
        task = self.tasks.get(callback["task_id"])
        attempt = callback.get("attempt")
        if task is None:
            self.counts["dead|unknown_task"] += 1
        elif not task.open:
            self.counts["dropped|late"] += 1
        elif attempt is not None and attempt < task.attempt:
            self.counts["dropped|fenced"] += 1
        elif attempt is not None and attempt > task.attempt:
            self.counts["dead|unknown_attempt"] += 1
        else:
            self.counts[f"taken|{callback['status']}"] += 1
            self._take(task, callback)

    def _take(self, task: Task, callback: dict[str, Any]) -> None:
        for other in [self.tasks.get(name) for name in callback.get("took", ())]:
            if other and other.open and other.target == task.id:
                self.end(other, "cancelled", "merged", into=task.id)
        status, result = callback["status"], callback.get("result", {})
        if status == "failed" and callback.get("retry"):
            self.try_again(task, callback)
        elif status == "completed":
            self.end(task, "completed", "", response=result.get("response", task.text or None))
        elif status in ENDINGS:
            error = result.get("error", {})
            self.end(task, status, error.get("code", DEFAULT_CODES[status]))
        else:
            self._go_on(task, callback, result)

    def _go_on(self, task: Task, callback: dict[str, Any], result: dict[str, Any]) -> None:
        status = callback["status"]
        task.leased = task.leased or (status == "running" and "lease" in callback)
        shown = {"detail": result} if status == "running" and result else {}
        if task.status != "running":
            task.status, task.held, task.target = "running", False, ""
            self._tell(task, "task_update", status="running", attempt=task.attempt, **shown)
        elif shown:
            self._tell(task, "task_update", status="running", attempt=task.attempt, **shown)
        if status == "progress":
            self._tell(task, "task_update", status="progress", attempt=task.attempt, detail=result)
        if status == "streaming":
            self._take_chunk(task, callback.get("seq", task.seq + 1), result["delta"])

    def _take_chunk(self, task: Task, seq: int, delta: str) -> None:
        if seq <= task.seq:
            self.counts["dropped|duplicate"] += 1
            return
        self.counts["seq_gap"] += seq > task.seq + 1
        task.seq = seq
        task.text += delta
        if task.stream:
            self._tell(task, "agent_chunk", delta=delta, seq=seq, seq_from=seq, attempt=task.attempt)

    # Attempts and ends

    def try_again(self, task: Task, asked: dict[str, Any] | None = None) -> None:
        """An attempt is over without an answer, as its agent asked or because its worker is gone."""
        result: dict[str, Any] = asked.get("result", {}) if asked else {"reason": "worker_lost"}
        if task.attempt >= ATTEMPTS_MAX:
            own = result.get("error", {}).get("code", "agent_failed")
            return self.end(task, "failed", own if asked else "too_many_attempts")
        self.counts["retried|asked" if asked else "retried|worker_lost"] += 1
        task.status, task.attempt, task.seq, task.text = "retrying", task.attempt + 1, -1, ""
        task.leased, task.unpushed = False, True
        return self._tell(task, "task_update", status="retrying", attempt=task.attempt, detail=result)

    def end(self, task: Task, status: EndStatus, code: str, **data: Any) -> None:
        """The one ending."""
        assert task.open
        task.status, task.code, task.held, task.target = status, code, False, ""
        task.unpushed = task.leased = False
        kind = "agent_response" if status == "completed" else "error"
        self._tell(task, kind, status=status, **({"code": code} if code else {}), **data)

    def lose(self, task: Task) -> None:
        """The record is gone; what counted it goes on counting until its deadline."""
        if task.open:
            self.ghosts.add(task.id)
            self.lost_running += task.status == "running"
        self.lost.add(task.id)
        del self.tasks[task.id]

    def deadlines_pass(self, due: list[str]) -> None:
        """The agenda finds these overdue, in this order."""
        for name in due:
            if name in self.tasks:
                self.end(self.tasks[name], "timeout", "deadline")
        self.ghosts -= set(due)

    def leases_pass(self, due: list[str]) -> None:
        """The agenda finds the leases of these over."""
        for name in due:
            if name in self.tasks and self.tasks[name].open:
                self.try_again(self.tasks[name])

    def forget_sums(self) -> None:
        """Where nothing is outstanding nothing runs, whatever was lost."""
        if not self.outstanding:
            self.lost_running = 0

    def _tell(self, task: Task, kind: str, **data: Any) -> None:
        self.told.append(Told(task.session, task.id, kind, data))
