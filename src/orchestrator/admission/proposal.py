"""What is put to the admission script, and put anew where it needs to know more of a message (contract §3)."""

from typing import Final

import msgspec

from orchestrator.admission.new_task import NewTask
from orchestrator.broker.admissions import AdmitReply
from orchestrator.protocol.send_body import MESSAGE_MAX
from orchestrator.protocol.task_message import TaskMessage
from orchestrator.protocol.turn_policies import TurnPolicy

_read: Final = msgspec.json.Decoder(TaskMessage).decode
_write: Final = msgspec.json.Encoder().encode
_BETWEEN: Final = "\n\n"


class InboxMessage(msgspec.Struct, frozen=True):
    """A message as a running agent gets it: one JSON object in its task's inbox, members in this order."""

    task_id: str
    message: str
    user_id: str | None
    metadata: dict[str, object]
    created_at: str


class Proposal(msgspec.Struct, frozen=True):
    """A task that may be admitted, and how it comes to the others of its session."""

    new: NewTask
    turn_policy: TurnPolicy | None
    merged: list[str] | None = None
    inbox: str | None = None

    def joining(self, reply: AdmitReply, message: str) -> "Proposal":
        """With the messages of those that wait before its own; too long together, it waits by itself."""
        told = [_read(payload).message for payload in reply.payloads]
        joined = _BETWEEN.join([*told, message])
        if len(joined) > MESSAGE_MAX:
            return self.waiting(message)
        return self._with_message(joined, "merge", reply.waiting)

    def waiting(self, message: str) -> "Proposal":
        """By itself, behind the others."""
        return self._with_message(message, "queue", [])

    def steering(self) -> "Proposal":
        """With its message as an agent's inbox has it."""
        task = _read(self.new.payload)
        line = InboxMessage(task.task_id, task.message, task.user_id, task.metadata, task.created_at)
        return Proposal(self.new, "steer", self.merged, _write(line).decode())

    def _with_message(self, message: str, policy: TurnPolicy, merged: list[str]) -> "Proposal":
        payload = _write(msgspec.structs.replace(_read(self.new.payload), message=message))
        return Proposal(msgspec.structs.replace(self.new, payload=payload), policy, merged)
