"""What an experiment wrote down: everything that was accepted, and everything that was seen. Plain data."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from orchestrator.protocol.position import Position, parse_position
from orchestrator.protocol.tiers import Tier

ENDED: Final = frozenset({"completed", "failed", "timeout", "cancelled"})

Kind = Literal["sdk", "plain"]
"""Which sort of agent answers: a worker of the SDK, or a plain `BRPOP`."""

Ledger = dict[str, Any]


class Customer(NamedTuple):
    """A tenant; it has one agent of each kind."""

    id: str
    tier: Tier

    def agent(self, kind: Kind) -> str:
        """The canonical id of its agent of this kind."""
        return f"agent-{self.id}-{kind}"


class SessionKey(NamedTuple):
    """A session is one of its tenant."""

    tenant: str
    session: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message as it was planned. `words` and `pause` tell the agent how long its answer is."""

    number: int
    session: SessionKey
    kind: Kind
    words: int
    pause: float
    policy: str = "parallel"
    stream: bool = True
    timeout: int | None = None
    key: str | None = None
    cancel_after: float | None = None
    by_socket: bool = False

    @property
    def name(self) -> str:
        """What its answer is recognised by."""
        return f"m{self.number}"

    @property
    def text(self) -> str:
        """What is sent."""
        return f"{self.name} {self.words} {self.pause}"

    @property
    def answer(self) -> str:
        """What the agent says to it."""
        return answer_to(self.text)


def answer_to(text: str) -> str:
    """The whole answer to a message; merged messages are answered one after the other."""
    return "".join(piece for piece, _ in pieces_of(text))


def pieces_of(text: str) -> list[tuple[str, float]]:
    """The chunks of an answer, each with the seconds before it."""
    lines = [line.split() for line in text.splitlines() if line]
    return [
        (f"{name}:{number} ", float(pause)) for name, words, pause in lines for number in range(int(words))
    ]


@dataclass(frozen=True)
class Answer:
    """What one try to send came to; a status of 0: no answer at all. A replica of -1: by the session's socket."""

    at: float
    replica: int
    status: int
    code: str = ""
    task_id: str | None = None
    created: float = 0.0
    """When the request came, as a 202 tells: the answer itself may come seconds later."""


@dataclass
class Sent:
    """A message and its tries, the last one last. `cancelled` is the status that a cancellation answered with."""

    message: Message
    answers: list[Answer] = field(default_factory=list[Answer])
    cancel_asked: bool = False
    cancelled: str | None = None

    @property
    def accepted(self) -> Answer | None:
        """The 202, where there was one."""
        return next((answer for answer in self.answers if answer.status == 202), None)

    @property
    def tasks(self) -> set[str]:
        """Every task that an answer named, accepted or of unknown outcome."""
        return {answer.task_id for answer in self.answers if answer.task_id}

    def may_be_nameless(self, *, taken_back: bool) -> bool:
        """Whether it may have become a task whose name nobody was told.

        Where writes were `taken_back` also beside the one that was accepted: the key of the first went with them.
        """
        return any(answer.status == 0 for answer in self.answers) and (taken_back or self.accepted is None)


@dataclass(frozen=True)
class Frame:
    """An event as a client saw it."""

    at: float
    type: str
    task_id: str
    position: str
    covers: int
    data: dict[str, Any]

    @property
    def place(self) -> Position:
        """Its position, read."""
        return place_of(self.position)

    @property
    def ends(self) -> bool:
        """Whether it ends its task."""
        return self.type in ("agent_response", "error")


def place_of(position: str) -> Position:
    """A position, which has to be readable."""
    place = parse_position(position)
    assert place, f"no position: {position!r}"
    return place


@dataclass(frozen=True)
class View:
    """A session as `GET /api/chat/sessions/{id}` showed it."""

    at: float
    position: str
    tasks: dict[str, Ledger]


@dataclass
class Connection:
    """One WebSocket from its acknowledgement to its end; `asked` is the position it came with."""

    at: float
    replica: int
    asked: str | None
    recovered: bool
    position: str
    frames: list[Frame] = field(default_factory=list[Frame])
    view: View | None = None
    """What was read because `recovered` was false."""
    end: str = ""

    @property
    def resumes_at(self) -> str:
        """Where a client stands that has seen this much."""
        if self.frames:
            return self.frames[-1].position
        return self.asked if self.recovered and self.asked else self.position


@dataclass
class Followed:
    """All that one client saw of its session; `final` is the session at the very end."""

    key: SessionKey
    connections: list[Connection] = field(default_factory=list[Connection])
    final: View | None = None

    @property
    def frames(self) -> list[Frame]:
        """Every event, in the order in which it was seen."""
        return [frame for connection in self.connections for frame in connection.frames]


class Strike(NamedTuple):
    """A fault as it happened, in seconds since the experiment began."""

    name: str
    began: float
    healed: float


class Loss(NamedTuple):
    """Writes of this time (seconds since 1970, by the server's clock) were taken back."""

    since: float
    until: float


@dataclass
class Record:
    """The whole experiment."""

    sent: list[Sent] = field(default_factory=list[Sent])
    followed: dict[SessionKey, Followed] = field(default_factory=dict[SessionKey, Followed])
    ledgers: dict[str, Ledger | None] = field(default_factory=dict[str, Ledger | None])
    """Each task as it stood at the end; None where the answer was 404."""
    strikes: list[Strike] = field(default_factory=list[Strike])
    losses: list[Loss] = field(default_factory=list[Loss])
    leftovers: list[str] = field(default_factory=list[str])
    """What was still in Redis, one line each."""
    strays: dict[str, int] = field(default_factory=dict[str, int])
    """Callbacks that were pushed to be dropped, by what has to become of them."""
    uncounted: list[str] = field(default_factory=list[str])
    """What was dropped and is in no counter and no dead letter, one line each."""
