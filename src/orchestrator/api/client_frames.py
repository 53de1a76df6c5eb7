"""Frames from a client on its WebSocket, and what each does (contract §4)."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from orchestrator.admission.context_handler import ContextHandler
from orchestrator.admission.request import Addressed
from orchestrator.admission.send import Sender
from orchestrator.api.bodies import parse_answer, parse_send
from orchestrator.api.credentials import Credentials
from orchestrator.api.frame_members import (
    Complaint,
    Members,
    position_of,
    read_members,
    refuse_unknown,
    text_of,
    types_of,
)
from orchestrator.auth.identifier import Identifier
from orchestrator.auth.identity import IN_QUERY, Identity, Stated, identify, require_user_id
from orchestrator.broker.broker import Clock
from orchestrator.broker.connection import BrokerError
from orchestrator.delivery.answers import AnswerDesk
from orchestrator.delivery.cancellation import Cancellation
from orchestrator.delivery.connection import Connection
from orchestrator.delivery.settlements import Settlements
from orchestrator.errors import Problem
from orchestrator.metrics import Counter, Metrics
from orchestrator.protocol.events import EVENT_TYPES, EventType, Frame
from orchestrator.protocol.filters import listed
from orchestrator.protocol.identifiers import is_valid_task_id
from orchestrator.protocol.times import rfc3339
from orchestrator.telemetry import Log, LogEvent

_encode: Final = msgspec.json.Encoder().encode
_BODY: Final = (
    "message",
    "message_type",
    "user_info",
    "metadata",
    "stream",
    "max_iterations",
    "timeout",
    "turn_policy",
)
_ADDRESS: Final = (
    "agent_id",
    "context_type",
    "collection_id",
    "user_id",
    "conversation_id",
    "idempotency_key",
)
_SEND: Final = frozenset({"type", "request_id", *_BODY, *_ADDRESS})
_ANSWER_BODY: Final = ("answer", "question")
_ANSWER: Final = frozenset({"type", "request_id", "task_id", *_ANSWER_BODY})
_REQUEST_ID_MAX: Final = 128


class Caller:
    """Who speaks on a socket; a newer token of the same caller takes the place of the older one."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity


class ClientFrames:
    """Does what a client's frames ask for."""

    def __init__(
        self,
        *,
        identifier: Identifier,
        credentials: Credentials,
        context_handler: ContextHandler,
        sender: Sender,
        cancellation: Cancellation,
        answers: AnswerDesk,
        settlements: Settlements,
        clock: Clock,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._identifier = identifier
        self._credentials = credentials
        self._context_handler = context_handler
        self._sender = sender
        self._cancellation = cancellation
        self._answers = answers
        self._settlements = settlements
        self._clock = clock
        self._metrics = metrics
        self._log = log
        # What needs nobody outside; the others wait for Redis or for keys.
        self._at_once: Mapping[str, Callable[[Connection, Members], None]] = {
            "ping": self._ping,
            "ack": self._ack,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }

    def frame(self, connection: Connection, kind: str, data: Members) -> bytes:
        """A frame that is no event of the log."""
        moment = rfc3339(self._clock.now())
        return _encode(Frame(kind, data, moment, connection.session, connection.tenant))

    async def handle(self, connection: Connection, caller: Caller, text: str) -> None:
        """One frame; whatever is wrong with it is told by an `error` frame."""
        members: Members = {}
        try:
            members = read_members(text)
            await self._do(connection, caller, members)
        except Complaint as complaint:
            self.complain(connection, members, {"code": complaint.code, "message": complaint.message})
        except Problem as problem:
            if members.get("type") == "send":
                self._note_refused(connection, problem)
            told: Members = {"code": problem.code, "message": problem.detail or problem.title}
            if problem.retry_after is not None:
                told["retry_after"] = problem.retry_after
            self.complain(connection, members, told)
        except BrokerError:
            self.complain(
                connection,
                members,
                {
                    "code": "unavailable",
                    "message": "Redis cannot be reached or takes no writes",
                    "retry_after": 1,
                },
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the client its socket
            self._log.error(LogEvent.UNEXPECTED_ERROR, tenant_id=connection.tenant, exc_info=error)
            self.complain(connection, members, {"code": "internal", "message": "something went wrong here"})

    def _note_refused(self, connection: Connection, problem: Problem) -> None:
        self._metrics.count(Counter.SENDS_REFUSED, problem.code)
        named = {"tenant_id": connection.tenant, "session_id": connection.session}
        self._log.info(LogEvent.SEND_REFUSED, code=problem.code, detail=problem.detail, **named)

    def complain(self, connection: Connection, members: Members, told: Members) -> None:
        """An `error` frame without a task, with the request's own id where it had one."""
        request_id = members.get("request_id")
        if isinstance(request_id, str) and len(request_id) <= _REQUEST_ID_MAX:
            told = {**told, "request_id": request_id}
        connection.say(self.frame(connection, "error", told))

    async def _do(self, connection: Connection, caller: Caller, members: Members) -> None:
        kind = members.get("type")
        if kind == "send":
            await self._send(connection, caller.identity, members)
        elif kind == "cancel":
            await self._cancel(caller.identity, members)
        elif kind == "answer":
            await self._answer(caller.identity, members)
        elif kind == "auth":
            await self._auth(connection, caller, members)
        elif isinstance(kind, str) and kind in self._at_once:
            self._at_once[kind](connection, members)
        elif isinstance(kind, str):
            raise Complaint("unknown_type", f"a frame of type {kind[:40]!r} is not known")
        else:
            raise Complaint("unknown_type", "a frame needs a `type`")

    async def _auth(self, connection: Connection, caller: Caller, members: Members) -> None:
        """Go on with a newer token of the same caller; with any other the socket stays as it was."""
        if not self._identifier.needs_token:
            raise Complaint("not_supported", "token authentication is off here")
        claims = await self._credentials.of_token(text_of(members, "token") or "")
        stated = Stated(
            tenant=connection.tenant,
            tier=connection.tier,
            user=connection.user or None,
            session=connection.session,
            named=IN_QUERY,
        )
        identity = identify(stated, claims)
        if identity.subject != connection.subject:
            raise Problem("access_denied", "the token is another caller's")
        caller.identity = identity
        self.authenticated(connection, caller.identity)

    def authenticated(self, connection: Connection, identity: Identity) -> None:
        """Tell that a token was taken, and until when the socket may stay with it."""
        connection.expires, connection.issued = identity.expires, identity.issued
        told = {} if identity.expires is None else {"expires_at": rfc3339(int(identity.expires * 1_000_000))}
        connection.say(self.frame(connection, "authenticated", told))

    def _ping(self, connection: Connection, members: Members) -> None:
        del members
        connection.say(self.frame(connection, "pong", {"position": str(connection.reached)}))

    def _ack(self, connection: Connection, members: Members) -> None:
        position = position_of(members)
        if position.epoch == connection.epoch and position.offset <= connection.subscriber.offset:
            self._settlements.acknowledged(connection.name, position.offset)

    async def _send(self, connection: Connection, identity: Identity, members: Members) -> None:
        refuse_unknown(members, _SEND)
        address = {name: text_of(members, name) for name in _ADDRESS}
        if not address["agent_id"]:
            raise Complaint("invalid_body", "`agent_id` is missing")
        identity = self._named(identity, address["user_id"])
        addressed = Addressed(
            agent=address["agent_id"],
            context_type=address["context_type"] or "agent",
            collection=address["collection_id"],
            conversation=address["conversation_id"],
            idempotency_key=address["idempotency_key"],
        )
        body = parse_send(_encode({name: members[name] for name in _BODY if name in members}))
        request = self._context_handler.read(
            identity, connection.session, connection.tier, addressed, body, self._clock.now()
        )
        sent = await self._sender.send(request)
        request_id = members.get("request_id")
        data = {"request_id": request_id} if request_id is not None else {}
        connection.say(self.frame(connection, "accepted", data | msgspec.structs.asdict(sent.answer)))

    def _named(self, identity: Identity, user: str | None) -> Identity:
        """The identity with the user that the frame names, where the socket's own names none.

        Behind a gateway only the handshake's headers name one.
        """
        if user is None or user == identity.user:
            return identity
        if identity.user or self._identifier.trusts_headers_only:
            raise Problem("access_denied", "`user_id` contradicts the identity of the socket")
        require_user_id("user_id", user)
        return msgspec.structs.replace(identity, user=user)

    async def _cancel(self, identity: Identity, members: Members) -> None:
        task = text_of(members, "task_id") or ""
        if not (is_valid_task_id(task) and await self._cancellation.cancel(identity, task)):
            raise Problem("not_found", "there is no such task")

    async def _answer(self, identity: Identity, members: Members) -> None:
        """Everybody who follows the session learns of it by the task's next update."""
        refuse_unknown(members, _ANSWER)
        task = text_of(members, "task_id") or ""
        body = parse_answer(_encode({name: members[name] for name in _ANSWER_BODY if name in members}))
        await self._answers.take(identity, task, body)

    def _subscribe(self, connection: Connection, members: Members) -> None:
        asked = types_of(members)
        current = connection.subscriber.wanted
        # Who never chose has everything; the first choice narrows it, further ones add.
        chosen = asked if current == frozenset(EVENT_TYPES) else current | asked
        self._choose(connection, "subscribed", chosen)

    def _unsubscribe(self, connection: Connection, members: Members) -> None:
        self._choose(connection, "unsubscribed", connection.subscriber.wanted - types_of(members))

    def _choose(self, connection: Connection, kind: str, types: frozenset[EventType]) -> None:
        connection.subscriber.want(types)
        connection.say(self.frame(connection, kind, {"events": listed(types)}))
