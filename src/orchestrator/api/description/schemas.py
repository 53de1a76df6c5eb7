"""The schemas of both documents, generated from the types that the service encodes and decodes with."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from orchestrator.api.description.values import Id, Moment, Position, Schema, UserId, context_id
from orchestrator.broker.tickets import TICKET_SECONDS
from orchestrator.protocol.ledger import MOMENTS
from orchestrator.protocol.tasks import ENDINGS, OPEN

_ID: Final = msgspec.json.schema(Id)
_USER: Final = msgspec.json.schema(UserId)
_MOMENT: Final = msgspec.json.schema(Moment)
_POSITION: Final = msgspec.json.schema(Position)
_NO_MOMENT: Final = {"anyOf": [_MOMENT, {"type": "null"}]}
_ERROR: Final[Schema] = {
    "type": "object",
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "type": {"type": "string"},
        "into": {"type": "string", "description": "With `merged`: the task that carries it on."},
    },
    "required": ["code", "message"],
}
_ANSWER: Final[Schema] = {
    "type": "object",
    "properties": {
        "response": {"description": "The answer; null where there was none."},
        "sources": {"description": "As the agent gave them; [] where it gave none."},
        "agent_info": {"description": "As the agent gave it; {} where it gave none."},
    },
    "required": ["response", "sources", "agent_info"],
    "additionalProperties": True,
}

ETA: Final[Schema] = {
    "type": "array",
    "prefixItems": [{"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 1}],
    "minItems": 2,
    "maxItems": 2,
    "description": "Seconds, at least and at most. An estimate by what agents did of late, no promise.",
}


def _nullable(schema: Schema, description: str) -> Schema:
    return {"anyOf": [schema, {"type": "null"}], "description": description}


def told(description: str) -> Schema:
    """A sentence about a property."""
    return {"description": description}


_RULES: Final[Mapping[str, Schema]] = {
    "turn_policy": told("That of a message which names none; null: `parallel`."),
    "max_attempts": told("How often a task is tried at most; null: ORCHESTRATOR_MAX_ATTEMPTS."),
}

# What a type is too wide to say, property by property. A property that its type no longer has is a KeyError.
_REFINED: Final[Mapping[str, Mapping[str, Schema]]] = {
    "SendBody": {
        "message": told("What the user says."),
        "user_info": told("About the user; agents get it as it is."),
        "metadata": told("About the message; agents get it as it is."),
        "stream": told("Whether pieces of the answer are sent as they come."),
        "max_iterations": told("For agents that work in rounds."),
        "timeout": told("Seconds until the task ends as `timeout`; ORCHESTRATOR_TASK_TIMEOUT_MAX bounds it."),
        "turn_policy": told(
            "What happens to other tasks of the session that have no ending yet, and to this one; "
            "null: as the agent is set, else `parallel`."
        ),
    },
    "AnswerBody": {
        "answer": told("Any JSON that fits the question's schema."),
        "question": told("Which question; null: the one that is open."),
    },
    "AskedQuestion": {
        "prompt": told("What is asked, for people."),
        "schema": told("JSON Schema that the answer has to fit; null: any answer does."),
        "expires_at": _MOMENT | told("Until when it may be answered."),
    },
    "Accepted": {
        "status": {"const": "queued"},
        "position": _POSITION
        | told("Where the log stood before this task: connecting later with it misses nothing."),
        "created_at": _MOMENT,
    },
    "Ledger": {
        "status": {"enum": [*OPEN, *ENDINGS]},
        "code": told("The ending code of a task that did not complete."),
        "timeline": {
            "properties": dict.fromkeys(MOMENTS, _NO_MOMENT),
            "required": list(MOMENTS),
            "additionalProperties": False,
        },
        "queue_position": told("1 is next; null once an agent took it, and where nobody knows."),
        "eta_seconds": _nullable(ETA, "Until an agent begins with it; null where nobody can say."),
        "waiting_for": told(
            "Why no agent has it yet, in words; null where it is not waiting, or about to begin."
        ),
        "result": _nullable(_ANSWER, "The answer of a completed task."),
        "error": _nullable(_ERROR, "Why the task did not complete."),
        "execution_time": told("As the agent told it."),
        "tokens_used": told("As the agent told it."),
        "position": _nullable(_POSITION, "The position of the ending."),
    },
    "QueueRow": {
        "depth": {"minimum": 0},
        "oldest_age_seconds": _nullable(
            {"type": "number", "minimum": 0}, "Null for an empty queue, and for callbacks."
        ),
        "workers": told(
            "Live workers of the SDK that serve it; null for callbacks, and where other agents serve it."
        ),
        "running": told("Tasks of it that agents have; null for callbacks."),
        "rate_per_minute": told("How many of its tasks agents began of late; null for callbacks."),
        "waiting_for": told("Where nobody serves it: `no worker for <context>`; else null."),
        "eta_seconds": _nullable(
            ETA, "Until an agent would begin a task that came now; null where nobody can say."
        ),
    },
    "TicketBody": {
        "origin": told("The only origin from which the ticket may come: a server names the one of its page."),
    },
    "IssuedTicket": {
        "ticket": {"pattern": "^[A-Za-z0-9_-]{43}$"} | told("For the parameter `ticket`."),
        "expires_in": {"const": TICKET_SECONDS} | told("Seconds within which it has to be used."),
    },
    "TenantRecord": {
        "id": _ID,
        "active": told("False: suspended."),
        "limits": told("Those that differ from the tier's."),
        "created_at": _MOMENT,
    },
    "ContextRecord": {
        "id": _ID | told("The canonical id, `<type>-<id>`."),
        "tenant_id": _ID | told("The owner."),
        "active": told("Whether anybody may use it."),
        "granted_to": told("The other tenants that may use it."),
        "created_at": _MOMENT,
        **_RULES,
    },
    "AuditRecord": {
        "id": {"minimum": 1} | told("A later change has a higher one."),
        "at": _MOMENT,
        "actor": told("Who did it."),
        "action": told("What was done, as in `tenants.suspend`."),
        "tenant_id": told("The tenant that it is about, if it is about one."),
        "target": told("The id of what was changed."),
        "before": told("The record as it was; null where it is new."),
        "after": told("The record as it was then."),
    },
    "NewTenant": {"id": _ID, "limits": told("Those that shall differ from the tier's.")},
    "TenantChange": {"limits": told("Limits of its own.")},
    "NewAgent": {"id": context_id("agent"), "tenant_id": _ID | told("The owner."), **_RULES},
    "NewWorkflow": {"id": context_id("workflow"), "tenant_id": _ID | told("The owner."), **_RULES},
    "NewCollection": {"id": context_id("collection"), "tenant_id": _ID | told("The owner."), **_RULES},
    "ContextChange": {"active": told("Whether anybody may use it, its owner included."), **_RULES},
    "Revocation": {
        "tenant_id": _nullable(_ID, "Null: tokens that name no tenant, as those of administrators."),
        "sub": _USER | told("The user of the tokens."),
    },
    "TaskMessage": {
        "action_type": {"const": "execution.agent_run"},
        "attempt": {"minimum": 1}
        | told("A task can arrive twice; every push carries a new attempt. Echo it in callbacks."),
        "max_iterations": _nullable({"type": "integer", "minimum": 1}, "As it was sent."),
        "callback_queue": told("The list on which to report."),
        "cancel_key": told("A list that exists once the task is cancelled: `EXISTS` or `BLPOP`."),
        "created_at": _MOMENT,
        "deadline": _MOMENT | told("Skip a task that is past it."),
        "traceparent": told("W3C Trace Context of the request."),
    },
    "ExecutionContext": {
        "context_id": told("`<type>-<id>`; names the queue."),
        "collections": told("Holds `X-Collection-ID` whenever it was given."),
        "created_at": _MOMENT,
    },
    "ChunkData": {
        "delta": told("A piece of the answer."),
        "seq": {"minimum": 0} | told("Number of the last piece contained."),
        "seq_from": {"minimum": 0} | told("Number of the first piece contained."),
        "attempt": {"minimum": 1} | told("On a higher attempt than the last, discard the text so far."),
    },
}

# Types that begin with the members of another.
_BEGINS_WITH: Final[Mapping[str, str]] = {
    "AcceptedData": "Accepted",
    "Send": "SendBody",
    "Answer": "AnswerBody",
    "SuspendedTenant": "TenantRecord",
}

# What is no change without a member.
_NOT_EMPTY: Final = frozenset({"TenantChange", "ContextChange"})

# Objects whose further members are an agent's.
_OPEN: Final = frozenset({"AnswerData"})

# Always written, though their types have defaults.
_COMPLETE: Final = frozenset({"TaskMessage", "ExecutionContext"})


def components(types: Iterable[Any]) -> dict[str, Schema]:
    """The schemas of these types and of all that they contain, by name."""
    _, found = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schemas: dict[str, Schema] = {name: _refined(name, schema) for name, schema in found.items()}
    return dict(sorted(schemas.items()))


def _refined(name: str, schema: Schema) -> Schema:
    properties: dict[str, Schema] = dict(schema.get("properties", {}))
    for member, more in _REFINED.get(_BEGINS_WITH.get(name, name), {}).items():
        # Another choice of types, or an enumeration, takes the place of what was generated.
        generated = {} if {"anyOf", "enum", "const"} & more.keys() else properties[member]
        properties[member] = _default_of(properties[member]) | generated | more
    refined = schema | {"properties": properties} if properties else schema
    if name in _OPEN:
        refined |= {"additionalProperties": True}
    if name in _NOT_EMPTY:
        refined |= {"minProperties": 1}
    if name in _COMPLETE:
        properties |= {member: _without_default(schema) for member, schema in properties.items()}
        refined |= {"required": list(properties)}
    return refined


def _default_of(schema: Schema) -> Schema:
    return {"default": schema["default"]} if "default" in schema else {}


def _without_default(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "default"}
