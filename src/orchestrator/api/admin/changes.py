"""What an administrator sends: the bodies, strict, so that a typo is found."""

from typing import Annotated, Final, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from orchestrator.protocol.tiers import LIMIT_MAX, Tier
from orchestrator.protocol.turn_policies import ATTEMPTS_MAX, TurnPolicy

Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX)]
GivenLimit = Limit | None | UnsetType
Attempts = Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)]


class LimitChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits to set; null takes one back, and what is left out stays as it is."""

    requests_per_minute: GivenLimit = UNSET
    max_outstanding: GivenLimit = UNSET
    max_connections: GivenLimit = UNSET
    messages_per_second: GivenLimit = UNSET
    weight: GivenLimit = UNSET
    max_running: GivenLimit = UNSET

    def given(self) -> dict[str, int | None]:
        """Those that are not left out."""
        return cast("dict[str, int | None]", msgspec.to_builtins(self))


class NewTenant(Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant to create; `limits` are those that shall differ from its tier's."""

    id: str
    tier: Tier
    limits: LimitChanges = LimitChanges()


class TenantChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different about a tenant; at least one member."""

    tier: Tier | UnsetType = UNSET
    limits: LimitChanges | UnsetType = UNSET


class NewContext(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent, a workflow or a collection to create; `tenant_id` becomes the owner."""

    id: str
    tenant_id: str
    turn_policy: TurnPolicy | None = None
    max_attempts: Attempts | None = None


class ContextChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different about an agent, a workflow or a collection; at least one member.

    Null takes a turn policy or a number of attempts back.
    """

    active: bool | UnsetType = UNSET
    turn_policy: TurnPolicy | UnsetType | None = UNSET
    max_attempts: Attempts | UnsetType | None = UNSET

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed."""
        return msgspec.to_builtins(self) == {}


class TierChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different about the limits of a tier."""

    limits: LimitChanges


class Revocation(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose tokens are void from now on, as far as they were issued before."""

    tenant_id: str | None
    """Null: tokens that name no tenant, as those of administrators. Never by leaving it out."""
    sub: str


new_tenant: Final = msgspec.json.Decoder(NewTenant).decode
tenant_change: Final = msgspec.json.Decoder(TenantChange).decode
new_context: Final = msgspec.json.Decoder(NewContext).decode
context_change: Final = msgspec.json.Decoder(ContextChange).decode
tier_change: Final = msgspec.json.Decoder(TierChange).decode
revocation: Final = msgspec.json.Decoder(Revocation).decode
