"""The operations of `/api/admin/agents`, `/workflows` and `/collections`, which are alike."""

from orchestrator.api.description import admin_examples as examples
from orchestrator.api.description.admin_parts import (
    AFTER,
    CHANGE,
    LIMIT,
    OF_TENANT,
    READ,
    TENANT_PATH,
    admin,
    body,
    created,
    record,
)
from orchestrator.api.description.parameters import path
from orchestrator.api.description.values import Id, Schema
from orchestrator.protocol.context import CONTEXT_TYPES, ContextType


def context_paths() -> dict[str, Schema]:
    """Path items of the three types."""
    return {path: item for kind in CONTEXT_TYPES for path, item in _Operations(kind).paths().items()}


class _Operations:
    """Those of one type."""

    def __init__(self, kind: ContextType) -> None:
        self._kind: ContextType = kind
        self._noun = kind.title()
        self._one = f"an {kind}" if kind == "agent" else f"a {kind}"
        self._record = record("ContextRecord", examples.context(kind))
        told = {"description": f"With or without `{kind}-` in front."}
        self._path = path("context_id", Id, f"{kind}-1") | told

    def paths(self) -> dict[str, Schema]:
        everything = f"/api/admin/{self._kind}s"
        single = f"{everything}/{{context_id}}"
        return {
            everything: {"get": self._list(), "post": self._create()},
            single: {"get": self._show(), "patch": self._update()},
            f"{single}/grants/{{tenant_id}}": {"put": self._grant(), "delete": self._revoke()},
        }

    def _list(self) -> Schema:
        page = {f"{self._kind}s": [examples.context(self._kind)], "next": None}
        return admin(
            f"list{self._noun}s",
            f"List the {self._kind}s, their owners and who else may use them.",
            record(f"{self._noun}Page", page, "A page of them."),
            *READ,
            parameters=[
                OF_TENANT | {"description": "Only those that this tenant owns or may use."},
                AFTER,
                LIMIT,
            ],
        )

    def _create(self) -> Schema:
        return admin(
            f"create{self._noun}",
            f"Create {self._one} that belongs to a tenant.",
            created("ContextRecord", examples.context(self._kind)),
            *CHANGE,
            "already_exists",
            description=f"It is kept under its canonical id, `{self._kind}-<id>`, which is unique in the deployment.",
            body=body(f"New{self._noun}", {"id": f"{self._kind}-1", "tenant_id": "acme"}),
        )

    def _show(self) -> Schema:
        return admin(
            f"show{self._noun}",
            f"Show {self._one}.",
            self._record,
            *READ,
            parameters=[self._path],
        )

    def _update(self) -> Schema:
        return admin(
            f"update{self._noun}",
            f"Switch {self._one} off for everyone or on again; set its turn policy and its attempts.",
            self._record,
            *CHANGE,
            parameters=[self._path],
            body=body("ContextChange", {"active": False, "turn_policy": "queue"}),
        )

    def _grant(self) -> Schema:
        return admin(
            f"grant{self._noun}",
            f"Let another tenant use {self._one}.",
            self._record,
            *READ,
            description="Granting twice, or to the owner, changes nothing.",
            parameters=[self._path, TENANT_PATH],
        )

    def _revoke(self) -> Schema:
        return admin(
            f"revoke{self._noun}",
            f"Take back what let another tenant use {self._one}.",
            self._record,
            *READ,
            description="404 where nothing was granted. The owner stays the owner.",
            parameters=[self._path, TENANT_PATH],
        )
