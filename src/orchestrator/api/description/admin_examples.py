"""One tenant and what belongs to it, as it looks in the descriptions of administration."""

from typing import Final

from orchestrator.api.description.values import MOMENT, Schema
from orchestrator.protocol.context import ContextType

TENANT: Final[Schema] = {
    "id": "acme",
    "tier": "professional",
    "active": True,
    "limits": {"max_outstanding": 50},
    "created_at": MOMENT,
}
TENANTS: Final[Schema] = {"tenants": [TENANT], "next": None}
NEW_TENANT: Final[Schema] = {"id": "acme", "tier": "professional", "limits": {"max_outstanding": 50}}
TENANT_CHANGE: Final[Schema] = {"limits": {"max_outstanding": 50, "weight": None}}
SUSPENDED: Final[Schema] = {**TENANT, "active": False, "tasks_ended": 3}

TIER: Final[Schema] = {
    "tier": "professional",
    "limits": {
        "requests_per_minute": 1200,
        "max_outstanding": 500,
        "max_connections": 200,
        "messages_per_second": 20,
        "weight": 4,
        "max_running": 0,
    },
    "changed": {"max_connections": 200},
}
TIERS: Final[Schema] = {"tiers": [TIER]}
TIER_CHANGE: Final[Schema] = {"limits": {"max_connections": 200}}

REVOCATION: Final[Schema] = {"tenant_id": "acme", "sub": "user-789"}
REVOKED: Final[Schema] = {**REVOCATION, "revoked_at": MOMENT}

AUDIT: Final[Schema] = {
    "entries": [
        {
            "id": 17,
            "at": MOMENT,
            "actor": "token:root@example.com",
            "action": "tenants.suspend",
            "tenant_id": "acme",
            "target": "acme",
            "before": TENANT,
            "after": {**TENANT, "active": False},
        }
    ],
    "next": 17,
}


def context(kind: ContextType) -> Schema:
    """An agent, a workflow or a collection."""
    return {
        "id": f"{kind}-1",
        "type": kind,
        "tenant_id": "acme",
        "active": True,
        "granted_to": ["globex"],
        "created_at": MOMENT,
        "turn_policy": "queue",
        "max_attempts": None,
    }
