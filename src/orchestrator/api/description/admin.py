"""The operations of `/api/admin` but those of agents, workflows and collections."""

from typing import Final

from orchestrator.api.admin.deployment import AUDIT_ID_MAX
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
from orchestrator.api.description.contexts import context_paths
from orchestrator.api.description.parameters import path, query
from orchestrator.api.description.values import Schema
from orchestrator.protocol.tiers import Tier

_TIER_PATH: Final = path("tier", Tier, "professional")
_BEFORE: Final = query(
    "before",
    {"type": "integer", "minimum": 1, "maximum": AUDIT_ID_MAX},
    "Only what is older than this one: the `next` of the page before.",
)


def admin_paths() -> dict[str, Schema]:
    """Path items of tenants, contexts, grants, limits, revocation and audit."""
    return {
        "/api/admin/tenants": {"get": _list_tenants(), "post": _create_tenant()},
        "/api/admin/tenants/{tenant_id}": {"get": _show_tenant(), "patch": _update_tenant()},
        "/api/admin/tenants/{tenant_id}/suspend": {"post": _suspend()},
        "/api/admin/tenants/{tenant_id}/resume": {"post": _resume()},
        **context_paths(),
        "/api/admin/limits": {"get": _list_limits()},
        "/api/admin/limits/{tier}": {"patch": _update_limits()},
        "/api/admin/tokens/revoke": {"post": _revoke_tokens()},
        "/api/admin/audit": {"get": _audit()},
    }


def _list_tenants() -> Schema:
    return admin(
        "listTenants",
        "List the tenants.",
        record("TenantPage", examples.TENANTS, "A page of them."),
        *READ,
        parameters=[AFTER, LIMIT],
    )


def _create_tenant() -> Schema:
    return admin(
        "createTenant",
        "Create a tenant.",
        created("TenantRecord", examples.TENANT),
        *CHANGE,
        "already_exists",
        body=body("NewTenant", examples.NEW_TENANT),
    )


def _show_tenant() -> Schema:
    return admin(
        "showTenant",
        "Show a tenant.",
        record("TenantRecord", examples.TENANT, "The record."),
        *READ,
        parameters=[TENANT_PATH],
    )


def _update_tenant() -> Schema:
    return admin(
        "updateTenant",
        "Change a tenant's tier, or give it limits of its own.",
        record("TenantRecord", examples.TENANT),
        *CHANGE,
        description="A limit of null goes back to the tier's. What names another tier than the tenant's is refused"
        " at once, with `tier_mismatch`.",
        parameters=[TENANT_PATH],
        body=body("TenantChange", examples.TENANT_CHANGE),
    )


def _suspend() -> Schema:
    return admin(
        "suspendTenant",
        "Suspend a tenant.",
        record("SuspendedTenant", examples.SUSPENDED),
        *READ,
        description="Nobody of it is let in any more, its open tasks end as `cancelled` with the code `suspended`, its"
        " sockets are closed with 4403. Suspending again finishes what was left. Its records stay as they are.",
        parameters=[TENANT_PATH],
    )


def _resume() -> Schema:
    return admin(
        "resumeTenant",
        "Let a suspended tenant in again.",
        record("TenantRecord", examples.TENANT),
        *READ,
        parameters=[TENANT_PATH],
    )


def _list_limits() -> Schema:
    return admin(
        "listLimits",
        "Show the limits of the tiers.",
        record("TierList", examples.TIERS, "The limits of all four."),
        "unavailable",
    )


def _update_limits() -> Schema:
    return admin(
        "updateLimits",
        "Change limits of a tier while the service runs.",
        record("TierRow", examples.TIER),
        *CHANGE,
        "invalid_tier",
        description="They go before ORCHESTRATOR_TIER_LIMITS, and behind limits that a tenant has of its own; null goes"
        " back to the environment's. Every replica follows within a second.",
        parameters=[_TIER_PATH],
        body=body("TierChange", examples.TIER_CHANGE),
    )


def _revoke_tokens() -> Schema:
    return admin(
        "revokeTokens",
        "Void the tokens of a subject that were issued until now.",
        record("RevokedSubject", examples.REVOKED, "They are void."),
        *CHANGE,
        description="Sockets and streams that came with one are closed with 4401 within a second, on every replica. A"
        " token that is issued later is good again. The subject need not be known.",
        body=body("Revocation", examples.REVOCATION),
    )


def _audit() -> Schema:
    return admin(
        "showAudit",
        "Show who changed what, the newest first.",
        record("AuditPage", examples.AUDIT, "A page of changes."),
        *READ,
        description="A change by HTTP is under the user of the token, one by a command under `cli:` and the user of"
        " the system. What changed nothing is not noted.",
        parameters=[OF_TENANT, _BEFORE, LIMIT],
    )
