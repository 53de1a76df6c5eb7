"""/asyncapi.json: the WebSocket and the Redis lists as AsyncAPI 3.0."""

from typing import Any, Final

from orchestrator import current_version
from orchestrator.api.description import client_frames, examples
from orchestrator.api.description.callbacks import CALLBACKS
from orchestrator.api.description.channels import SERVER_FRAMES, channels, operations
from orchestrator.api.description.schemas import components
from orchestrator.api.description.values import Schema, ref
from orchestrator.protocol.task_message import TaskMessage

_TYPES: Final = (*SERVER_FRAMES, *client_frames.FRAMES, TaskMessage, *CALLBACKS)
_EXAMPLES: Final = {
    **examples.SERVER_FRAMES,
    **examples.CLIENT_FRAMES,
    **examples.CALLBACKS,
    "TaskMessage": examples.TASK_MESSAGE,
}
_DESCRIPTION: Final = (
    "Both sides of the service that are not plain HTTP: frontends follow sessions by WebSocket, agents take tasks from"
    " Redis lists and report on others. The HTTP interface is in /openapi.json. Everything is UTF-8 JSON."
)


def asyncapi_document() -> Schema:
    """The whole document, as plain data."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Orchestrator",
            "version": current_version(),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "service": {
                "host": "localhost:8008",
                "protocol": "ws",
                "description": "This service, for frontends.",
            },
            "redis": {"host": "localhost:6379", "protocol": "redis", "description": "REDIS_URL, for agents."},
        },
        "channels": channels(),
        "operations": operations(),
        "components": {
            "schemas": components(_TYPES),
            "messages": {kind.__name__: _message(kind) for kind in _TYPES},
        },
    }


def _message(kind: Any) -> Schema:
    name: str = kind.__name__
    return {
        "name": name,
        "title": _wire_name(kind),
        "summary": str(kind.__doc__),
        "payload": ref(name),
        "examples": [{"payload": _EXAMPLES[name]}],
    }


def _wire_name(kind: Any) -> str:
    """What the message is called on the wire: its type, or its status."""
    if kind is TaskMessage:
        return "execution.agent_run"
    return str(kind.__struct_config__.tag or "failed, timeout, cancelled")
