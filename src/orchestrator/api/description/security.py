"""Who may call what, as the document of one server has it."""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.api.description.parameters import or_empty
from orchestrator.api.description.values import Schema
from orchestrator.auth.claims import Scope

SCOPES: Final[Mapping[str, Scope]] = {"Chat": "chat", "Deployment": "metrics", "Administration": "admin"}
"""What a token needs, by tag; the other tags are for everybody."""

_OPEN: Final = "Health"
_OF_TOKEN: Final = ("X-Tenant-ID", "X-Tenant-Tier")

_BEARER: Final[Schema] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A token with the scope that is named; `admin` opens everything.",
}
_GATEWAY: Final[Schema] = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Gateway-Secret",
    "description": "Proves that the request comes through the gateway.",
}


class Security:
    """What this server asks for: tokens, the secret of a gateway, both or neither."""

    def __init__(self, *, tokens: bool, gateway: bool) -> None:
        self._tokens = tokens
        self._gateway = gateway

    @property
    def schemes(self) -> dict[str, Schema]:
        """Those that some route of this server asks for; administration needs a token always."""
        return {"bearer": _BEARER} | ({"gatewaySecret": _GATEWAY} if self._gateway else {})

    def applied(self, paths: Mapping[str, Schema]) -> dict[str, Schema]:
        """The path items with what each operation needs."""
        return {
            path: {method: self._secured(operation) for method, operation in item.items()}
            for path, item in paths.items()
        }

    def _secured(self, operation: Schema) -> Schema:
        secured = operation | {"security": self._needed(operation["tags"][0])}
        if self._tokens and "parameters" in operation:
            secured["parameters"] = [_told_by_token(parameter) for parameter in operation["parameters"]]
        return secured

    def _needed(self, tag: str) -> list[dict[str, list[str]]]:
        needed: dict[str, list[str]] = {}
        if tag in SCOPES and (self._tokens or SCOPES[tag] == "admin"):
            needed["bearer"] = [SCOPES[tag]]
        if self._gateway and tag != _OPEN:
            needed["gatewaySecret"] = []
        return [needed] if needed else []


def _told_by_token(parameter: dict[str, Any]) -> Schema:
    if parameter["name"] not in _OF_TOKEN:
        return parameter
    told = f"{parameter['description']} The token says it; what stands here may repeat it."
    schema = or_empty(parameter["schema"]) if parameter["required"] else parameter["schema"]
    return parameter | {"required": False, "schema": schema, "description": told}
